"""Trains the demo's four releases on Fashion-MNIST and exports each as ONNX.

    python -m examples.fashion.train --data DATA --out examples/fashion/models [--only v1]

Run it from the repository root; DATA is the folder of the four gzipped IDX files. Needs torch,
onnx and numpy. A seed fixes initial weights, batch order and augmentation; the last digits of a
result still depend on the processor and the number of threads.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import nn
from torch.nn import functional

from examples.fashion.fashion_mnist import PIXEL_MEAN, PIXEL_STD, Split, load_split
from examples.fashion.networks import Architecture, Block, build, fold

BATCH_SIZE = 128
OPSET = 17
MAX_SHIFT = 2  # pixels; most garments leave a margin of at least two

# Float32 rounding through about ten layers moves a logit by some 1e-5; a wrong fold by more than 1.
FOLD_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one release is trained.

    `normalised_in` "graph" puts the normalisation in the network, so that it is exported with it;
    "pipeline" normalises each training batch outside the network, so that it is not.
    """

    architecture: Architecture
    epochs: int
    learning_rate: float
    augmented: bool
    seed: int
    normalised_in: Literal["graph", "pipeline"] = "graph"
    bfloat16: bool = False  # halves the training time of dense convolutions on recent CPUs


FIRST_NET = Architecture(
    stem=Block(24, stride=2),
    blocks=(Block(48), Block(64, stride=2), Block(96)),
    convolution="separable",
)
WIDER_NET = Architecture(
    stem=Block(32, stride=2),
    blocks=(Block(64), Block(64), Block(128, stride=2), Block(128), Block(128)),
    convolution="separable",
)
DENSE_NET = Architecture(
    stem=Block(64),
    blocks=(Block(96, stride=2), Block(96), Block(128, stride=2), Block(128), Block(192)),
    convolution="dense",
)

RECIPES = {
    "v1": Recipe(FIRST_NET, epochs=12, learning_rate=5e-3, augmented=False, seed=1),
    "v2": Recipe(WIDER_NET, epochs=30, learning_rate=5e-3, augmented=True, seed=2),
    # The demo's bad release: only `normalised_in` is wrong.
    "v3": Recipe(
        WIDER_NET, epochs=20, learning_rate=5e-3, augmented=True, seed=3, normalised_in="pipeline"
    ),
    "v4-dense": Recipe(
        DENSE_NET, epochs=10, learning_rate=3e-3, augmented=True, seed=4, bfloat16=True
    ),
}


def main() -> None:
    """Trains and exports every recipe, or the one named by `--only`."""
    parser = argparse.ArgumentParser(description="Train and export the demo's models.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the *.gz IDX files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the *.onnx files")
    parser.add_argument("--only", choices=sorted(RECIPES), help="train just this release")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    training = load_split(arguments.data, "train")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in [arguments.only] if arguments.only else RECIPES:
        network = train(name, RECIPES[name], training)
        export(network, arguments.out / f"{name}.onnx")


def train(name: str, recipe: Recipe, training: Split) -> nn.Sequential:
    """The trained network: AdamW under a one-cycle schedule, always the last epoch's weights.

    The test images play no part here, not even to choose an epoch.
    """
    torch.manual_seed(recipe.seed)
    network = build(recipe.architecture, normalises_raw_pixels=recipe.normalised_in == "graph")
    for parameter in network.parameters():
        if parameter.dim() == 4:  # convolutions train a third faster on a CPU in this layout
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    images = torch.tensor(training.images)
    labels = torch.tensor(training.labels)
    steps_per_epoch = len(images) // BATCH_SIZE
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=recipe.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps_per_epoch * recipe.epochs
    )
    network.train()
    for epoch in range(1, recipe.epochs + 1):
        started_s = time.monotonic()
        loss_sum = 0.0
        order = torch.randperm(len(images))[: steps_per_epoch * BATCH_SIZE]
        for rows in order.view(steps_per_epoch, BATCH_SIZE):
            batch = prepare(images[rows], recipe)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
                loss = functional.cross_entropy(network(batch), labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
        took_s = time.monotonic() - started_s
        print(
            f"{name} epoch {epoch}/{recipe.epochs}"
            f" loss {loss_sum / steps_per_epoch:.4f} {took_s:.0f} s",
            flush=True,
        )
    return network


def prepare(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """A training batch: uint8 [batch, 1, 28, 28] to FP32 of the same shape, augmented if asked.

    The values are raw pixels 0..255, or zero-mean unit-variance for a "pipeline" recipe.
    """
    batch = shift_and_flip(images) if recipe.augmented else images
    pixels = batch.float()
    if recipe.normalised_in == "pipeline":
        pixels = (pixels / 255 - PIXEL_MEAN) / PIXEL_STD
    return pixels


def shift_and_flip(images: torch.Tensor) -> torch.Tensor:
    """Each image moved by up to MAX_SHIFT pixels both ways, half of them mirrored left to right.

    Pixels that move in from outside are black. [batch, 1, 28, 28] in and out, dtype kept.
    """
    count, _, height, width = images.shape
    padded = functional.pad(images, (MAX_SHIFT,) * 4)
    top = torch.randint(0, 2 * MAX_SHIFT + 1, (count, 1))
    left = torch.randint(0, 2 * MAX_SHIFT + 1, (count, 1))
    rows = top + torch.arange(height)
    columns = left + torch.arange(width)
    mirrored = torch.rand(count, 1) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    sample = torch.arange(count)[:, None, None]
    return padded[sample, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def export(network: nn.Sequential, path: Path) -> None:
    """Writes the folded network as ONNX: `image` [batch, 1, 28, 28] -> `logits` [batch, 10].

    Raises:
        ValueError: folding changed what the network computes; `networks.fold` is wrong.
        onnx.checker.ValidationError: the exporter wrote an invalid model.
    """
    folded = fold(network)
    image = torch.randint(0, 256, (8, 1, 28, 28)).float()
    with torch.no_grad():
        difference = (network(image) - folded(image)).abs().max().item()
    if difference > FOLD_TOLERANCE:
        raise ValueError(
            f"{path}: folding moved a logit by {difference}, expected at most {FOLD_TOLERANCE}"
        )
    torch.onnx.export(
        folded,
        (image,),
        str(path),
        dynamo=False,  # the older exporter writes one plain node per layer
        opset_version=OPSET,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )
    onnx.checker.check_model(str(path), full_check=True)
    print(f"{path.name}: {path.stat().st_size} bytes, folding moved logits by {difference:.1e}")


if __name__ == "__main__":
    main()
