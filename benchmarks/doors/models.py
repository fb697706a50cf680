"""The two models of the comparison: `tiny` takes 16 bytes, `large` 602,112."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPES: Mapping[str, tuple[int, ...]] = {"tiny": (1, 4), "large": (1, 3, 224, 224)}
CLASSES: Mapping[str, int] = {"tiny": 3, "large": 10}


def example(model: str) -> np.ndarray:
    """FP32 input of `SHAPES[model]`, the same in every run."""
    made = np.random.default_rng(1).random(SHAPES[model], dtype=np.float32)
    return made.round(4)


def save_models(folder: Path) -> None:
    """tiny: 4 -> 16 -> 3; large: two convolutions over 3 x 224 x 224, pooled to 10."""
    random = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    nodes = {
        "tiny": [
            helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "w1", "b1"], ["y"]),
        ],
        "large": [
            helper.make_node("Conv", ["x", "w0"], ["h"], strides=[4, 4]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Conv", ["r", "w1"], ["c"], strides=[4, 4]),
            helper.make_node("GlobalAveragePool", ["c"], ["g"]),
            helper.make_node("Flatten", ["g"], ["y"]),
        ],
    }
    weights = {
        "tiny": [
            constant("w0", 4, 16),
            constant("b0", 16),
            constant("w1", 16, 3),
            constant("b1", 3),
        ],
        "large": [constant("w0", 8, 3, 3, 3), constant("w1", 10, 8, 3, 3)],
    }
    for model, shape in SHAPES.items():
        graph = helper.make_graph(
            nodes[model],
            model,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES[model]])],
            weights[model],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(made, folder / f"{model}.onnx")
