"""If, Loop and Scan are put in place, and what comes out answers as onnxruntime does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from edgewright_converter.graph.control_flow import unroll_control_flow
from onnx import TensorProto, helper

from tests.converter.tflite.one_node import weights
from tests.converter.tflite.side_by_side import Arrays, assert_agrees, chain, operators

_FLOAT, _INT64, _BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def _value(name: str, kind: int = _FLOAT, shape: Sequence[int] = (3,)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _choice(condition: str) -> onnx.NodeProto:
    """x + w where the condition holds, relu(x) w elsewhere; both branches call a value `t`."""
    sides = {
        "then_branch": [
            helper.make_node("Add", ["x", "w"], ["t"], name="sum"),
            helper.make_node("Identity", ["t"], ["out"]),
        ],
        "else_branch": [
            helper.make_node("Relu", ["x"], ["t"], name="rectified"),
            helper.make_node("Mul", ["t", "w"], ["out"]),
        ],
    }
    graphs = {
        name: helper.make_graph(nodes, name, [], [_value("out")]) for name, nodes in sides.items()
    }
    return helper.make_node("If", [condition], ["y"], name="choice", **graphs)


@pytest.mark.parametrize("holds", [True, False])
def test_only_the_branch_of_a_known_condition_is_written(holds: bool) -> None:
    constants: Arrays = {"w": weights(3), "c": np.asarray(holds)}
    data = assert_agrees(chain([_choice("c")], {"x": ("n", 3)}, constants))
    assert len(operators(data)) == (1 if holds else 2)


@pytest.mark.parametrize("holds", [True, False])
def test_a_computed_condition_picks_from_both_branches(holds: bool) -> None:
    model = chain([_choice("c")], {"x": (3,), "c": (1,)}, {"w": weights(3)}, dtypes={"c": _BOOL})
    inputs: Arrays = {"x": weights(3), "c": np.asarray([holds])}
    assert_agrees(model, batches=(1,), inputs=inputs)


def test_a_condition_on_the_batch_size_is_not_decided_beforehand() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Equal", ["n", "one"], ["c"]),
        _choice("c"),
    ]
    constants: Arrays = {"w": weights(3), "zero": np.asarray(0), "one": np.asarray(1)}
    model = chain(nodes, {"x": ("n", 3)}, constants)
    assert unroll_control_flow(model) == model


def _loop(trips: int, *, until: int | None = None) -> onnx.ModelProto:
    """v <- v * w + x, and every v; stops early where `until` says so."""
    nodes = [
        helper.make_node("Mul", ["v", "w"], ["scaled"], name="scale"),
        helper.make_node("Add", ["scaled", "x"], ["next"]),
        helper.make_node("Identity", ["next"], ["seen"]),
        helper.make_node("Less", ["i", "last"], ["on"])
        if until is not None
        else helper.make_node("Identity", ["going"], ["on"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [_value("i", _INT64, ()), _value("going", _BOOL, ()), _value("v")],
        [_value("on", _BOOL, ()), _value("next"), _value("seen")],
    )
    node = helper.make_node("Loop", ["m", "go", "x"], ["y", "z"], name="again", body=body)
    constants: dict[str, np.ndarray[Any, Any]] = {
        "w": weights(3),
        "m": np.asarray(trips, np.int64),
        "go": np.asarray(True),
        "last": np.asarray(until or 0, np.int64),
    }
    return chain([node], {"x": (3,)}, constants, ("y", "z"))


@pytest.mark.parametrize("trips", [1, 4])
def test_a_loop_of_known_length_becomes_a_row(trips: int) -> None:
    data = assert_agrees(_loop(trips), batches=(1,))
    assert operators(data).count("ADD") == trips


def test_a_loop_that_a_known_condition_ends_early_is_cut_there() -> None:
    data = assert_agrees(_loop(9, until=2), batches=(1,))
    assert operators(data).count("ADD") == 3


@pytest.mark.parametrize("direction", [0, 1])
def test_a_scan_becomes_a_row(direction: int) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Add", ["total", "piece"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["shown"]),
        ],
        "body",
        [_value("total"), _value("piece")],
        [_value("sum"), _value("shown")],
    )
    node = helper.make_node(
        "Scan",
        ["start", "x"],
        ["y", "z"],
        name="scan",
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_input_directions=[direction],
        scan_output_axes=[1],
        scan_output_directions=[direction],
    )
    model = chain([node], {"x": (3, 5), "start": (3,)}, {}, ("y", "z"))
    data = assert_agrees(model, batches=(1,))
    assert operators(data).count("TANH") == 5


def test_a_branch_inside_a_loop_is_taken_out_too() -> None:
    nodes = [
        helper.make_node("Equal", ["i", "turn"], ["c"]),
        helper.make_node(
            "If",
            ["c"],
            ["next"],
            then_branch=helper.make_graph(
                [helper.make_node("Neg", ["v"], ["out"])], "yes", [], [_value("out")]
            ),
            else_branch=helper.make_graph(
                [helper.make_node("Add", ["v", "w"], ["out"])], "no", [], [_value("out")]
            ),
        ),
        helper.make_node("Identity", ["going"], ["on"]),
    ]
    body = helper.make_graph(
        nodes,
        "body",
        [_value("i", _INT64, ()), _value("going", _BOOL, ()), _value("v")],
        [_value("on", _BOOL, ()), _value("next")],
    )
    node = helper.make_node("Loop", ["m", "", "x"], ["y"], name="again", body=body)
    constants: Arrays = {
        "w": weights(3),
        "m": np.asarray(3, np.int64),
        "turn": np.asarray(1, np.int64),
    }
    data = assert_agrees(chain([node], {"x": (3,)}, constants), batches=(1,))
    assert sorted(operators(data)) == ["ADD", "ADD", "NEG"]
