"""Small bundles by the real writer; their artifacts are no models, the fleet never runs them."""

from pathlib import Path

import numpy as np
from edgewright_manifests.bundle import BundleWriter
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.variant import Quality, Target, Tolerance

SIGNATURE = ModelSignature(
    inputs=(TensorSpec("image", "FP32", (-1, 4)),),
    outputs=(TensorSpec("logits", "FP32", (-1, 2)),),
)


def make_bundle(
    out: Path,
    version: str,
    *,
    model: str = "detector",
    targets: tuple[Target, ...] = ("onnx", "openvino", "tflite"),
    weight: bytes = b"",
) -> Path:
    golden = write_golden(
        GoldenVectors(
            inputs={"image": np.zeros((2, 4), np.float32)},
            outputs={"logits": np.ones((2, 2), np.float32)},
            labels=np.zeros(2, np.int64),
        )
    )
    with BundleWriter(model, version) as writer:
        for target in targets:
            writer.add_variant(
                target=target,
                precision="int8",
                recipe="none",
                signature=SIGNATURE,
                files={f"model.{target}": (weight or f"{model} {version}".encode()) * 30_000},
                quality=Quality(
                    samples=100,
                    snr_db=31.4,
                    top1_agreement=0.99,
                    accuracy=0.913,
                    accuracy_float=0.921,
                ),
                tolerance=Tolerance(min_accuracy=0.9),
                golden=golden,
            )
        writer.commit(out)
    return out
