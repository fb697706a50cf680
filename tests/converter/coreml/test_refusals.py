"""What Core ML cannot express is refused in one line with the operator and the node."""

import importlib.util

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.coreml import coreml_problem, write_coreml
from edgewright_converter.errors import TargetRefused, UnsupportedOperator
from onnx import TensorProto, helper

from tests.converter.tflite.one_node import IMAGE, weights
from tests.converter.tflite.side_by_side import chain, single

_NONE = np.asarray([], np.float32)
_HALF = np.asarray([1, 1, 0.5, 0.5], np.float32)

REFUSED = {
    "an operator that is not known": (
        single("Det", {"x": ("n", 3, 3)}), "Det", "no such operator",
    ),
    "the indices of pooling": (
        single("MaxPool", IMAGE, outputs=("y", "i"), dtypes={"i": TensorProto.INT64},
               kernel_shape=[2, 2]), "MaxPool", "Indices",
    ),
    "computed weights of dilated windows": (
        single("Conv", {"x": ("n", 2, 5, 5), "w": (2, 2, 3, 3)}, dilations=[2, 2]), "Conv",
        "dilations",
    ),
    "antialiased shortening": (
        single("Resize", IMAGE, {"r": _NONE, "s": _HALF}, mode="cubic", antialias=1, opset=18),
        "Resize", "antialias",
    ),
    "an old form": (single("Add", {"x": ("n", 3), "z": ("n", 3)}, opset=6), "Add", "opset 6"),
    "an even number of channels": (single("LRN", IMAGE, size=2), "LRN", "odd"),
    "integer division": (
        single("Div", {"x": ("n", 3), "z": ("n", 3)},
               dtypes={"x": TensorProto.INT32, "z": TensorProto.INT32},
               output_dtype=TensorProto.INT32), "Div", "int32",
    ),
    "a constant beyond 32 bits": (
        single("Add", {"x": ("n", 1)}, {"c": np.asarray([1 << 40], np.int64)},
               dtypes={"x": TensorProto.INT64}, output_dtype=TensorProto.INT64),
        "Add", "beyond 32 bits",
    ),
    "more axes than Core ML has": (
        single("Reshape", {"x": (1, 64)}, {"s": np.asarray([1, 2, 2, 2, 2, 4], np.int64)}),
        "", "6 axes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_operator_node_and_reason(name: str) -> None:
    model, operator, reason = REFUSED[name]
    with pytest.raises(TargetRefused) as caught:
        write_coreml(model, fp16=False)
    assert caught.value.target == "coreml"
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    if operator:
        assert isinstance(caught.value, UnsupportedOperator)
        assert (caught.value.operator, caught.value.node) == (operator, "node")


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.INT16])
def test_inputs_of_types_that_core_ml_lacks_are_refused_by_name(kind: int) -> None:
    with pytest.raises(TargetRefused, match="'x' holds"):
        write_coreml(
            single("Identity", {"x": ("n", 3)}, dtypes={"x": kind}, output_dtype=kind), fp16=False
        )


def test_a_dynamic_size_that_is_no_batch_is_refused_by_name() -> None:
    with pytest.raises(TargetRefused, match="'x' has a dynamic dimension at axis 1"):
        write_coreml(single("Relu", {"x": ("n", "time")}), fp16=False)


def test_a_constant_output_is_refused_by_name() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Identity", ["c"], ["z"]),
    ]
    model: onnx.ModelProto = chain(nodes, {"x": ("n", 3)}, {"c": weights(3)}, ("y", "z"))
    with pytest.raises(TargetRefused, match="output 'z' is constant"):
        write_coreml(model, fp16=False)


def test_without_coremltools_the_refusal_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert coreml_problem().endswith("pip install 'edgewright-converter[coreml]'")
    with pytest.raises(TargetRefused, match=r"edgewright-converter\[coreml\]"):
        write_coreml(single("Relu", {"x": ("n", 3)}), fp16=False)
