"""RELU and its kin, LOGISTIC, TANH, SOFTMAX, GELU and other functions of one tensor."""

from __future__ import annotations

import math

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import (
    ActivationOptions,
    GeluOptions,
    LeakyReluOptions,
    LocalResponseNormalizationOptions,
    SoftmaxOptions,
)
from edgewright_converter.frontend.tflite.order import CHANNELS_FIRST
from edgewright_converter.frontend.tflite.registry import reads

_UNARY = {"RELU": "Relu", "LOGISTIC": "Sigmoid", "TANH": "Tanh", "HARD_SWISH": "HardSwish"}
_BOUNDS = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}


@reads("RELU", 3)
@reads("LOGISTIC", 3)
@reads("TANH", 3)
@reads("HARD_SWISH", 1)
def unary(call: Call) -> None:
    """A function of each element."""
    call.give(call.node(_UNARY[call.operator.kind], [call.value()]))


@reads("RELU6", 3)
@reads("RELU_N1_TO_1", 2)
@reads("RELU_0_TO_1", 2)
def clip(call: Call) -> None:
    """Elements held between two bounds."""
    low, high = _BOUNDS[call.operator.kind]
    call.give(call.node("Clip", [call.value(), call.number(low), call.number(high)]))


@reads("LEAKY_RELU", 2)
def leaky_relu(call: Call) -> None:
    """x, or alpha x below zero."""
    alpha = call.options(LeakyReluOptions).alpha
    call.give(call.node("LeakyRelu", [call.value()], alpha=alpha))


@reads("PRELU", 1)
def prelu(call: Call) -> None:
    """x, or slope x below zero; the slope broadcasts."""
    rank = call.result().rank
    call.give(call.node("PRelu", [call.value(), call.operand(1, rank)]))


@reads("ELU", 1)
def elu(call: Call) -> None:
    """x, or exp(x) - 1 below zero."""
    call.give(call.node("Elu", [call.value()], alpha=1.0))


@reads("GELU", 2)
def gelu(call: Call) -> None:
    """x times the normal distribution function of x, exact or by its tanh approximation.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    """
    value, half, one = call.value(), call.number(0.5), call.number(1)
    if call.options(GeluOptions).approximate:
        cube = call.node("Mul", [call.node("Mul", [value, value]), value])
        inner = call.node("Add", [value, call.node("Mul", [cube, call.number(0.044715)])])
        scaled = call.node("Mul", [inner, call.number(math.sqrt(2 / math.pi))])
        curve = call.node("Tanh", [scaled])
    else:
        curve = call.node("Erf", [call.node("Mul", [value, call.number(math.sqrt(0.5))])])
    share = call.node("Mul", [call.node("Add", [curve, one]), half])
    call.give(call.node("Mul", [value, share]))


@reads("SOFTMAX", 3)
def softmax(call: Call) -> None:
    """exp(beta x) over its sum along the last axis."""
    rank = call.tensor().rank
    beta, value = call.options(SoftmaxOptions).beta, call.value()
    if beta != 1:
        value = call.node("Mul", [value, call.number(beta)])
    call.give(call.node("Softmax", [value], axis=call.axis(-1, rank)))


@reads("LOG_SOFTMAX", 2)
def log_softmax(call: Call) -> None:
    """The logarithm of the softmax along the last axis."""
    axis = call.axis(-1, call.tensor().rank)
    call.give(call.node("LogSoftmax", [call.value()], axis=axis))


@reads("L2_NORMALIZATION", 2)
def l2_normalization(call: Call) -> None:
    """x over its length along the last axis (at least 1e-6, as the kernel has it)."""
    axis = call.axis(-1, call.tensor().rank)
    length = call.node("ReduceL2", [call.value()], axes=[axis])
    least = call.node("Max", [length, call.number(1e-6)])
    made = call.node("Div", [call.value(), least])
    call.give(call.activated(made, call.options(ActivationOptions).fused_activation_function))


@reads("LOCAL_RESPONSE_NORMALIZATION", 1, place=CHANNELS_FIRST)
def local_response_normalization(call: Call) -> None:
    """x over a power of the squares of its neighbours across channels."""
    options = call.options(LocalResponseNormalizationOptions)
    size = 2 * options.radius + 1
    if size < 1 or call.tensor().rank != 4:
        call.refuse(f"its radius is {options.radius}")
    # ONNX divides alpha by the number of neighbours, TFLite does not.
    attributes = {"alpha": options.alpha * size, "beta": options.beta, "bias": options.bias}
    call.give(call.node("LRN", [call.value()], size=size, **attributes))
