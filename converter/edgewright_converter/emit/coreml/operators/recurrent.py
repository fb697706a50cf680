"""LSTM, RNN and GRU: `lstm`, `rnn`; a GRU step by step, as MIL's `gru` fixes one of two meanings.

Honoured of the ONNX specification (7, 14, 22): all directions (a reversed one by turning the
sequence round), both layouts, initial states, peepholes, biases, both meanings of
linear_before_reset. Refused: computed weights, sequences of different lengths, other activations
than the default ones, clip, input_forget, and a GRU of more than 128 steps.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.model import Array

_DEFAULTS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_RNN_ACTIVATIONS = ("tanh", "relu", "sigmoid")
# Each step is some ten operations; beyond this a package is no longer sensible.
_MAX_STEPS = 128


@emits("LSTM", (7, 14, 22))
def lstm(emission: Emission) -> None:
    """Long short-term memory; ONNX orders the gates i, o, f, c and MIL i, f, o, z."""
    _check(emission)
    results = []
    for place, x in enumerate(_sequences(emission)):
        weight, recurrent, bias = _weights(emission, place, 4)
        peephole = emission.known(7, "peepholes")[place] if emission.has(7) else None
        extra = {}
        if peephole is not None:
            i, o, f = np.split(peephole.astype(np.float32), 3)
            extra["peephole"] = np.concatenate([i, f, o])
        results.append(
            emission.op(
                "lstm",
                x=x,
                initial_h=_initial(emission, place, 5),
                initial_c=_initial(emission, place, 6),
                weight_ih=_reordered(weight),
                weight_hh=_reordered(recurrent),
                bias=_reordered(bias),
                direction="forward",
                output_sequence=True,
                **extra,
            )
        )
    _give(emission, [list(result) for result in results])


def _reordered(rows: Array) -> Array:
    i, o, f, c = np.split(rows, 4)
    return np.concatenate([i, f, o, c])


@emits("RNN", (7, 14, 22))
def rnn(emission: Emission) -> None:
    """A simple recurrent network."""
    _check(emission)
    results = []
    for place, x in enumerate(_sequences(emission)):
        weight, recurrent, bias = _weights(emission, place, 1)
        results.append(
            emission.op(
                "rnn",
                x=x,
                initial_h=_initial(emission, place, 5),
                weight_ih=weight,
                weight_hh=recurrent,
                bias=bias,
                direction="forward",
                output_sequence=True,
                activation=_activations(emission)[place],
            )
        )
    _give(emission, [list(result) for result in results])


@emits("GRU", (7, 14, 22))
def gru(emission: Emission) -> None:
    """A gated recurrent unit; ONNX orders the gates z, r, h."""
    _check(emission)
    _give(emission, [_gru(emission, place, x) for place, x in enumerate(_sequences(emission))])


def _gru(emission: Emission, place: int, x: Value) -> list[Value]:
    steps, batch, _ = x.shape
    if steps > _MAX_STEPS:
        emission.refuse(f"{steps} steps are too many to be written one by one")
    weight, recurrent, _ = _weights(emission, place, 3)
    size = recurrent.shape[1]
    both = _biases(emission, place, 3, size)
    given, own = both[: 3 * size], both[3 * size :]
    before_reset = bool(emission.node.integer("linear_before_reset", 0))
    # What does not depend on the state is computed for all steps at once.
    fixed = np.concatenate([own[: 2 * size], np.zeros(size, np.float32)]) + given
    if not before_reset:
        fixed[2 * size :] += own[2 * size :]
    projected = emission.op("linear", x=x, weight=weight, bias=fixed)
    state, states = _initial(emission, place, 5), []
    if isinstance(state, np.ndarray):
        state = emission.op("const", val=state)
    for step in range(steps):
        now = emission.op(
            "slice_by_index", x=projected, begin=[step, 0, 0], end=[step + 1, batch, 3 * size]
        )
        parts = emission.op("split", x=emission.reshape(now, (batch, 3 * size)), axis=1,
                            split_sizes=[2 * size, size])  # fmt: skip
        driven = emission.op("linear", x=state, weight=recurrent[: 2 * size])
        gates = emission.op("sigmoid", x=emission.op("add", x=parts[0], y=driven))
        update, reset = emission.op("split", x=gates, split_sizes=[size, size], axis=1)
        if before_reset:
            hidden = emission.op(
                "linear", x=state, weight=recurrent[2 * size :], bias=own[2 * size :]
            )
            hidden = emission.op("mul", x=reset, y=hidden)
        else:
            kept = emission.op("mul", x=reset, y=state)
            hidden = emission.op("linear", x=kept, weight=recurrent[2 * size :])
        new = emission.op("tanh", x=emission.op("add", x=parts[1], y=hidden))
        # (1 - z) new + z state
        gap = emission.op("sub", x=state, y=new)
        state = emission.op("add", x=new, y=emission.op("mul", x=update, y=gap))
        states.append(state)
    return [emission.op("stack", values=states, axis=0), state]


def _check(emission: Emission) -> None:
    node = emission.node
    if node.attributes.get("clip") is not None or node.integer("input_forget", 0):
        emission.refuse("clip and input_forget cannot be expressed")
    if node.attributes.get("activation_alpha") or node.attributes.get("activation_beta"):
        emission.refuse("activations with parameters cannot be expressed")
    if node.operator != "RNN" and any(
        named != _DEFAULTS[node.operator] for named in _by_direction(emission)
    ):
        emission.refuse("activations other than the default ones cannot be expressed")
    axis = 1 if node.integer("layout", 0) else 0
    if emission.has(4):
        lengths = emission.known(4, "sequence_lens")
        if (lengths != emission.shape()[axis]).any():
            emission.refuse("sequences shorter than the input cannot be expressed")


def _directions(emission: Emission) -> list[str]:
    direction = emission.node.text("direction", "forward")
    return ["forward", "reverse"] if direction == "bidirectional" else [direction]


def _by_direction(emission: Emission) -> list[tuple[str, ...]]:
    named = emission.node.attributes.get("activations")
    default = _DEFAULTS[emission.node.operator]
    count = len(_directions(emission))
    if not isinstance(named, tuple) or not named:
        return [default] * count
    lower = [str(name).lower() for name in named]
    each = len(lower) // count
    return [tuple(lower[at * each : (at + 1) * each]) for at in range(count)]


def _activations(emission: Emission) -> list[str]:
    found = [names[0] for names in _by_direction(emission)]
    if any(name not in _RNN_ACTIVATIONS for name in found):
        emission.refuse(f"activations {', '.join(found)} cannot be expressed")
    return found


def _sequences(emission: Emission) -> list[Value]:
    """The input as [steps, batch, features], once per direction, each in its own order."""
    x = emission.variable(0)
    if emission.node.integer("layout", 0):
        x = emission.op("transpose", x=x, perm=[1, 0, 2])
    return [
        x if direction == "forward" else emission.op("reverse", x=x, axes=[0])
        for direction in _directions(emission)
    ]


def _weights(emission: Emission, place: int, gates: int) -> tuple[Array, Array, Array]:
    """Weights [gates H, I] and [gates H, H] of one direction, and both biases in one."""
    weight = emission.known(1, "weights")[place].astype(np.float32)
    recurrent = emission.known(2, "recurrent weights")[place].astype(np.float32)
    both = _biases(emission, place, gates, recurrent.shape[1])
    return weight, recurrent, both[: len(both) // 2] + both[len(both) // 2 :]


def _biases(emission: Emission, place: int, gates: int, size: int) -> Array:
    """The biases of the input, then those of the state."""
    if not emission.has(3):
        return np.zeros(2 * gates * size, np.float32)
    biases: Array = emission.known(3, "biases")[place].astype(np.float32)
    return biases


def _initial(emission: Emission, place: int, position: int) -> Value:
    """A direction's initial state [batch, H]."""
    swapped = bool(emission.node.integer("layout", 0))
    batch = emission.shape()[0 if swapped else 1]
    size = emission.shape(2)[2]
    if not emission.has(position):
        return np.zeros((batch, size), np.float32)
    known = emission.constant(position)
    if known is not None:
        rows = known[:, place] if swapped else known[place]
        return np.ascontiguousarray(rows, np.float32)
    begin = [0, place, 0] if swapped else [place, 0, 0]
    end = [batch, place + 1, size] if swapped else [place + 1, batch, size]
    part = emission.op("slice_by_index", x=emission.value(position), begin=begin, end=end)
    return emission.reshape(part, (batch, size))


def _give(emission: Emission, results: list[list[Value]]) -> None:
    """The sequence and the last states of all directions, joined as ONNX has them."""
    swapped = bool(emission.node.integer("layout", 0))
    if emission.wants(0):
        turned = [
            sequence if direction == "forward" else emission.op("reverse", x=sequence, axes=[0])
            for direction, (sequence, *_) in zip(_directions(emission), results, strict=True)
        ]
        # [steps, batch, H] each: a new axis of directions before the batch, or after the steps.
        axis = 2 if swapped else 1
        if swapped:
            turned = [emission.op("transpose", x=value, perm=[1, 0, 2]) for value in turned]
        emission.give(emission.op("stack", values=turned, axis=axis), 0)
    for position in range(1, len(emission.node.outputs)):
        if emission.wants(position):
            values = [result[position] for result in results]
            joined = emission.op("stack", values=values, axis=1 if swapped else 0)
            emission.give(joined, position)
