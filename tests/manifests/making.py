"""Small real bundles, keys and releases for the tests of this folder."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
from edgewright_manifests.bundle import DOCUMENT, BundleWriter
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.release import DirectorCustom, ImageCustom
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.variant import Quality, Target, Tolerance

SIGNATURE = ModelSignature(
    inputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, 1, 2, 2)),),
    outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, 3)),),
)
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime.datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime.datetime:
        return self.now

    def pass_days(self, days: float) -> None:
        self.now += datetime.timedelta(days=days)


def golden_vectors(samples: int = 4) -> GoldenVectors:
    """Inputs, outputs with a clear winner, and labels that the outputs agree with."""
    random = np.random.default_rng(3)
    outputs = random.random((samples, 3), np.float32)
    labels = outputs.argmax(axis=-1).astype(np.int64)
    return GoldenVectors(
        inputs={"image": random.random((samples, 1, 2, 2), np.float32)},
        outputs={"logits": outputs},
        labels=labels,
    )


def write_bundle(
    out: Path,
    *,
    name: str = "detector",
    version: str = "1.0.0",
    targets: tuple[Target, ...] = ("onnx", "tflite"),
    change: Callable[[BundleWriter], None] = lambda writer: None,
) -> Path:
    """A bundle with one int8 variant for each target and a shared model card."""
    with BundleWriter(name, version) as writer:
        card = writer.add_blob(b"# card\n", DOCUMENT, "model-card.md")
        for target in targets:
            writer.add_variant(
                target=target,
                precision="int8",
                recipe="made for a test",
                signature=SIGNATURE,
                files={f"model.{target}": f"weights for {target}".encode()},
                quality=Quality(samples=4),
                tolerance=Tolerance(min_snr_db=20.0),
                golden=write_golden(golden_vectors()),
                shared=[card],
            )
        change(writer)
        writer.commit(out)
    return out


def image_custom(version: str = "1.0.0", counter: int = 1) -> ImageCustom:
    """What the image repository says of the variant onnx-int8 of detector."""
    return ImageCustom(
        kind="model",
        model="detector",
        version=version,
        release_counter=counter,
        bundle="sha256:" + "ab" * 32,
        target="onnx",
        precision="int8",
    )


def director_custom(image: ImageCustom, *, device: str = "cam-1") -> DirectorCustom:
    """What the director says of it, for one device."""
    return DirectorCustom(image=image, device=device, hardware_id="generic", assignment=1)
