"""UNIDIRECTIONAL_SEQUENCE_LSTM, UNIDIRECTIONAL_SEQUENCE_RNN.

Every call starts from a state of zeros; LiteRT keeps the state from call to call until it is
reset. Refused: projections, layer normalization, coupled input and forget gates, clipping, diagonal
weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import (
    SequenceRNNOptions,
    UnidirectionalSequenceLSTMOptions,
)
from edgewright_converter.frontend.tflite.order import FILE
from edgewright_converter.frontend.tflite.registry import reads
from edgewright_converter.graph.model import Array

_GATES = (0, 3, 1, 2)
"""TFLite has input, forget, cell, output; ONNX input, output, forget, cell."""
_PEEPHOLES = (0, 2, 1)
_TANH = 4


@reads("UNIDIRECTIONAL_SEQUENCE_LSTM", 4, place=FILE)
def lstm(call: Call) -> None:
    """[batch, steps, inputs] (time_major: steps first) to the hidden state at every step."""
    options = call.options(UnidirectionalSequenceLSTMOptions)
    if options.fused_activation_function != _TANH:
        call.refuse(f"its activation {options.fused_activation_function} is not tanh")
    if options.cell_clip or options.proj_clip or options.diagonal_recurrent_tensors:
        call.refuse("it clips, or has diagonal weights")
    if call.has(16) or call.has(17) or any(call.has(place) for place in range(20, 24)):
        call.refuse("it has a projection or layer normalization")
    if not call.has(1) or not call.has(5):
        call.refuse("its input and forget gates are coupled")
    inputs = [_matrix(call, place) for place in range(1, 5)]
    recurrent = [_matrix(call, place) for place in range(5, 9)]
    units = recurrent[0].shape[0]
    _check_sizes(call, inputs, recurrent)
    biases = [_vector(call, place, units) for place in range(12, 16)]
    weights = [np.concatenate([parts[gate] for gate in _GATES]) for parts in (inputs, recurrent)]
    bias = np.concatenate([*(biases[gate] for gate in _GATES), np.zeros(4 * units, np.float32)])
    given = [call.composer.constant(array[np.newaxis]) for array in (*weights, bias)]
    if any(call.has(place) for place in range(9, 12)):
        peepholes = [_vector(call, place, units) for place in range(9, 12)]
        joined = np.concatenate([peepholes[gate] for gate in _PEEPHOLES])
        given += ["", "", "", call.composer.constant(joined[np.newaxis])]
    _over_steps(call, "LSTM", given, units, time_major=options.time_major)


@reads("UNIDIRECTIONAL_SEQUENCE_RNN", 3, place=FILE)
def rnn(call: Call) -> None:
    """[batch, steps, inputs] (time_major: steps first) to the hidden state at every step."""
    options = call.options(SequenceRNNOptions)
    names = {1: "Relu", _TANH: "Tanh"}
    if options.fused_activation_function not in names:
        call.refuse(f"its activation {options.fused_activation_function} is not known")
    weights, recurrent = _matrix(call, 1), _matrix(call, 2)
    units = recurrent.shape[0]
    _check_sizes(call, [weights], [recurrent])
    bias = np.concatenate([_vector(call, 3, units), np.zeros(units, np.float32)])
    given = [call.composer.constant(array[np.newaxis]) for array in (weights, recurrent, bias)]
    activations = [names[options.fused_activation_function]]
    _over_steps(call, "RNN", given, units, time_major=options.time_major, activations=activations)


def _over_steps(
    call: Call,
    operator: str,
    weights: Sequence[str],
    units: int,
    *,
    time_major: bool,
    activations: Sequence[str] = (),
) -> None:
    if call.tensor().rank != 3:
        call.refuse(f"its input has {call.tensor().rank} axes")
    value = call.value()
    if not time_major:
        value = call.node("Transpose", [value], perm=[1, 0, 2])
    attributes = {"activations": list(activations)} if activations else {}
    states = call.node(operator, [value, *weights], hidden_size=units, **attributes)
    # [steps, directions, batch, units]
    rows = call.node("Squeeze", [states, call.ints([1])])
    call.give(rows if time_major else call.node("Transpose", [rows], perm=[1, 0, 2]))


def _matrix(call: Call, position: int) -> Array:
    array = call.known(position, "weights")
    if array.ndim != 2 or array.dtype != np.float32:
        call.refuse("its weights are no matrices of real numbers")
    return array


def _check_sizes(call: Call, inputs: Sequence[Array], recurrent: Sequence[Array]) -> None:
    """Every gate's weights are [units, inputs] and [units, units]."""
    units = recurrent[0].shape[0]
    same = {array.shape for array in inputs} == {(units, inputs[0].shape[1])}
    if not same or {array.shape for array in recurrent} != {(units, units)}:
        call.refuse("the weights of its gates are of different sizes")


def _vector(call: Call, position: int, units: int) -> Array:
    if not call.has(position):
        return np.zeros(units, np.float32)
    array = call.known(position, "weights")
    if array.shape != (units,) or array.dtype != np.float32:
        call.refuse(f"its biases are not for {units} units")
    return array
