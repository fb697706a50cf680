"""A table of one-node LSTM, GRU and RNN models: directions, states, layouts, outputs, gates."""

from typing import Any

import numpy as np
from onnx import helper

from tests.converter.tflite.one_node import Case, weights
from tests.converter.tflite.side_by_side import Dims, chain, single

_STEPS, _INPUTS, _HIDDEN = 3, 5, 4


def _lstm(
    direction: str,
    *,
    batch: int = 2,
    bias: bool = True,
    states: bool = False,
    outputs: tuple[str, ...] = ("y", "h", "c"),
    **attributes: Any,  # Any: as onnx.helper.make_node takes them
) -> Case:
    directions = 2 if direction == "bidirectional" else 1
    shapes: dict[str, Dims] = {"x": (_STEPS, batch, _INPUTS)}
    constants: dict[str, np.ndarray[Any, Any]] = {
        "w": weights(directions, 4 * _HIDDEN, _INPUTS),
        "r": weights(directions, 4 * _HIDDEN, _HIDDEN),
    }
    names = ["x", "w", "r"]
    if bias:
        constants["b"] = weights(directions, 8 * _HIDDEN)
    if bias or states:
        names.append("b" if bias else "")
    if states:
        shapes |= dict.fromkeys(("h0", "c0"), (directions, batch, _HIDDEN))
        names += ["", "h0", "c0"]
    told = ", ".join(["" if bias else "no bias", "states" if states else "", *outputs])
    return Case(
        f"LSTM {direction} {told}",
        single(
            "LSTM",
            shapes,
            constants,
            inputs=names,
            outputs=outputs,
            direction=direction,
            hidden_size=_HIDDEN,
            **attributes,
        ),
    )


def _batch_first() -> Case:
    """As exporters write a batch_first layer: the batch is dynamic, and turned inside."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["", "y"], name="lstm", hidden_size=_HIDDEN),
    ]
    constants = {"w": weights(1, 4 * _HIDDEN, _INPUTS), "r": weights(1, 4 * _HIDDEN, _HIDDEN)}
    return Case("LSTM batch first", chain(nodes, {"x": ("n", _STEPS, _INPUTS)}, constants))


def _layer(operator: str, direction: str, *, states: bool = False, **attributes: Any) -> Case:
    """A GRU or RNN."""
    gates = {"GRU": 3, "RNN": 1, "LSTM": 4}[operator]
    directions = 2 if direction == "bidirectional" else 1
    shapes: dict[str, Dims] = {"x": (_STEPS, 2, _INPUTS)}
    names = ["x", "w", "r", "b"]
    if states:
        shapes["h0"] = (directions, 2, _HIDDEN)
        names += ["", "h0"]
    constants = {
        "w": weights(directions, gates * _HIDDEN, _INPUTS),
        "r": weights(directions, gates * _HIDDEN, _HIDDEN),
        "b": weights(directions, 2 * gates * _HIDDEN),
    }
    told = " ".join([operator, direction, "states" if states else "", *map(str, attributes)])
    return Case(
        told,
        single(
            operator,
            shapes,
            constants,
            inputs=names,
            outputs=("y", "h"),
            direction=direction,
            hidden_size=_HIDDEN,
            **attributes,
        ),
    )


def _peepholes() -> Case:
    constants = {
        "w": weights(1, 4 * _HIDDEN, _INPUTS),
        "r": weights(1, 4 * _HIDDEN, _HIDDEN),
        "b": weights(1, 8 * _HIDDEN),
        "p": weights(1, 3 * _HIDDEN),
    }
    model = single(
        "LSTM",
        {"x": (_STEPS, 2, _INPUTS)},
        constants,
        inputs=["x", "w", "r", "b", "", "", "", "p"],
        outputs=("y", "h", "c"),
        hidden_size=_HIDDEN,
    )
    return Case("LSTM peepholes", model)


RECURRENT_CASES = (
    *(
        _layer(operator, direction, states=states)
        for operator in ("GRU", "RNN")
        for direction, states in (("forward", True), ("reverse", False), ("bidirectional", True))
    ),
    _layer("GRU", "forward", linear_before_reset=1),
    _layer("GRU", "bidirectional", states=True, linear_before_reset=1),
    _layer("GRU", "forward", clip=0.5),
    _layer("RNN", "forward", activations=["Relu"]),
    _layer("LSTM", "forward", input_forget=1),
    _peepholes(),
    _batch_first(),
    *(_lstm(direction, states=True) for direction in ("forward", "reverse", "bidirectional")),
    _lstm("forward"),
    _lstm("bidirectional", bias=False),
    _lstm("reverse", outputs=("", "h")),
    _lstm("forward", outputs=("y",)),
)
