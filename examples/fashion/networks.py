"""Builds the demo networks for training, and folds them into what is exported.

A network in training is a chain of named layers:

    pad, normalise, stem, stem_norm, stem_relu, block1_..., pool, flatten, classifier

`pad` and `normalise` are there only when the network takes raw pixels. Folding absorbs them and
every batch norm into the convolutions, so the exported graph is Conv, Relu, GlobalAveragePool,
Flatten and Gemm.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from examples.fashion.fashion_mnist import CLASS_COUNT, PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True, slots=True)
class Block:
    """One convolution block; `stride` 2 halves height and width."""

    channels: int
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """A chain of blocks after a 3x3 stem.

    `convolution` "separable" makes each block a 3x3 depthwise and a 1x1 pointwise convolution
    (MobileNet, arXiv:1704.04861, section 3.1); "dense" makes it one full 3x3 convolution.
    """

    stem: Block
    blocks: tuple[Block, ...]
    convolution: Literal["separable", "dense"]


def build(architecture: Architecture, *, normalises_raw_pixels: bool) -> nn.Sequential:
    """A trainable network: FP32 [batch, 1, 28, 28] -> logits FP32 [batch, 10].

    With `normalises_raw_pixels` the input is raw pixels 0..255. They are padded *before* they are
    normalised: a border of black pixels, which is what lies around every Fashion-MNIST image, and
    what makes `fold` exact. Without it the input must already be normalised by the caller.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if normalises_raw_pixels:
        layers["pad"] = nn.ZeroPad2d(1)
        layers["normalise"] = _pixel_normalisation()
    channels = architecture.stem.channels
    stem_padding = 0 if normalises_raw_pixels else 1
    layers["stem"] = nn.Conv2d(
        1, channels, 3, architecture.stem.stride, padding=stem_padding, bias=False
    )
    _add_norm_and_relu(layers, "stem", channels)
    for number, block in enumerate(architecture.blocks, start=1):
        name = f"block{number}"
        if architecture.convolution == "separable":
            layers[f"{name}_depthwise"] = nn.Conv2d(
                channels, channels, 3, block.stride, padding=1, groups=channels, bias=False
            )
            _add_norm_and_relu(layers, f"{name}_depthwise", channels)
            layers[f"{name}_pointwise"] = nn.Conv2d(channels, block.channels, 1, bias=False)
            _add_norm_and_relu(layers, f"{name}_pointwise", block.channels)
        else:
            layers[f"{name}_dense"] = nn.Conv2d(
                channels, block.channels, 3, block.stride, padding=1, bias=False
            )
            _add_norm_and_relu(layers, f"{name}_dense", block.channels)
        channels = block.channels
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(channels, CLASS_COUNT)
    return nn.Sequential(layers)


def fold(network: nn.Sequential) -> nn.Sequential:
    """The same function in inference mode, without pad, normalise and batch-norm layers."""
    network.eval()
    trained = OrderedDict(network.named_children())
    folded: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in trained.items():
        if name in ("pad", "normalise") or name.endswith("_norm"):
            continue
        if not isinstance(layer, nn.Conv2d):
            folded[name] = layer
            continue
        norm = trained[f"{name}_norm"]
        assert isinstance(norm, nn.BatchNorm2d)  # `build` puts one after every convolution
        convolution = fuse_conv_bn_eval(layer, norm)
        normalisation = trained.get("normalise")
        if name == "stem" and isinstance(normalisation, nn.Conv2d):
            convolution = _absorb_normalisation(normalisation, convolution)
        folded[name] = convolution
    return nn.Sequential(folded).eval()


def _add_norm_and_relu(layers: OrderedDict[str, nn.Module], name: str, channels: int) -> None:
    layers[f"{name}_norm"] = nn.BatchNorm2d(channels)
    layers[f"{name}_relu"] = nn.ReLU()


def _pixel_normalisation() -> nn.Conv2d:
    """`(pixel / 255 - mean) / std` as a 1x1 convolution whose two numbers are not trained."""
    normalisation = nn.Conv2d(1, 1, 1)
    normalisation.requires_grad_(False)
    normalisation.weight.fill_(1 / (255 * PIXEL_STD))
    assert normalisation.bias is not None
    normalisation.bias.fill_(-PIXEL_MEAN / PIXEL_STD)
    return normalisation


def _absorb_normalisation(normalisation: nn.Conv2d, stem: nn.Conv2d) -> nn.Conv2d:
    """One convolution on raw pixels that equals pad by 1, `normalisation`, `stem` unpadded.

    With n(p) = a p + b: sum(w n(p)) + c = sum(a w p) + (c + b sum(w)). That also holds at the
    border, because the padding pixels are normalised like all others. Computed in float64.
    """
    assert normalisation.bias is not None
    assert stem.bias is not None
    a, b = normalisation.weight.double().item(), normalisation.bias.double().item()
    weight_oihw = stem.weight.detach().double()
    merged = nn.Conv2d(1, stem.out_channels, kernel_size=3, stride=stem.stride[0], padding=1)
    assert merged.bias is not None
    with torch.no_grad():
        merged.weight.copy_(a * weight_oihw)
        merged.bias.copy_(stem.bias.double() + b * weight_oihw.sum(dim=(1, 2, 3)))
    return merged
