"""Products (MIL ops `linear`) and norms (`normalization`)."""

from __future__ import annotations

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates


@evaluates("linear")
def linear(arguments: Arguments) -> Array:
    """x weight^T + bias."""
    product = arguments.tensor("x") @ arguments.tensor("weight").T
    bias = arguments.optional("bias")
    return product if bias is None else product + bias


@evaluates("matmul")
def matmul(arguments: Arguments) -> Array:
    """numpy's matmul, each side transposed if asked."""
    x, y = arguments.tensor("x"), arguments.tensor("y")
    if arguments.flag("transpose_x", default=False):
        x = np.swapaxes(x, -1, -2)
    if arguments.flag("transpose_y", default=False):
        y = np.swapaxes(y, -1, -2)
    product: Array = x @ y
    return product


def _channels(arguments: Arguments, name: str, rank: int, default: float) -> Array:
    given = arguments.optional(name)
    if given is None:
        return np.full((1,) * rank, default, np.float32)
    return given.reshape(1, -1, *(1,) * (rank - 2))


@evaluates("batch_norm")
def batch_norm(arguments: Arguments) -> Array:
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel."""
    x = arguments.tensor("x")
    mean, variance = (_channels(arguments, name, x.ndim, 0) for name in ("mean", "variance"))
    gamma, beta = _channels(arguments, "gamma", x.ndim, 1), _channels(arguments, "beta", x.ndim, 0)
    result: Array = gamma * (x - mean) / np.sqrt(variance + arguments.number("epsilon", 1e-5))
    return result + beta


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    difference = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(difference).mean(axis=axes, keepdims=True)
    result: Array = difference / np.sqrt(variance + epsilon)
    return result


@evaluates("instance_norm")
def instance_norm(arguments: Arguments) -> Array:
    """Zero mean, unit variance over the spatial axes; then gamma and beta per channel."""
    x = arguments.tensor("x")
    normal = _standardized(x, tuple(range(2, x.ndim)), arguments.number("epsilon", 1e-5))
    gamma, beta = _channels(arguments, "gamma", x.ndim, 1), _channels(arguments, "beta", x.ndim, 0)
    return gamma * normal + beta


@evaluates("layer_norm")
def layer_norm(arguments: Arguments) -> Array:
    """Zero mean, unit variance over `axes`; then gamma and beta of the shape of these axes."""
    x = arguments.tensor("x")
    axes = sorted(axis % x.ndim for axis in arguments.integers("axes", range(x.ndim)))
    normal = _standardized(x, tuple(axes), arguments.number("epsilon", 1e-5))
    shape = [x.shape[axis] if axis in axes else 1 for axis in range(x.ndim)]
    gamma, beta = arguments.optional("gamma"), arguments.optional("beta")
    if gamma is not None:
        normal = normal * gamma.reshape(shape)
    return normal if beta is None else normal + beta.reshape(shape)


@evaluates("local_response_norm")
def local_response_norm(arguments: Arguments) -> Array:
    """x over (k + alpha / size sum of squares of `size` neighbouring channels) ^ beta."""
    x, size = arguments.tensor("x"), arguments.integer("size")
    squares, half = np.square(x), (size - 1) // 2
    total = np.zeros_like(x)
    for channel in range(x.shape[1]):
        low, high = max(channel - half, 0), channel + size - half
        total[:, channel] = squares[:, low:high].sum(axis=1)
    share = arguments.number("alpha", 1e-4) / size
    base = arguments.number("k", 1.0) + share * total
    return x / base ** arguments.number("beta", 0.75)
