"""Models that mean harm, and what is still running because of one."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def endless(path: Path) -> Path:
    """x [n, 4] -> y: counts to 2^62 before it answers."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "sum"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "yes", "x"], ["y"], body=body, name="loop_1")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(np.array(2**62, np.int64), "trips"),
            numpy_helper.from_array(np.array(True), "yes"),
        ],
    )
    return _save(path, graph)


def huge(path: Path, elements: int) -> Path:
    """x [n, 4] -> y [n, 4]: 200 bytes that ask for 4 * `elements` bytes of memory."""
    graph = helper.make_graph(
        [
            # The length comes from x, so that nothing can fold it away beforehand.
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Mul", ["shape", "many"], ["long"]),
            helper.make_node("ConstantOfShape", ["long"], ["zeros"], name="huge_1"),
            helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.array([elements // 4, 1], np.int64), "many")],
    )
    return _save(path, graph)


def _save(path: Path, graph: onnx.GraphProto) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def running_with(word: str) -> list[int]:
    """Processes that have `word` in their environment, this one left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                told = (folder / "environ").read_bytes()
            except OSError:  # it has just ended
                continue
            if word.encode() in told:
                found.append(int(folder.name))
    return found
