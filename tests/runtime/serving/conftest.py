"""One serving process that many tests ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright_manifests.variant import Target
from onnx import TensorProto

from tests.runtime import models
from tests.runtime.serving.running import Running, serving, unpacked_variant

BODY_LIMIT = 1 << 20
TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Unpacked variants by model name: linear in every target, identities of every type."""
    folder = tmp_path_factory.mktemp("variants")
    onnx = models.linear_onnx(folder / "linear.onnx")
    openvino = models.linear_openvino(folder / "linear.xml")
    tflite = models.linear_tflite(folder / "linear.tflite")
    pair = models.two_by_two_onnx(folder / "pair.onnx")
    made: dict[str, tuple[Target, list[Path]]] = {
        "linear-onnx": ("onnx", [onnx]),
        "linear-openvino": ("openvino", [openvino, openvino.with_suffix(".bin")]),
        "linear-tflite": ("tflite", [tflite]),
        "pair": ("onnx", [pair]),
    }
    found = {
        name: unpacked_variant(folder / name, target, files, model=name, version="1.0")
        for name, (target, files) in made.items()
    }
    for datatype, element_type in TYPES.items():
        if datatype == "BYTES":
            continue  # golden vectors, and so bundles, have no strings
        name = f"identity-{datatype}"
        path = models.identity_onnx(folder / f"{name}.onnx", element_type)
        found[name] = unpacked_variant(folder / name, "onnx", [path], model=name, version="1.0")
    return found


@pytest.fixture(scope="session")
def server(
    variants: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """All of them behind one server."""
    unpacked = [
        {"model": name, "generation": "first", "folder": str(folder)}
        for name, folder in variants.items()
    ]
    with serving(tmp_path_factory.mktemp("server"), unpacked, body_bytes=BODY_LIMIT) as running:
        yield running
