"""Small ONNX models and samples, made here so that each test says what matters in it."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]

CLASSES = 4


def write_model(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, Floats],
    *,
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    opset: int = 17,
) -> Path:
    """An FP32 model at `path`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [_value(name, shape) for name, shape in inputs.items()],
        [_value(name, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def classifier(path: Path, *, channels: int = 1, opset: int = 17) -> Path:
    """x [n, channels, 8, 8] -> y [n, 4]: Conv, Relu, GlobalAveragePool, Flatten, Gemm."""
    rng = np.random.default_rng(1)
    weights = {
        "conv": rng.standard_normal((16, channels, 3, 3)).astype(np.float32) * 0.3,
        "dense": rng.standard_normal((CLASSES, 16)).astype(np.float32),
        "bias": np.zeros(CLASSES, np.float32),
    }
    if channels > 1:
        weights["conv"][:, 0] *= 1e-4
    nodes = [
        helper.make_node("Conv", ["x", "conv"], ["a"], name="conv_1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu_1"),
        helper.make_node("GlobalAveragePool", ["b"], ["p"], name="pool_1"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten_1"),
        helper.make_node("Gemm", ["f", "dense", "bias"], ["y"], name="gemm_1", transB=1),
    ]
    return write_model(
        path,
        nodes,
        weights,
        inputs={"x": ["n", channels, 8, 8]},
        outputs={"y": ["n", CLASSES]},
        opset=opset,
    )


def with_operator(path: Path, operator: str) -> Path:
    """x [n, 4, 4] -> y: a model around one operator named `the_culprit`."""
    shape: list[int | str] = ["n"] if operator == "Det" else ["n", 4, 4]
    nodes = [
        helper.make_node("Add", ["x", "x"], ["a"], name="add_1"),
        helper.make_node(operator, ["a"], ["y"], name="the_culprit"),
    ]
    return write_model(path, nodes, {}, inputs={"x": ["n", 4, 4]}, outputs={"y": shape})


def images(count: int, *, channels: int = 1, seed: int = 3) -> Floats:
    """[count, channels, 8, 8]; the class shows in how smooth the image is, and how bright.

    With two channels the first is noise a thousand times louder than the one that decides:
    one INT8 scale for both cannot hold the quiet one.
    """
    rng = np.random.default_rng(seed)
    plain = rng.standard_normal((count, channels, 8, 8))
    plain += rng.standard_normal((count, 1, 1, 1)) * 2
    plain += rng.standard_normal((count, 1, 8, 1)) * 2
    if channels > 1:
        plain[:, 0] *= 1000
    return plain.astype(np.float32)


def save_samples(path: Path, **arrays: NDArray[np.generic]) -> Path:
    """An .npz."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes its options by name
    return path


def _value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
