"""Elu, Selu, Celu, Softplus, Softsign, Swish, Gelu, Erf, ThresholdedRelu: activations that are
composed.

Honoured of the ONNX specification: every attribute (alpha, gamma, Gelu's approximate). Each is
composed so that no intermediate overflows where the result is finite.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits

_Op = schema.BuiltinOperator


@emits("Elu", (6, 22))
def elu(emission: Emission) -> None:
    """x, or alpha (exp(x) - 1) below zero."""
    alpha = emission.node.number("alpha", 1.0)
    if alpha == 1:
        emission.give(emission.operator(_Op.ELU, [emission.tensor()], emission.result_in_memory()))
    else:
        _exponential_unit(emission, alpha=alpha, gamma=1.0, divisor=1.0)


@emits("Selu", (6, 22))
def selu(emission: Emission) -> None:
    """gamma x, or gamma alpha (exp(x) - 1) below zero."""
    alpha = emission.node.number("alpha", 1.67326319217681884765625)
    gamma = emission.node.number("gamma", 1.05070102214813232421875)
    _exponential_unit(emission, alpha=alpha, gamma=gamma, divisor=1.0)


@emits("Celu", (12, 28))
def celu(emission: Emission) -> None:
    """x, or alpha (exp(x / alpha) - 1) below zero."""
    alpha = emission.node.number("alpha", 1.0)
    _exponential_unit(emission, alpha=alpha, gamma=1.0, divisor=alpha)


def _exponential_unit(emission: Emission, *, alpha: float, gamma: float, divisor: float) -> None:
    """gamma (max(x, 0) + alpha (exp(min(x, 0) / divisor) - 1)); ELU is exp - 1 below zero."""
    result, tensor = emission.result_in_memory(), emission.tensor()
    positive = emission.operator(_Op.RELU, [tensor], result)
    negative = emission.binary(_Op.MINIMUM, tensor, emission.filled(0.0, result.dtype), result)
    if divisor != 1:
        inverse = emission.filled(1 / divisor, result.dtype)
        negative = emission.binary(_Op.MUL, negative, inverse, result)
    negative = emission.operator(_Op.ELU, [negative], result)
    if alpha != 1:
        negative = emission.binary(_Op.MUL, negative, emission.filled(alpha, result.dtype), result)
    total = emission.binary(_Op.ADD, positive, negative, result)
    if gamma != 1:
        total = emission.binary(_Op.MUL, total, emission.filled(gamma, result.dtype), result)
    emission.give(total)


@emits("Softplus", (1, 22))
def softplus(emission: Emission) -> None:
    """log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|))."""
    result, tensor = emission.result_in_memory(), emission.tensor()
    positive = emission.operator(_Op.RELU, [tensor], result)
    size = emission.operator(_Op.ABS, [tensor], result, schema.AbsOptionsT())
    opposite = emission.operator(_Op.NEG, [size], result, schema.NegOptionsT())
    raised = emission.operator(_Op.EXP, [opposite], result, schema.ExpOptionsT())
    one = emission.filled(1.0, result.dtype)
    logarithm = emission.operator(_Op.LOG, [emission.binary(_Op.ADD, raised, one, result)], result)
    emission.give(emission.binary(_Op.ADD, positive, logarithm, result))


@emits("Softsign", (1, 22))
def softsign(emission: Emission) -> None:
    """x / (1 + |x|)."""
    result, tensor = emission.result_in_memory(), emission.tensor()
    size = emission.operator(_Op.ABS, [tensor], result, schema.AbsOptionsT())
    divisor = emission.binary(_Op.ADD, size, emission.filled(1.0, result.dtype), result)
    emission.give(emission.binary(_Op.DIV, tensor, divisor, result))


@emits("Swish", (24,))
def swish(emission: Emission) -> None:
    """x / (1 + exp(-alpha x))."""
    result, tensor = emission.result_in_memory(), emission.tensor()
    alpha = emission.node.number("alpha", 1.0)
    scaled = tensor
    if alpha != 1:
        scaled = emission.binary(_Op.MUL, tensor, emission.filled(alpha, result.dtype), result)
    gate = emission.operator(_Op.LOGISTIC, [scaled], result)
    emission.give(emission.binary(_Op.MUL, tensor, gate, result))


@emits("Gelu", (20,))
def gelu(emission: Emission) -> None:
    """x times the normal distribution's share below x, exact or by tanh."""
    options = schema.GeluOptionsT()
    options.approximate = emission.node.text("approximate", "none") == "tanh"
    tensor = emission.tensor()
    emission.give(emission.operator(_Op.GELU, [tensor], emission.result_in_memory(), options))


@emits("Erf", (9, 13))
def erf(emission: Emission) -> None:
    """The error function, to 1.5e-7 (Abramowitz and Stegun, 7.1.26), as TFLite has none."""
    result, tensor = emission.result_in_memory(), emission.tensor()
    one = emission.filled(1.0, result.dtype)
    size = emission.operator(_Op.ABS, [tensor], result, schema.AbsOptionsT())
    slope = emission.filled(0.3275911, result.dtype)
    denominator = emission.binary(
        _Op.ADD, emission.binary(_Op.MUL, size, slope, result), one, result
    )
    share = emission.binary(_Op.DIV, one, denominator, result)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    total = emission.binary(_Op.MUL, share, emission.filled(terms[0], result.dtype), result)
    for term in terms[1:]:
        total = emission.binary(_Op.ADD, total, emission.filled(term, result.dtype), result)
        total = emission.binary(_Op.MUL, total, share, result)
    square = emission.binary(_Op.MUL, tensor, tensor, result)
    opposite = emission.operator(_Op.NEG, [square], result, schema.NegOptionsT())
    bell = emission.operator(_Op.EXP, [opposite], result, schema.ExpOptionsT())
    value = emission.binary(_Op.SUB, one, emission.binary(_Op.MUL, total, bell, result), result)
    sign = emission.operator(_Op.SIGN, [tensor], result)
    emission.give(emission.binary(_Op.MUL, value, sign, result))


@emits("ThresholdedRelu", (10, 22))
def thresholded_relu(emission: Emission) -> None:
    """x above alpha, else zero."""
    result, tensor = emission.result_in_memory(), emission.tensor()
    alpha = emission.filled(emission.node.number("alpha", 1.0), result.dtype)
    above = emission.operator(
        _Op.GREATER, [tensor, alpha], result.typed(np.dtype(np.bool_)), schema.GreaterOptionsT()
    )
    inputs = [above, tensor, emission.filled(0.0, result.dtype)]
    emission.give(emission.operator(_Op.SELECT_V2, inputs, result, schema.SelectV2OptionsT()))
