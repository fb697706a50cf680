"""Constants around convolutions end in the weights, and hard swishes in pieces become one."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.converter.tflite.one_node import floats, weights
from tests.converter.tflite.side_by_side import Arrays, assert_agrees, chain, operators

IMAGE = {"x": ("n", 4, 6, 6)}
STATISTICS: Arrays = {
    "s": weights(6),
    "o": weights(6),
    "m": weights(6),
    "v": np.abs(weights(6)) + 0.1,
}


def _conv(source: str, target: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, "w"], [target], name="conv", **attributes)


@pytest.mark.parametrize("group", [1, 2])
def test_what_follows_a_convolution_goes_into_it(group: int) -> None:
    nodes = [
        _conv("x", "a", pads=[1, 1, 1, 1], group=group),
        helper.make_node("BatchNormalization", ["a", *STATISTICS], ["b"]),
        helper.make_node("Mul", ["b", "f"], ["c"]),
        helper.make_node("Sub", ["c", "t"], ["d"]),
        helper.make_node("Div", ["d", "q"], ["y"]),
    ]
    constants = {
        **STATISTICS,
        "w": weights(6, 4 // group, 3, 3),
        "f": floats(1.5),
        "t": weights(6, 1, 1),
        "q": floats(3.0),
    }
    written = operators(assert_agrees(chain(nodes, IMAGE, constants)))
    assert sorted(written) == ["CONV_2D", "TRANSPOSE", "TRANSPOSE"]


def test_what_follows_a_transposed_convolution_goes_into_it() -> None:
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], group=2),
        helper.make_node("BatchNormalization", ["a", *STATISTICS], ["y"]),
    ]
    constants = {**STATISTICS, "w": weights(4, 3, 3, 3)}
    written = operators(assert_agrees(chain(nodes, IMAGE, constants)))
    assert "MUL" not in written
    assert "ADD" not in written


@pytest.mark.parametrize(("pads", "folded"), [([0, 0, 0, 0], True), ([1, 1, 1, 1], False)])
@pytest.mark.parametrize("group", [1, 2])
def test_a_sum_in_front_goes_into_a_convolution_that_does_not_pad(
    pads: list[int], folded: bool, group: int
) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "f"], ["a"]),
        helper.make_node("Add", ["t", "a"], ["b"]),
        _conv("b", "y", pads=pads, group=group),
    ]
    constants = {"w": weights(6, 4 // group, 3, 3), "f": weights(4, 1, 1), "t": floats(0.7)}
    written = operators(assert_agrees(chain(nodes, IMAGE, constants)))
    assert ("ADD" not in written) == folded
    # A factor commutes with zeros, but not past the sum that stays.
    assert ("MUL" not in written) == folded


def test_a_value_that_somebody_else_reads_is_not_folded_away() -> None:
    nodes = [
        _conv("x", "a"),
        helper.make_node("Mul", ["a", "f"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    constants = {"w": weights(6, 4, 3, 3), "f": weights(6, 1, 1)}
    assert "MUL" in operators(assert_agrees(chain(nodes, IMAGE, constants)))


@pytest.mark.parametrize("last", ["Div", "Mul"])
@pytest.mark.parametrize("gate_first", [True, False])
def test_a_hard_swish_in_pieces_is_one_operator(last: str, gate_first: bool) -> None:
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a", "zero", "six"], ["b"]),
        helper.make_node("Mul", ["b", "x"] if gate_first else ["x", "b"], ["c"]),
        helper.make_node(last, ["c", "last"], ["y"]),
    ]
    constants = {
        "three": floats(3),
        "zero": np.asarray(0, np.float32),
        "six": np.asarray(6, np.float32),
        "last": np.asarray(6 if last == "Div" else 1 / 6, np.float32),
    }
    assert operators(assert_agrees(chain(nodes, IMAGE, constants))) == ["HARD_SWISH"]


def test_another_clip_is_no_hard_swish() -> None:
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a", "zero", "five"], ["b"]),
        helper.make_node("Mul", ["x", "b"], ["c"]),
        helper.make_node("Div", ["c", "six"], ["y"]),
    ]
    constants = {
        "three": floats(3),
        "zero": np.asarray(0, np.float32),
        "five": np.asarray(5, np.float32),
        "six": floats(6),
    }
    assert "HARD_SWISH" not in operators(assert_agrees(chain(nodes, IMAGE, constants)))
