"""LSTM, GRU and RNN, unrolled step by step.

LiteRT's own LSTM operator keeps its state from one run of the model to the next, where no caller
can give, read or clear it by the model's signature; ONNX's starts anew. Honoured of the ONNX
specification: all three directions, both layouts, initial states given or not, any of the outputs,
peepholes, clip of GRU and RNN, input_forget, linear_before_reset, the activations Sigmoid, Tanh and
Relu, weights constant or computed. Refused: clip of LSTM, sequence_lens other than the whole
length, other activations, sequences over 128 steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.operators.recurrent_cells import (
    CURVES,
    Cell,
    GruCell,
    LstmCell,
    RnnCell,
    Rules,
    State,
    Weights,
)
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import SOURCE
from edgewright_converter.graph.model import TensorType

_Op = schema.BuiltinOperator
_MAX_STEPS = 128
"""Some 10 operators and 1.5 kB a step; beyond this the file is larger than its weights."""
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_CELLS: dict[str, type[Cell]] = {"LSTM": LstmCell, "GRU": GruCell, "RNN": RnnCell}


@emits("LSTM", (7, 14, 22), place=SOURCE)
@emits("GRU", (7, 14, 22), place=SOURCE)
@emits("RNN", (7, 14, 22), place=SOURCE)
def recurrent(emission: Emission) -> None:
    """A recurrent layer over [steps, batch, inputs], or with layout 1 [batch, steps, inputs]."""
    node = emission.node
    direction = node.text("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        emission.refuse(f"its direction is {direction!r}")
    turns = 2 if direction == "bidirectional" else 1
    batch_first = bool(node.integer("layout", 0))
    _check_steps(emission, 1 if batch_first else 0)
    weights = _weights(emission, turns)
    steps = _unpacked(emission, emission.tensor(0), 1 if batch_first else 0)
    states = _states(emission, turns, 1 if batch_first else 0)
    hidden: list[list[Tensor]] = []
    cells: list[Tensor | None] = []
    for turn in range(turns):
        backwards = turn == 1 or direction == "reverse"
        cell = _CELLS[node.operator](emission, weights[turn], _rules(emission, turn, turns))
        state, row = states[turn], []
        for x in reversed(steps) if backwards else steps:
            state = cell.step(x, state)
            assert state.hidden is not None
            row.append(state.hidden)
        cells.append(state.cell)
        hidden.append(row[::-1] if backwards else row)
    last = [row[0 if direction == "reverse" or turn else -1] for turn, row in enumerate(hidden)]
    _give(emission, hidden, last, [cell for cell in cells if cell is not None], batch_first)


def _give(
    emission: Emission,
    hidden: Sequence[Sequence[Tensor]],
    last: Sequence[Tensor],
    cells: Sequence[Tensor],
    batch_first: bool,
) -> None:
    if emission.wants(0):
        # [steps, directions, batch, hidden], or with layout 1 [batch, steps, directions, hidden].
        axis = 1 if batch_first else 0
        at_steps = [_packed(emission, row, axis) for row in zip(*hidden, strict=True)]
        emission.give(_packed(emission, at_steps, axis))
    axis = 1 if batch_first else 0
    for position, states in ((1, last), (2, cells)):
        if emission.wants(position):
            emission.give(_packed(emission, states, axis), position)


def _check_steps(emission: Emission, axis: int) -> None:
    steps = emission.type(0).shape[axis]
    if steps is None or steps > _MAX_STEPS:
        emission.refuse(f"its sequence has {steps or 'any number of'} steps, at most {_MAX_STEPS}")
    if emission.has(4):
        lengths = emission.constant(4)
        if lengths is None or (lengths != steps).any():
            emission.refuse("it takes sequence_lens")


def _rules(emission: Emission, turn: int, turns: int) -> Rules:
    node = emission.node
    default = _DEFAULTS[node.operator]
    named = node.attributes.get("activations")
    chosen = tuple(str(name) for name in named) if isinstance(named, tuple) else default * turns
    curves = chosen[turn * len(default) : (turn + 1) * len(default)]
    if len(curves) != len(default) or not set(curves) <= set(CURVES):
        emission.refuse(f"its activations are {chosen}, only {tuple(CURVES)} can be written")
    if node.operator == "LSTM" and "clip" in node.attributes:
        # The specification clips what goes into every activation, onnxruntime not the cell's.
        emission.refuse("it has clip, which is ambiguous for the cell")
    for name in ("activation_alpha", "activation_beta"):
        if name in node.attributes:
            emission.refuse(f"it has {name}")
    return Rules(
        curves,
        node.number("clip", 0.0) if "clip" in node.attributes else None,
        bool(node.integer("input_forget", 0)),
        bool(node.integer("linear_before_reset", 0)),
    )


def _weights(emission: Emission, turns: int) -> list[Weights]:
    inputs = _unpacked(emission, emission.tensor(1))
    recurrents = _unpacked(emission, emission.tensor(2))
    biases = _unpacked(emission, emission.tensor(3)) if emission.has(3) else None
    peepholes = _unpacked(emission, emission.tensor(7)) if emission.has(7) else [None] * turns
    found = []
    for turn in range(turns):
        count = recurrents[turn].type.sample[0]
        if biases is None:
            none = emission.builder.constant(np.zeros(count, np.float32))
            pair = [none, none]
        else:
            pair = _halves(emission, biases[turn], count)
        found.append(Weights(inputs[turn], recurrents[turn], pair[0], pair[1], peepholes[turn]))
    return found


def _halves(emission: Emission, bias: Tensor, count: int) -> list[Tensor]:
    data = emission.builder.data(bias)
    if data is not None:
        return [emission.builder.constant(part) for part in (data[:count], data[count:])]
    options = schema.SplitOptionsT()
    options.numSplits = 2
    axis = emission.builder.constant(np.array(0, np.int32))
    part = bias.type.sized({0: count})
    return emission.builder.operator(_Op.SPLIT, [axis, bias], [part] * 2, options)


def _states(emission: Emission, turns: int, axis: int) -> list[State]:
    parts: list[Sequence[Tensor | None]] = []
    for position in (5, 6):
        given = emission.has(position)
        tensors = _unpacked(emission, emission.tensor(position), axis) if given else [None] * turns
        parts.append(tensors)
    return [State(h, c) for h, c in zip(*parts, strict=True)]


def _unpacked(emission: Emission, tensor: Tensor, axis: int = 0) -> list[Tensor]:
    count = tensor.type.sample[axis]
    data = emission.builder.data(tensor)
    if data is not None:
        return [emission.builder.constant(np.take(data, i, axis=axis)) for i in range(count)]
    options = schema.UnpackOptionsT()
    options.num, options.axis = count, axis
    row = tensor.type.without([axis])
    return list(emission.builder.operator(_Op.UNPACK, [tensor], [row] * count, options))


def _packed(emission: Emission, rows: Sequence[Tensor], axis: int = 0) -> Tensor:
    options = schema.PackOptionsT()
    options.valuesCount, options.axis = len(rows), axis
    type_: TensorType = rows[0].type.inserted(axis, len(rows))
    return emission.operator(_Op.PACK, list(rows), type_, options)
