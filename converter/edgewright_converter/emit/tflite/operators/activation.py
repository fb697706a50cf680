"""Relu, Clip, LeakyRelu, PRelu, Sigmoid, Tanh, HardSwish, HardSigmoid, Softmax and their kin.

Honoured of the ONNX specification: Clip's bounds as attributes (opset 6) and inputs (11 on), either
absent; alpha and beta of HardSigmoid, LeakyRelu; PRelu's slope broadcast; Softmax and LogSoftmax
flattened to two axes before opset 13, over one axis after. Relu, Clip(0, 6) and Clip(-1, 1) are
fused into the operator before, where that has no other reader.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import ARITHMETIC, emits
from edgewright_converter.graph.layout import FREE, SOURCE, Placement
from edgewright_converter.graph.model import Graph, Node, TensorType

_Op = schema.BuiltinOperator
_Activation = schema.ActivationFunctionType


@emits("Relu", (6, 13, 14))
def relu(emission: Emission) -> None:
    """max(x, 0)."""
    _activate(emission, _Op.RELU, _Activation.RELU)


@emits("Clip", (6, 11, 12, 13), dtypes=ARITHMETIC)
def clip(emission: Emission) -> None:
    """min(max(x, low), high), bounds absent, constant or computed."""
    if any(emission.has(i) and emission.constant(i) is None for i in (1, 2)):
        _clip_computed(emission)
        return
    low, high = _bound(emission, "min", 1), _bound(emission, "max", 2)
    if (low, high) == (0, None):
        _activate(emission, _Op.RELU, _Activation.RELU)
    elif (low, high) == (0, 6):
        _activate(emission, _Op.RELU6, _Activation.RELU6)
    elif (low, high) == (-1, 1):
        _activate(emission, _Op.RELU_N1_TO_1, _Activation.RELU_N1_TO_1)
    else:
        result, clipped = emission.result_in_memory(), emission.tensor()
        for code, bound in ((_Op.MAXIMUM, low), (_Op.MINIMUM, high)):
            if bound is not None:
                inputs = [clipped, emission.filled(bound, result.dtype)]
                options = schema.MaximumMinimumOptionsT()
                clipped = emission.operator(code, inputs, result, options)
        emission.give(clipped)


def _clip_computed(emission: Emission) -> None:
    clipped, result = emission.tensor(), emission.result_in_memory()
    for position, code in ((1, _Op.MAXIMUM), (2, _Op.MINIMUM)):
        if emission.has(position):
            clipped = emission.binary(code, clipped, emission.tensor(position), result)
    emission.give(clipped)


def _bound(emission: Emission, name: str, position: int) -> float | None:
    if emission.node.version < 11:
        return emission.node.number(name, 0.0) if name in emission.node.attributes else None
    return float(emission.known(position, name).reshape(())) if emission.has(position) else None


def _activate(emission: Emission, code: int, fused: int) -> None:
    tensor = emission.tensor()
    if emission.values.is_private(tensor) and emission.builder.fuse(tensor, fused):
        emission.give(tensor)
        return
    emission.give(emission.operator(code, [tensor], emission.result_in_memory()))


@emits("Shrink", (9,))
def shrink(emission: Emission) -> None:
    """x + bias below -lambd, x - bias above lambd, 0 between."""
    lambd = emission.node.number("lambd", 0.5)
    bias = emission.node.number("bias", 0.0)
    tensor, result = emission.tensor(), emission.result_in_memory()
    boolean = result.typed(np.dtype(np.bool_))
    shrunk = emission.filled(0.0, result.dtype)
    for code, limit, shift in ((_Op.LESS, -lambd, _Op.ADD), (_Op.GREATER, lambd, _Op.SUB)):
        beyond = emission.operator(code, [tensor, emission.filled(limit, result.dtype)], boolean)
        moved = emission.binary(shift, tensor, emission.filled(bias, result.dtype), result)
        options = schema.SelectV2OptionsT()
        shrunk = emission.operator(_Op.SELECT_V2, [beyond, moved, shrunk], result, options)
    emission.give(shrunk)


@emits("LeakyRelu", (6, 16))
def leaky_relu(emission: Emission) -> None:
    """x, or alpha x below zero."""
    options = schema.LeakyReluOptionsT()
    options.alpha = emission.node.number("alpha", 0.01)
    emission.give(
        emission.operator(_Op.LEAKY_RELU, [emission.tensor()], emission.result_in_memory(), options)
    )


@emits("PRelu", (7, 9, 16))
def prelu(emission: Emission) -> None:
    """x, or slope x below zero; the slope broadcasts to x."""
    rank = emission.type().rank
    inputs = [emission.tensor(), emission.operand(1, rank)]
    emission.give(emission.operator(_Op.PRELU, inputs, emission.result_in_memory()))


@emits("Sigmoid", (6, 13))
def sigmoid(emission: Emission) -> None:
    """1 / (1 + exp(-x))."""
    emission.give(emission.operator(_Op.LOGISTIC, [emission.tensor()], emission.result_in_memory()))


@emits("Tanh", (6, 13))
def tanh(emission: Emission) -> None:
    """Hyperbolic tangent."""
    emission.give(emission.operator(_Op.TANH, [emission.tensor()], emission.result_in_memory()))


@emits("HardSwish", (14, 22))
def hard_swish(emission: Emission) -> None:
    """x max(0, min(1, x / 6 + 1 / 2))."""
    options = schema.HardSwishOptionsT()
    emission.give(
        emission.operator(_Op.HARD_SWISH, [emission.tensor()], emission.result_in_memory(), options)
    )


@emits("HardSigmoid", (6, 22))
def hard_sigmoid(emission: Emission) -> None:
    """max(0, min(1, alpha x + beta)).

    Where beta / alpha and 1 / alpha are exact (alpha = 1/6, beta = 1/2 above all) it is RELU6 of x
    + 3, over 6.
    """
    alpha = np.float32(emission.node.number("alpha", 0.2))
    beta = np.float32(emission.node.number("beta", 0.5))
    result, tensor = emission.result_in_memory(), emission.tensor()
    if np.isclose(alpha, 1 / 6, rtol=1e-6) and beta == 0.5:
        options = schema.AddOptionsT()
        options.fusedActivationFunction = _Activation.RELU6
        shifted = emission.operator(
            _Op.ADD, [tensor, emission.filled(3.0, result.dtype)], result, options
        )
        inputs = [shifted, emission.filled(1 / 6, result.dtype)]
        emission.give(emission.operator(_Op.MUL, inputs, result, schema.MulOptionsT()))
        return
    inputs = [tensor, emission.filled(float(alpha), result.dtype)]
    scaled = emission.operator(_Op.MUL, inputs, result, schema.MulOptionsT())
    options = schema.AddOptionsT()
    options.fusedActivationFunction = _Activation.RELU
    inputs = [scaled, emission.filled(float(beta), result.dtype)]
    shifted = emission.operator(_Op.ADD, inputs, result, options)
    inputs = [shifted, emission.filled(1.0, result.dtype)]
    limits = schema.MaximumMinimumOptionsT()
    emission.give(emission.operator(_Op.MINIMUM, inputs, result, limits))


def _softmax_place(node: Node, graph: Graph) -> Placement:
    rank = graph.types[node.inputs[0]].rank
    axis = node.integer("axis", -1 if node.version >= 13 else 1) % max(rank, 1)
    # Over channels TFLite wants them last; over the last axis the source's order is right; else
    # neither is.
    return FREE if axis == 1 and rank > 2 and node.version >= 13 else SOURCE


@emits("Softmax", (1, 11, 13), place=_softmax_place)
@emits("LogSoftmax", (1, 11, 13), place=_softmax_place)
def softmax(emission: Emission) -> None:
    """exp(x) over its sum along one axis, or the logarithm of that."""
    node, type_ = emission.node, emission.type()
    axis = node.integer("axis", -1 if node.version >= 13 else 1) % max(type_.rank, 1)
    if type_.rank == 0:
        emission.refuse("a scalar has no axis")
    result = emission.result_in_memory()
    if node.version < 13:
        emission.give(_softmax_flattened(emission, axis))
        return
    place = emission.input_layout.place(axis, type_.rank)
    order = [*(index for index in range(type_.rank) if index != place), place]
    back = [order.index(index) for index in range(type_.rank)]
    moved = emission.builder.transpose(emission.tensor(), order)
    summed = _softmax_last(emission, moved, result.permuted(order))
    emission.give(emission.builder.transpose(summed, back))


def _softmax_flattened(emission: Emission, axis: int) -> Tensor:
    type_ = emission.type()
    folded = type_.flattened(axis)
    flat = emission.reshape(emission.tensor(), folded)
    return emission.reshape(_softmax_last(emission, flat, folded), type_)


def _softmax_last(emission: Emission, tensor: Tensor, type_: TensorType) -> Tensor:
    if emission.node.operator == "LogSoftmax":
        options = schema.LogSoftmaxOptionsT()
        return emission.operator(_Op.LOG_SOFTMAX, [tensor], type_, options)
    scaled = schema.SoftmaxOptionsT()
    scaled.beta = 1.0
    return emission.operator(_Op.SOFTMAX, [tensor], type_, scaled)
