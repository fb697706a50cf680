"""Recurrent operations (MIL ops `recurrent`), by the equations in their specification."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: np.asarray(0.5 * (1 + np.tanh(0.5 * x))),
    "linear": lambda x: x,
}


def _activation(arguments: Arguments, name: str, default: str) -> Callable[[Array], Array]:
    kind = arguments.text(name, default)
    if kind not in _ACTIVATIONS:
        raise arguments.refuse(f"{name} {kind}")
    return _ACTIVATIONS[kind]


def _steps(arguments: Arguments) -> Array:
    """x [s, b, I]; only forward sequences are known."""
    if arguments.text("direction", "forward") != "forward":
        raise arguments.refuse(f"direction {arguments.text('direction', '')}")
    return arguments.tensor("x")


def _sequence(arguments: Arguments, states: list[Array]) -> Array:
    whole = arguments.flag("output_sequence", default=False)
    return np.stack(states if whole else states[-1:])


@evaluates("rnn")
def rnn(arguments: Arguments) -> list[Array]:
    """h = activation(W_ih x + W_hh h + b)."""
    x, h = _steps(arguments), arguments.tensor("initial_h")
    weight, recurrent = arguments.tensor("weight_ih"), arguments.tensor("weight_hh")
    bias = arguments.optional("bias")
    activation = _activation(arguments, "activation", "tanh")
    states = []
    for row in x:
        total = row @ weight.T + h @ recurrent.T
        h = activation(total if bias is None else total + bias)
        states.append(h)
    return [_sequence(arguments, states), h]


@evaluates("lstm")
def lstm(arguments: Arguments) -> list[Array]:
    """Gates in the order input, forget, output, cell; peepholes in the order i, f, o."""
    x, h = _steps(arguments), arguments.tensor("initial_h")
    c = arguments.tensor("initial_c")
    weight, recurrent = arguments.tensor("weight_ih"), arguments.tensor("weight_hh")
    bias, peephole = arguments.optional("bias"), arguments.optional("peephole")
    gate = _activation(arguments, "recurrent_activation", "sigmoid")
    cell = _activation(arguments, "cell_activation", "tanh")
    out = _activation(arguments, "activation", "tanh")
    p_i, p_f, p_o = np.zeros((3, h.shape[1]), np.float32) if peephole is None else np.split(
        peephole, 3
    )  # fmt: skip
    states = []
    for row in x:
        total = row @ weight.T + h @ recurrent.T
        i, f, o, z = np.split(total if bias is None else total + bias, 4, axis=1)
        i, f = gate(i + p_i * c), gate(f + p_f * c)
        c = f * c + i * cell(z)
        h = gate(o + p_o * c) * out(c)
        states.append(h)
    return [_sequence(arguments, states), h, c]
