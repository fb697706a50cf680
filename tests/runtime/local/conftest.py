"""One serving process with a local door that many tests ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from onnx import TensorProto

from tests.runtime import models
from tests.runtime.serving.running import Running, serving, unpacked_variant


@dataclass(frozen=True)
class Local:
    """A server and the path of its local door."""

    running: Running
    path: Path


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Unpacked variants by model name."""
    folder = tmp_path_factory.mktemp("variants")
    xml = models.linear_openvino(folder / "linear.xml")
    files = {
        "linear": [models.linear_onnx(folder / "linear.onnx")],
        "second": [models.linear_onnx(folder / "second.onnx", seed=1)],
        "reciprocal": [models.reciprocal_onnx(folder / "reciprocal.onnx")],
        "whole": [models.identity_onnx(folder / "whole.onnx", TensorProto.INT64)],
        "truth": [models.identity_onnx(folder / "truth.onnx", TensorProto.BOOL)],
        "half": [models.identity_onnx(folder / "half.onnx", TensorProto.FLOAT16)],
        "big": [models.identity_onnx(folder / "big.onnx", TensorProto.FLOAT, shape=["n", 1 << 18])],
        "found": [models.nonzero_onnx(folder / "found.onnx")],
    }
    made = {
        name: unpacked_variant(folder / name, "onnx", paths, model=name, version="1.0")
        for name, paths in files.items()
    }
    made["openvino"] = unpacked_variant(
        folder / "openvino", "openvino", [xml, xml.with_suffix(".bin")], model="o", version="1.0"
    )
    made["litert"] = unpacked_variant(
        folder / "litert",
        "tflite",
        [models.linear_tflite(folder / "linear.tflite")],
        model="l",
        version="1.0",
    )
    return made


@pytest.fixture(scope="session")
def local(variants: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """All of them behind one server."""
    unpacked = [
        {"model": name, "generation": "first", "folder": str(folder)}
        for name, folder in variants.items()
    ]
    folder = tmp_path_factory.mktemp("local")
    path = folder / "infer.sock"
    with serving(folder, unpacked, socket=str(path), body_bytes=8 << 20) as running:
        yield Local(running, path)
