"""LSTM, unrolled step by step: FULLY_CONNECTED, LOGISTIC, TANH and MUL.

LiteRT's own LSTM operator keeps its state inside, where no caller can give or read it, so it cannot
express initial_h and Y_c. Honoured of the ONNX specification: all three directions, initial states
given or not, any of Y, Y_h and Y_c. Refused: sequence_lens, peepholes, clip, input_forget, other
activations, layout 1, weights that are no constants, and sequences over 128 steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import SOURCE
from edgewright_converter.graph.model import Array

_Op = schema.BuiltinOperator
_MAX_STEPS = 128
"""Some 13 operators a step; beyond this the file is larger than its weights."""
_DEFAULT = ("Sigmoid", "Tanh", "Tanh")


@emits("LSTM", (7, 14, 22), place=SOURCE)
def lstm(emission: Emission) -> None:
    """Long short-term memory over [steps, batch, inputs], gates in the order i, o, f, c."""
    _check(emission)
    directions = 2 if _direction(emission) == "bidirectional" else 1
    weights, recurrent = emission.known(1, "W"), emission.known(2, "R")
    biases = emission.known(3, "B") if emission.has(3) else np.zeros((directions, 1), np.float32)
    steps = _unpacked(emission, emission.tensor(0))
    start_h = _states(emission, 5, directions)
    start_c = _states(emission, 6, directions)
    hidden: list[list[Tensor]] = []
    cells: list[Tensor] = []
    for turn in range(directions):
        backwards = turn == 1 or _direction(emission) == "reverse"
        bias = biases[turn]
        half = len(bias) // 2
        cell = _Cell(
            emission,
            weights[turn],
            recurrent[turn],
            bias[:half] + bias[half:] if half else np.zeros(weights.shape[1], np.float32),
        )
        h, c = start_h[turn], start_c[turn]
        row: list[Tensor] = []
        for x in reversed(steps) if backwards else steps:
            h, c = cell.step(x, h, c)
            row.append(h)
        assert c is not None
        cells.append(c)
        hidden.append(row[::-1] if backwards else row)
    _give(emission, hidden, cells, _direction(emission))


def _give(
    emission: Emission, hidden: Sequence[Sequence[Tensor]], cells: Sequence[Tensor], direction: str
) -> None:
    if emission.wants(0):
        rows = [_packed(emission, at_step) for at_step in zip(*hidden, strict=True)]
        emission.give(_packed(emission, rows))
    if emission.wants(1):
        last = [row[0 if direction == "reverse" or turn else -1] for turn, row in enumerate(hidden)]
        emission.give(_packed(emission, last), 1)
    if emission.wants(2):
        emission.give(_packed(emission, cells), 2)


class _Cell:
    """The weights of one direction; `step` writes one time step."""

    def __init__(self, emission: Emission, weight: Array, recurrent: Array, bias: Array) -> None:
        self._emission = emission
        self._size = recurrent.shape[-1]
        self._input_only = emission.builder.constant(weight.astype(np.float32))
        both = np.concatenate([weight, recurrent], axis=1).astype(np.float32)
        self._both = emission.builder.constant(both)
        self._bias = emission.builder.constant(bias.astype(np.float32))

    def step(self, x: Tensor, h: Tensor | None, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Hidden state and cell after x; None is a state of zeros."""
        emission = self._emission
        wide = x.type.sized({1: 4 * self._size})
        narrow = x.type.sized({1: self._size})
        joined = x
        if h is not None:
            options = schema.ConcatenationOptionsT()
            options.axis = 1
            columns = x.type.sample[1] + self._size
            joined = emission.operator(
                _Op.CONCATENATION, [x, h], x.type.sized({1: columns}), options
            )
        weights = self._input_only if h is None else self._both
        dense = schema.FullyConnectedOptionsT()
        dense.keepNumDims = True
        gates = emission.operator(_Op.FULLY_CONNECTED, [joined, weights, self._bias], wide, dense)
        split = schema.SplitOptionsT()
        split.numSplits = 4
        axis = emission.builder.constant(np.array(1, np.int32))
        enter, leave, keep, new = emission.builder.operator(
            _Op.SPLIT, [axis, gates], [narrow] * 4, split
        )
        fresh = emission.binary(
            _Op.MUL, self._curve(_Op.LOGISTIC, enter), self._curve(_Op.TANH, new), narrow
        )
        if c is not None:
            kept = emission.binary(_Op.MUL, self._curve(_Op.LOGISTIC, keep), c, narrow)
            fresh = emission.binary(_Op.ADD, kept, fresh, narrow)
        shown = emission.binary(
            _Op.MUL, self._curve(_Op.LOGISTIC, leave), self._curve(_Op.TANH, fresh), narrow
        )
        return shown, fresh

    def _curve(self, code: int, gate: Tensor) -> Tensor:
        return self._emission.operator(code, [gate], gate.type)


def _check(emission: Emission) -> None:
    node = emission.node
    _direction(emission)
    for position, name in ((4, "sequence_lens"), (7, "P (peepholes)")):
        if emission.has(position):
            emission.refuse(f"it takes {name}")
    for name in ("clip", "activation_alpha", "activation_beta"):
        if name in node.attributes:
            emission.refuse(f"it has {name}")
    if node.integer("input_forget", 0) or node.integer("layout", 0):
        emission.refuse("it couples the gates, or has the batch in front")
    named = node.attributes.get("activations", ())
    chosen = tuple(named) if isinstance(named, tuple) else ()
    if chosen not in ((), _DEFAULT, _DEFAULT * 2):
        emission.refuse(f"its activations are {chosen}, only {_DEFAULT} can be written")
    steps = emission.type(0).shape[0]
    if steps is None or steps > _MAX_STEPS:
        emission.refuse(f"its sequence has {steps or 'any number of'} steps, at most {_MAX_STEPS}")


def _direction(emission: Emission) -> str:
    value = emission.node.attributes.get("direction", "forward")
    if value not in ("forward", "reverse", "bidirectional"):
        emission.refuse(f"its direction is {value!r}")
    return str(value)


def _states(emission: Emission, position: int, directions: int) -> Sequence[Tensor | None]:
    if not emission.has(position):
        return [None] * directions
    return _unpacked(emission, emission.tensor(position))


def _unpacked(emission: Emission, tensor: Tensor) -> list[Tensor]:
    count = tensor.type.sample[0]
    options = schema.UnpackOptionsT()
    options.num, options.axis = count, 0
    row = tensor.type.without([0])
    return list(emission.builder.operator(_Op.UNPACK, [tensor], [row] * count, options))


def _packed(emission: Emission, rows: Sequence[Tensor]) -> Tensor:
    options = schema.PackOptionsT()
    options.valuesCount, options.axis = len(rows), 0
    return emission.operator(_Op.PACK, list(rows), rows[0].type.inserted(0, len(rows)), options)
