"""A table of one-node models of functions that TFLite composes of others."""

import onnx
from onnx import TensorProto, helper

from tests.converter.tflite.one_node import IMAGE, Case, floats, weights
from tests.converter.tflite.side_by_side import chain, single


def _of(inner: str, operator: str) -> onnx.ModelProto:
    """An operator of values that an inner one keeps within its domain."""
    nodes = [helper.make_node(inner, ["x"], ["t"]), helper.make_node(operator, ["t"], ["y"])]
    return chain(nodes, IMAGE, {})


def _above_one(operator: str) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["s"]),
        helper.make_node("Add", ["s", "one"], ["t"]),
        helper.make_node(operator, ["t"], ["y"]),
    ]
    return chain(nodes, IMAGE, {"one": floats(1.0)})


_ROW = {"scale": weights(9, 7), "bias": weights(9, 7)}
FUNCTION_CASES = (
    *(Case(name, single(name, IMAGE)) for name in ("Tan", "Atan", "Sinh", "Cosh", "Asinh")),
    *(Case(name, _of("Tanh", name)) for name in ("Asin", "Acos", "Atanh")),
    Case("Acosh", _above_one("Acosh")),
    Case("Shrink", single("Shrink", IMAGE, lambd=0.4, bias=0.2)),
    Case("IsInf", single("IsInf", IMAGE, output_dtype=TensorProto.BOOL)),
    Case("Mod fmod", single("Mod", {"x": ("n", 4, 5), "z": ("n", 4, 5)}, fmod=1)),
    Case("Clip computed", single("Clip", {**IMAGE, "a": (), "b": ()})),
    Case(
        "LayerNormalization statistics",
        single("LayerNormalization", IMAGE, _ROW, outputs=("y", "mean", "inverse"), axis=2),
    ),
    Case("Conv computed weights", single("Conv", {"x": ("n", 2, 5, 5), "w": (3, 2, 3, 3)})),
    Case(
        "Conv computed weights of groups",
        single("Conv", {"x": ("n", 4, 5, 5), "w": (4, 1, 3, 3), "b": (4,)}, group=4),
    ),
    Case(
        "ConvTranspose computed weights",
        single("ConvTranspose", {"x": ("n", 2, 5, 5), "w": (2, 3, 3, 3)}, strides=[2, 2]),
    ),
)
