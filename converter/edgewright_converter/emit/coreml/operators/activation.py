"""Relu, Clip, LeakyRelu, PRelu, Sigmoid, Tanh, HardSwish, HardSigmoid, Softmax, Elu and their kin.

Honoured of the ONNX specification: Clip's bounds as attributes (opset 6) and inputs (11 on), either
absent; every alpha, beta and gamma; PRelu's slope broadcast; Softmax and LogSoftmax flattened to
two axes before opset 13, over one axis after; both forms of Gelu.
"""

from __future__ import annotations

from math import prod

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import ARITHMETIC, emits

_PLAIN = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus"}


@emits("Relu", (6, 13, 14))
@emits("Sigmoid", (6, 13))
@emits("Tanh", (6, 13))
@emits("Softplus", (1, 22))
def activate(emission: Emission) -> None:
    """An activation that MIL has under its own name."""
    emission.give(emission.op(_PLAIN[emission.node.operator], x=emission.value()))


@emits("Softsign", (1, 22))
def softsign(emission: Emission) -> None:
    """x / (1 + |x|)."""
    emission.give(emission.op("softsign", x=emission.value()))


@emits("Clip", (6, 11, 12, 13), dtypes=ARITHMETIC)
def clip(emission: Emission) -> None:
    """min(max(x, low), high), bounds absent, constant or computed."""
    if emission.node.version >= 11 and _is_computed(emission):
        _clip_by_values(emission)
        return
    low, high = _bound(emission, "min", 1), _bound(emission, "max", 2)
    x = emission.value()
    is_float = emission.type().dtype.kind == "f"
    if is_float and low is not None and high is not None and low <= high:
        if (low, high) == (0, 6):
            emission.give(emission.op("relu6", x=x))
        else:
            emission.give(emission.op("clip", x=x, alpha=low, beta=high))
        return
    if is_float and (low, high) == (0, None):
        emission.give(emission.op("relu", x=x))
        return
    for kind, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            x = emission.op(kind, x=x, y=emission.filled(bound))
    emission.give(emission.op("identity", x=x))


def _is_computed(emission: Emission) -> bool:
    return any(emission.has(at) and emission.constant(at) is None for at in (1, 2))


def _clip_by_values(emission: Emission) -> None:
    x = emission.variable()
    for kind, position in (("maximum", 1), ("minimum", 2)):
        if emission.has(position):
            x = emission.op(kind, x=x, y=emission.value(position))
    emission.give(x)


def _bound(emission: Emission, name: str, position: int) -> float | None:
    if emission.node.version < 11:
        return emission.node.number(name, 0.0) if name in emission.node.attributes else None
    return emission.known(position, name).reshape(()).item() if emission.has(position) else None


@emits("LeakyRelu", (6, 16))
def leaky_relu(emission: Emission) -> None:
    """x, or alpha x below zero."""
    alpha = emission.node.number("alpha", 0.01)
    emission.give(emission.op("leaky_relu", x=emission.value(), alpha=alpha))


@emits("PRelu", (7, 9, 16))
def prelu(emission: Emission) -> None:
    """x, or slope x below zero; the slope broadcasts to x."""
    x, shape, slope = emission.value(), emission.shape(), emission.constant(1)
    rank = len(shape)
    if slope is not None and 3 <= rank <= 5:
        lifted = slope.reshape((1,) * (rank - slope.ndim) + slope.shape)
        if lifted.size == lifted.shape[1]:
            alpha = np.broadcast_to(lifted.reshape(-1), (shape[1],)).astype(np.float32)
            emission.give(emission.op("prelu", x=x, alpha=np.ascontiguousarray(alpha)))
            return
    zero = emission.filled(0)
    negative = emission.op("minimum", x=x, y=zero)
    scaled = emission.op("mul", x=negative, y=emission.value(1))
    emission.give(emission.op("add", x=emission.op("maximum", x=x, y=zero), y=scaled))


@emits("HardSigmoid", (6, 22))
def hard_sigmoid(emission: Emission) -> None:
    """max(0, min(1, alpha x + beta))."""
    node = emission.node
    emission.give(_hard(emission, node.number("alpha", 0.2), node.number("beta", 0.5)))


@emits("HardSwish", (14, 22))
def hard_swish(emission: Emission) -> None:
    """x max(0, min(1, x / 6 + 1 / 2))."""
    emission.give(emission.op("mul", x=emission.value(), y=_hard(emission, 1 / 6, 0.5)))


def _hard(emission: Emission, alpha: float, beta: float) -> Value:
    return emission.op("sigmoid_hard", x=emission.value(), alpha=alpha, beta=beta)


@emits("Elu", (6, 22))
def elu(emission: Emission) -> None:
    """x, or alpha (exp(x) - 1) below zero."""
    alpha = emission.node.number("alpha", 1.0)
    emission.give(emission.op("elu", x=emission.value(), alpha=alpha))


@emits("Selu", (6, 22))
def selu(emission: Emission) -> None:
    """gamma x, or gamma alpha (exp(x) - 1) below zero."""
    alpha = emission.node.number("alpha", 1.67326319217681884765625)
    gamma = emission.node.number("gamma", 1.05070102214813232421875)
    raised = emission.op("elu", x=emission.value(), alpha=alpha)
    emission.give(emission.op("mul", x=raised, y=emission.filled(gamma)))


@emits("Celu", (12, 28))
def celu(emission: Emission) -> None:
    """x, or alpha (exp(x / alpha) - 1) below zero."""
    alpha = emission.node.number("alpha", 1.0)
    if alpha <= 0:
        emission.refuse(f"alpha {alpha} is not positive")
    shrunk = emission.op("mul", x=emission.value(), y=emission.filled(1 / alpha))
    raised = emission.op("elu", x=shrunk, alpha=1.0)
    emission.give(emission.op("mul", x=raised, y=emission.filled(alpha)))


@emits("Gelu", (20,))
def gelu(emission: Emission) -> None:
    """x times the normal distribution's share below x, exact or by tanh."""
    tanh = emission.node.text("approximate", "none") == "tanh"
    mode = "TANH_APPROXIMATION" if tanh else "EXACT"
    emission.give(emission.op("gelu", x=emission.value(), mode=mode))


@emits("ThresholdedRelu", (10, 22))
def thresholded_relu(emission: Emission) -> None:
    """x above alpha, else zero; MIL's own keeps x at alpha too, ONNX does not."""
    x, alpha = emission.value(), emission.node.number("alpha", 1.0)
    above = emission.op("greater", x=x, y=emission.filled(alpha))
    kept = emission.op("cast", x=above, dtype="fp32")
    emission.give(emission.op("mul", x=x, y=kept))


@emits("Softmax", (1, 11, 13))
@emits("LogSoftmax", (1, 11, 13))
def softmax(emission: Emission) -> None:
    """exp(x) over its sum along one axis, or the logarithm of that."""
    node, shape = emission.node, emission.shape()
    if not shape:
        emission.refuse("a scalar has no axis")
    axis = node.integer("axis", -1 if node.version >= 13 else 1)
    x = emission.value()
    if node.version < 13:
        cut = axis if axis == len(shape) else axis % len(shape)
        x, axis = emission.reshape(x, (prod(shape[:cut]), prod(shape[cut:]))), 1
    if node.operator == "Softmax":
        result = emission.op("softmax", x=x, axis=axis)
    else:
        total = emission.op("reduce_log_sum_exp", x=x, axes=[axis], keep_dims=True)
        result = emission.op("sub", x=x, y=total)
    emission.give(emission.reshape(result, shape))
