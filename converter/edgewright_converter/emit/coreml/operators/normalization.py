"""BatchNormalization, InstanceNormalization, LayerNormalization, MeanVarianceNormalization,
LpNormalization, LRN.

Honoured of the ONNX specification: BatchNormalization at inference (7, 9, 14, 15); epsilon, axis,
axes and p wherever they appear; LayerNormalization's statistics; LRN over an odd number of
channels. Refused: training, computed scales of BatchNormalization and InstanceNormalization.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.model import Array

# The smallest divisor that float16 still holds with some bits; only norms of zero are below.
_TINY = 1e-6


@emits("BatchNormalization", (7, 9, 14, 15))
def batch_normalization(emission: Emission) -> None:
    """x factor + (bias - mean factor) with factor = scale / sqrt(variance + epsilon)."""
    if emission.node.integer("training_mode", 0) or any(emission.wants(i) for i in range(1, 5)):
        emission.refuse("training cannot be expressed")
    if not emission.node.integer("spatial", 1):
        emission.refuse("statistics per element cannot be expressed")
    names = ("scale", "bias", "mean", "variance")
    gamma, beta, mean, variance = (
        emission.known(position, what).reshape(-1).astype(np.float32)
        for position, what in enumerate(names, start=1)
    )
    epsilon, rank = emission.node.number("epsilon", 1e-5), emission.type().rank
    if 3 <= rank <= 5:
        emission.give(
            emission.op(
                "batch_norm",
                x=emission.value(),
                mean=mean,
                variance=variance,
                gamma=gamma,
                beta=beta,
                epsilon=epsilon,
            )
        )
        return
    factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    scaled = emission.op("mul", x=emission.value(), y=_per_channel(factor, rank))
    emission.give(emission.op("add", x=scaled, y=_per_channel(beta - mean * factor, rank)))


def _per_channel(values: Array, rank: int) -> Array:
    shape = [1] * max(rank, 1)
    shape[min(1, len(shape) - 1)] = values.size
    return values.reshape(shape).astype(np.float32)


@emits("InstanceNormalization", (6, 22))
def instance_normalization(emission: Emission) -> None:
    """Zero mean, unit variance over the spatial axes; then scale and bias per channel."""
    rank = emission.type().rank
    scale, bias = emission.known(1, "scale"), emission.known(2, "bias")
    epsilon = emission.node.number("epsilon", 1e-5)
    if 3 <= rank <= 4:
        emission.give(
            emission.op(
                "instance_norm", x=emission.value(), gamma=scale, beta=bias, epsilon=epsilon
            )
        )
        return
    normal = _standardized(emission, list(range(2, rank)), epsilon)
    scaled = emission.op("mul", x=normal, y=_per_channel(scale, rank))
    emission.give(emission.op("add", x=scaled, y=_per_channel(bias, rank)))


@emits("LayerNormalization", (17,))
def layer_normalization(emission: Emission) -> None:
    """Zero mean, unit variance over the axes from `axis` on; then scale and bias."""
    shape = emission.shape()
    axis = emission.node.integer("axis", -1) % len(shape)
    axes, epsilon = list(range(axis, len(shape))), emission.node.number("epsilon", 1e-5)
    scale, bias = emission.constant(1), emission.constant(2)
    wants_statistics = emission.wants(1) or emission.wants(2)
    known = scale is not None and (bias is not None or not emission.has(2))
    if scale is not None and known and not wants_statistics:
        extra = {} if bias is None else {"beta": _spread(bias, shape[axis:])}
        gamma = _spread(scale, shape[axis:])
        emission.give(
            emission.op(
                "layer_norm", x=emission.value(), axes=axes, gamma=gamma, epsilon=epsilon, **extra
            )
        )
        return
    normal, mean, deviation = _statistics(emission, axes, epsilon)
    total = emission.op("mul", x=normal, y=emission.value(1))
    if emission.has(2):
        total = emission.op("add", x=total, y=emission.value(2))
    emission.give(total)
    if emission.wants(1):
        emission.give(mean, 1)
    if emission.wants(2):
        emission.give(emission.op("real_div", x=emission.filled(1), y=deviation), 2)


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(np.broadcast_to(values, shape), np.float32)


@emits("MeanVarianceNormalization", (9, 13))
def mean_variance_normalization(emission: Emission) -> None:
    """Zero mean, unit variance over axes."""
    rank = emission.type().rank
    axes = [axis % rank for axis in emission.node.integers("axes") or (0, 2, 3)]
    # The definition adds 1e-9, which float16 would round to nothing; seen only where all
    # elements are equal.
    emission.give(_standardized(emission, axes, _TINY**2))


def _standardized(emission: Emission, axes: list[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon) over axes."""
    return _statistics(emission, axes, epsilon)[0]


def _statistics(emission: Emission, axes: list[int], epsilon: float) -> tuple[Value, Value, Value]:
    """Standardized over axes, with the mean and sqrt(variance + epsilon)."""
    x = emission.value()
    mean = emission.op("reduce_mean", x=x, axes=axes, keep_dims=True)
    difference = emission.op("sub", x=x, y=mean)
    square = emission.op("mul", x=difference, y=difference)
    variance = emission.op("reduce_mean", x=square, axes=axes, keep_dims=True)
    shifted = emission.op("add", x=variance, y=emission.filled(epsilon))
    deviation = emission.op("sqrt", x=shifted)
    if epsilon < _TINY:
        deviation = emission.op("maximum", x=deviation, y=emission.filled(_TINY))
    return emission.op("real_div", x=difference, y=deviation), mean, deviation


@emits("LpNormalization", (1, 22))
def lp_normalization(emission: Emission) -> None:
    """x over its norm along one axis; zeros stay zeros."""
    x, axis = emission.value(), emission.node.integer("axis", -1)
    kind = "reduce_l1_norm" if emission.node.integer("p", 2) == 1 else "reduce_l2_norm"
    norm = emission.op(kind, x=x, axes=[axis], keep_dims=True)
    norm = emission.op("maximum", x=norm, y=emission.filled(_TINY))
    emission.give(emission.op("real_div", x=x, y=norm))


@emits("LRN", (1, 13))
def local_response_normalization(emission: Emission) -> None:
    """x over (bias + alpha / size sum of squares of the neighbouring channels) ^ beta."""
    node = emission.node
    size = node.integer("size", 1)
    if size % 2 == 0 or emission.type().rank not in (3, 4):
        emission.refuse("only an odd number of channels of images can be expressed")
    emission.give(
        emission.op(
            "local_response_norm",
            x=emission.value(),
            size=size,
            alpha=node.number("alpha", 1e-4),
            beta=node.number("beta", 0.75),
            k=node.number("bias", 1.0),
        )
    )
