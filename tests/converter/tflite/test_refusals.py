"""What TFLite cannot express is refused in one line with the operator and the node."""

from typing import Any

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import TargetRefused, UnsupportedOperator
from onnx import TensorProto, helper

from tests.converter.tflite.one_node import IMAGE, weights
from tests.converter.tflite.side_by_side import chain, single

HALF = np.asarray([1, 1, 0.5, 0.5], np.float32)
NONE = np.asarray([], np.float32)


def _recurrent(
    operator: str,
    gates: int,
    steps: int = 5,
    **attributes: Any,  # as onnx.helper.make_node takes them
) -> onnx.ModelProto:
    node = helper.make_node(
        operator, ["x", "w", "r"], ["y"], name="memory", hidden_size=4, **attributes
    )
    constants = {"w": weights(1, gates * 4, 3), "r": weights(1, gates * 4, 4)}
    return chain([node], {"x": (steps, 2, 3)}, constants)


def _branches() -> onnx.ModelProto:
    """If by a computed condition, with branches of different shapes."""
    sides = [
        helper.make_graph(
            [helper.make_node("ReduceSum", ["x"], [name], name=name, keepdims=keep)],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, keep in (("kept", 1), ("dropped", 0))
    ]
    node = helper.make_node(
        "If", ["c"], ["y"], name="choice", then_branch=sides[0], else_branch=sides[1]
    )
    shapes: dict[str, tuple[int, ...]] = {"x": (2, 3), "c": (1,)}
    return chain([node], shapes, {}, dtypes={"c": TensorProto.BOOL})


def _endless() -> onnx.ModelProto:
    """Loop with a computed trip count."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["on"]),
            helper.make_node("Add", ["v", "v"], ["w"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]),
        ],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="again", body=body)
    shapes: dict[str, tuple[int, ...]] = {"x": (2,), "n": ()}
    return chain([node], shapes, {}, dtypes={"n": TensorProto.INT64})


REFUSED = {
    "an operator that is not known": (
        single("Det", {"x": ("n", 3, 3)}), "Det", "node", "no such operator",
    ),
    "a clipped LSTM": (_recurrent("LSTM", 4, clip=1.0), "LSTM", "memory", "clip"),
    "an activation of a GRU": (
        _recurrent("GRU", 3, activations=["Sigmoid", "Softsign"]), "GRU", "memory", "Softsign",
    ),
    "a long LSTM": (_recurrent("LSTM", 4, steps=200), "LSTM", "memory", "200 steps"),
    "an operator of another domain": (
        chain(
            [helper.make_node("Swizzle", ["x"], ["y"], name="node", domain="com.example")],
            {"x": ("n", 3)},
            {},
        ),
        "com.example.Swizzle",
        "node",
        "no standard ONNX operator",
    ),
    "the indices of pooling": (
        single("MaxPool", IMAGE, outputs=("y", "i"), dtypes={"i": TensorProto.INT64},
               kernel_shape=[2, 2]),
        "MaxPool", "node", "Indices",
    ),
    "computed weights with groups": (
        single("ConvTranspose", {"x": ("n", 2, 5, 5), "w": (2, 1, 3, 3)}, group=2),
        "ConvTranspose", "node", "groups",
    ),
    "a condition that changes the shape": (
        _branches(), "If", "choice", "different shapes",
    ),
    "a loop whose end is computed": (
        _endless(), "Loop", "again", "number of iterations",
    ),
    "scattering at computed places with a reduction": (
        single("ScatterND", {"x": (4, 3), "i": (2, 1), "u": (2, 3)}, opset=16,
               dtypes={"i": TensorProto.INT64}, reduction="add"),
        "ScatterND", "node", "constant",
    ),
    "antialiased shortening": (
        single("Resize", IMAGE, {"r": NONE, "s": HALF}, mode="cubic", antialias=1, opset=18),
        "Resize", "node", "antialias",
    ),
    "training": (single("BatchNormalization", IMAGE, {
        "s": weights(4), "b": weights(4), "m": weights(4), "v": weights(4) ** 2,
    }, outputs=("y", "m2", "v2"), training_mode=1), "BatchNormalization", "node", "training"),
    "an old form": (
        single("Add", {"x": ("n", 3), "z": ("n", 3)}, opset=6), "Add", "node", "opset 6",
    ),
    "an unknown element type": (
        single("Abs", {"x": ("n", 3)}, dtypes={"x": TensorProto.INT8},
               output_dtype=TensorProto.INT8),
        "Abs", "node", "int8",
    ),
    "an even number of channels": (single("LRN", IMAGE, size=2), "LRN", "node", "odd"),
    "a definition that needs what is not known": (
        single("CenterCropPad", {"x": ("n", 3, 4)}, {"s": np.asarray([2, 2, 2])}, opset=18),
        "CenterCropPad", "node", "its definition needs Pad",
    ),
    "computed axes": (
        single("ReduceSum", {"x": ("n", 3), "a": (1,)}, dtypes={"a": TensorProto.INT64}),
        "ReduceSum", "node", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_operator_node_and_reason(name: str) -> None:
    model, operator, node, reason = REFUSED[name]
    if name == "an operator of another domain":
        model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedOperator) as caught:
        write_tflite(model)
    assert (caught.value.target, caught.value.operator, caught.value.node) == (
        "tflite",
        operator,
        node,
    )
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.UINT16])
def test_inputs_of_types_that_tflite_lacks_are_refused_by_name(kind: int) -> None:
    with pytest.raises(TargetRefused, match="'x' holds"):
        write_tflite(single("Identity", {"x": ("n", 3)}, dtypes={"x": kind}, output_dtype=kind))


def test_a_string_beside_one_constant_is_refused_by_name() -> None:
    model = single(
        "StringConcat", {"x": ("n", 3)}, {"s": np.asarray(["s"], object)}, opset=20,
        dtypes={"x": TensorProto.STRING}, output_dtype=TensorProto.STRING,
    )  # fmt: skip
    with pytest.raises(TargetRefused, match="'x' holds"):
        write_tflite(model)


def test_an_input_without_a_rank_is_refused_by_name() -> None:
    model = single("Relu", {"x": ("n", 3)})
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(TargetRefused, match="'x' is no tensor of known rank"):
        write_tflite(model)


def test_an_empty_input_is_refused_by_name() -> None:
    with pytest.raises(TargetRefused, match="'x' has no elements"):
        write_tflite(single("Relu", {"x": (2, 0)}))


def test_a_huge_constant_is_refused_before_it_is_made() -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"], name="bomb"),
        helper.make_node("ReduceSum", ["c"], ["d"], keepdims=0),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    constants = {"s": np.asarray([1 << 20, 1 << 20], np.int64)}
    with pytest.raises(UnsupportedOperator, match="bomb"):
        write_tflite(chain(nodes, {"x": ("n", 3)}, constants))
