"""Operators that only the Core ML writer has in this form, beside onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.errors import UnsupportedOperator
from onnx import TensorProto, helper

from tests.converter.coreml.side_by_side import assert_agrees
from tests.converter.tflite.one_node import IMAGE, floats, ints, weights
from tests.converter.tflite.side_by_side import Dims, chain, single

INT64 = TensorProto.INT64
_PLACES = np.asarray([[0, -1, 2], [1, 0, -2]], np.int64)
_SEQUENCE: dict[str, Dims] = {"x": (6, 1, 3)}


def _recurrent(operator: str, gates: int, **attributes: Any) -> onnx.ModelProto:  # as ONNX's are
    both = attributes.get("direction") == "bidirectional"
    count, hidden = (2 if both else 1), 4
    outputs = ("y", "h", "c") if operator == "LSTM" else ("y", "h")
    return single(
        operator, _SEQUENCE,
        {"w": weights(count, gates * hidden, 3), "r": weights(count, gates * hidden, hidden),
         "b": weights(count, 2 * gates * hidden)},
        outputs=outputs, hidden_size=hidden, **attributes,
    )  # fmt: skip


CASES: dict[str, onnx.ModelProto] = {
    "GatherElements negative": single("GatherElements", {"x": (2, 3)}, {"i": _PLACES}, axis=1),
    "GatherElements computed": single(
        "GatherElements", {"x": (2, 3), "i": (1, 3)}, dtypes={"i": INT64}, axis=1
    ),
    "GatherND batch": single("GatherND", {"x": (1, 3, 4)}, {"i": ints(-1).reshape(1, 1)},
                             batch_dims=1),
    "ScatterElements add": single(
        "ScatterElements", {"x": (2, 3)}, {"i": _PLACES, "u": weights(2, 3)}, axis=1,
        reduction="add", opset=18,
    ),
    "ScatterND": single("ScatterND", {"x": (4, 2)}, {"i": ints(1, -1).reshape(2, 1),
                                                      "u": weights(2, 2)}),
    "Hardmax": single("Hardmax", IMAGE, axis=1),
    "LpPool": single("LpPool", IMAGE, kernel_shape=[3, 2], strides=[2, 1], p=3, opset=18),
    "MaxPool dilated": single("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 3]),
    "Conv computed": single("Conv", {"x": (1, 2, 7, 6), "w": (4, 1, 3, 2)}, {"b": weights(4)},
                            group=2, strides=[2, 1], pads=[1, 0, 1, 1]),
    "ConvTranspose computed": single("ConvTranspose", {"x": (1, 2, 4, 3), "w": (2, 3, 3, 2)},
                                     strides=[2, 3], pads=[1, 0, 0, 1]),
    "LayerNormalization statistics": single(
        "LayerNormalization", {"x": (1, 3, 5)}, {"s": weights(5), "b": weights(5)},
        outputs=("y", "mean", "deviation"),
    ),
    "Clip computed": single("Clip", {"x": (1, 5), "low": (), "high": ()}),
    "Asinh": single("Asinh", IMAGE),
    "Mod after Range": chain(
        [helper.make_node("Range", ["a", "b", "c"], ["r"]),
         helper.make_node("Mul", ["x", "r"], ["y"])],
        {"x": (1, 4)},
        {"a": floats(0.0).reshape(()), "b": floats(4.0).reshape(()), "c": floats(1.0).reshape(())},
    ),
    "LSTM": _recurrent("LSTM", 4),
    "LSTM both directions": _recurrent("LSTM", 4, direction="bidirectional"),
    "RNN reversed": _recurrent("RNN", 1, direction="reverse"),
    "GRU": _recurrent("GRU", 3),
    "GRU reset after": _recurrent("GRU", 3, linear_before_reset=1, direction="bidirectional"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_onnxruntime(name: str, tmp_path: Path) -> None:
    assert_agrees(CASES[name], tmp_path, fp16=False)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "ScatterND", "Conv computed"])
def test_it_keeps_40_db_in_float16(name: str, tmp_path: Path) -> None:
    assert_agrees(CASES[name], tmp_path, fp16=True)


def test_a_name_that_mil_reserves_stays_the_sources(tmp_path: Path) -> None:
    assert_agrees(single("Relu", {"state": (1, 3)}), tmp_path, fp16=False)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (_recurrent("LSTM", 4, clip=1.0), "clip"),
        (_recurrent("GRU", 3, activations=["Relu", "Tanh"]), "activations"),
        (single("Conv", {"x": (1, 2, 7, 6), "w": (2, 2, 2, 2)}, dilations=[2, 2]), "dilations"),
    ],
)
def test_what_cannot_be_expressed_is_refused(model: onnx.ModelProto, reason: str) -> None:
    with pytest.raises(UnsupportedOperator, match=reason):
        write_coreml(model, fp16=False)


def test_what_feeds_a_logarithm_stays_in_float32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Mul", ["m", "m"], ["s"]),
        helper.make_node("Log", ["s"], ["y"]),
    ]
    # Squares of 1e-5 are below everything that float16 holds.
    model = chain(nodes, {"x": (1, 8)}, {"w": weights(8, 8) * np.float32(1e-5)})
    assert_agrees(model, tmp_path, fp16=True)
