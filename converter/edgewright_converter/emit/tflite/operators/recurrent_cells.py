"""One time step of LSTM, GRU and RNN: FULLY_CONNECTED over [x, h], then curves and products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.operators.gathering import joined

_Op = schema.BuiltinOperator
CURVES = {"Sigmoid": _Op.LOGISTIC, "Tanh": _Op.TANH, "Relu": _Op.RELU}


@dataclass(frozen=True, slots=True)
class State:
    """Hidden state and (LSTM) cell, [batch, hidden]; None is a state of zeros."""

    hidden: Tensor | None
    cell: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """Of one direction: input [gates, inputs], recurrent [gates, hidden], biases [gates] each;
    peepholes [3 hidden] or None.
    """

    input: Tensor
    recurrent: Tensor
    input_bias: Tensor
    recurrent_bias: Tensor
    peepholes: Tensor | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the node's attributes say: curves by name, clipping of what goes into them."""

    curves: tuple[str, ...]
    clip: float | None
    input_forget: bool
    reset_after: bool


class Cell(ABC):
    """What the three kinds have in common."""

    def __init__(self, emission: Emission, weights: Weights, rules: Rules) -> None:
        self.emission = emission
        self.weights = weights
        self.rules = rules
        self.size = weights.recurrent.type.sample[1]
        self.both = joined(emission, [weights.input, weights.recurrent], 1)
        self.bias = added(emission, weights.input_bias, weights.recurrent_bias)

    @abstractmethod
    def step(self, x: Tensor, state: State) -> State:
        """The state after x [batch, inputs]."""

    def gates(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """Input and state by their weights, with both biases."""
        if hidden is None:
            return dense(self.emission, x, self.weights.input, self.bias)
        return dense(self.emission, joined(self.emission, [x, hidden], 1), self.both, self.bias)

    def curve(self, turn: int, tensor: Tensor) -> Tensor:
        """An activation function after the clip."""
        clip = self.rules.clip
        if clip is not None:
            for code, limit in ((_Op.MINIMUM, clip), (_Op.MAXIMUM, -clip)):
                bound = self.emission.builder.constant(np.full(1, limit, np.float32))
                tensor = self.emission.binary(code, tensor, bound, tensor.type)
        return self.emission.operator(CURVES[self.rules.curves[turn]], [tensor], tensor.type)

    def mul(self, left: Tensor, right: Tensor) -> Tensor:
        """A product of equal shapes, or with one that broadcasts."""
        return self.emission.binary(_Op.MUL, left, right, left.type)

    def add(self, left: Tensor, right: Tensor) -> Tensor:
        """A sum of equal shapes."""
        return self.emission.binary(_Op.ADD, left, right, left.type)

    def rest(self, gate: Tensor) -> Tensor:
        """1 - gate."""
        one = self.emission.builder.constant(np.ones(1, np.float32))
        return self.emission.binary(_Op.SUB, one, gate, gate.type)


class LstmCell(Cell):
    """Gates in the order input, output, forget, cell; peepholes input, output, forget."""

    def step(self, x: Tensor, state: State) -> State:
        """Equations of the ONNX operator LSTM."""
        gates = split(self.emission, self.gates(x, state.hidden), 4)
        enter, leave, keep, new = gates
        peeps = self.weights.peepholes
        holes = [] if peeps is None else split(self.emission, peeps, 3)
        if holes and state.cell is not None:
            enter = self.add(enter, self.mul(state.cell, holes[0]))
            keep = self.add(keep, self.mul(state.cell, holes[2]))
        entered = self.curve(0, enter)
        fresh = self.mul(entered, self.curve(1, new))
        if state.cell is not None:
            kept = self.rest(entered) if self.rules.input_forget else self.curve(0, keep)
            fresh = self.add(self.mul(kept, state.cell), fresh)
        if holes:
            leave = self.add(leave, self.mul(fresh, holes[1]))
        return State(self.mul(self.curve(0, leave), self.curve(2, fresh)), fresh)


class GruCell(Cell):
    """Gates in the order update, reset, hidden."""

    def __init__(self, emission: Emission, weights: Weights, rules: Rules) -> None:
        super().__init__(emission, weights, rules)
        count = 2 * self.size
        self._pair = rows(emission, self.both, 0, count)
        self._pair_input = rows(emission, weights.input, 0, count)
        self._pair_bias = rows(emission, self.bias, 0, count)
        end = 3 * self.size
        self._new_both = rows(emission, self.both, count, end)
        self._new_bias = rows(emission, self.bias, count, end)
        self._new_input = rows(emission, weights.input, count, end)
        self._new_input_bias = rows(emission, weights.input_bias, count, end)
        self._new_recurrent = rows(emission, weights.recurrent, count, end)
        self._new_recurrent_bias = rows(emission, weights.recurrent_bias, count, end)

    def step(self, x: Tensor, state: State) -> State:
        """Equations of the ONNX operator GRU."""
        hidden = state.hidden
        if hidden is None:
            return self._first(x)
        pair = dense(
            self.emission, joined(self.emission, [x, hidden], 1), self._pair, self._pair_bias
        )
        update, reset = (self.curve(0, gate) for gate in split(self.emission, pair, 2))
        if self.rules.reset_after:
            inner = dense(self.emission, hidden, self._new_recurrent, self._new_recurrent_bias)
            outer = dense(self.emission, x, self._new_input, self._new_input_bias)
            new = self.add(outer, self.mul(reset, inner))
        else:
            both = joined(self.emission, [x, self.mul(reset, hidden)], 1)
            new = dense(self.emission, both, self._new_both, self._new_bias)
        fresh = self.mul(self.rest(update), self.curve(1, new))
        return State(self.add(fresh, self.mul(update, hidden)))

    def _first(self, x: Tensor) -> State:
        """From a state of zeros, which leaves only biases of the recurrent part."""
        pair = dense(self.emission, x, self._pair_input, self._pair_bias)
        update, reset = (self.curve(0, gate) for gate in split(self.emission, pair, 2))
        if self.rules.reset_after:
            outer = dense(self.emission, x, self._new_input, self._new_input_bias)
            new = self.add(outer, self.mul(reset, self._new_recurrent_bias))
        else:
            new = dense(self.emission, x, self._new_input, self._new_bias)
        return State(self.mul(self.rest(update), self.curve(1, new)))


class RnnCell(Cell):
    """One gate."""

    def step(self, x: Tensor, state: State) -> State:
        """f(x W + h R + b)."""
        return State(self.curve(0, self.gates(x, state.hidden)))


def dense(emission: Emission, tensor: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """FULLY_CONNECTED: [batch, n] by [m, n] gives [batch, m]."""
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    type_ = tensor.type.sized({1: weights.type.sample[0]})
    return emission.operator(_Op.FULLY_CONNECTED, [tensor, weights, bias], type_, options)


def added(emission: Emission, left: Tensor, right: Tensor) -> Tensor:
    """A sum; of constants beforehand."""
    one, other = emission.builder.data(left), emission.builder.data(right)
    if one is not None and other is not None:
        return emission.builder.constant(one + other)
    return emission.binary(_Op.ADD, left, right, left.type)


def rows(emission: Emission, tensor: Tensor, start: int, end: int) -> Tensor:
    """Some rows of weights or elements of a bias."""
    data = emission.builder.data(tensor)
    if data is not None:
        return emission.builder.constant(data[start:end])
    rank = tensor.type.rank
    begin = emission.indices([start, *[0] * (rank - 1)])
    sizes = emission.indices([end - start, *[-1] * (rank - 1)])
    type_ = tensor.type.sized({0: end - start})
    return emission.operator(_Op.SLICE, [tensor, begin, sizes], type_, schema.SliceOptionsT())


def split(emission: Emission, tensor: Tensor, count: int) -> list[Tensor]:
    """Equal parts along the last axis."""
    data = emission.builder.data(tensor)
    if data is not None:
        return [emission.builder.constant(part) for part in np.split(data, count, axis=-1)]
    last = tensor.type.rank - 1
    part = tensor.type.sized({last: tensor.type.sample[last] // count})
    options = schema.SplitOptionsT()
    options.numSplits = count
    axis = emission.builder.constant(np.array(last, np.int32))
    return emission.builder.operator(_Op.SPLIT, [axis, tensor], [part] * count, options)
