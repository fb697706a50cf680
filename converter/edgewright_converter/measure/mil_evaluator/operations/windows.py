"""Convolutions and pools (MIL ops `conv`, `pool`) over windows of the padded input."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates


def _pads(
    arguments: Arguments, sizes: tuple[int, ...], extents: list[int], strides: list[int]
) -> list[tuple[int, int]]:
    """Before and after each spatial axis; `extents` are those of a window, holes included."""
    kind, spatial = arguments.text("pad_type", "valid"), len(sizes)
    pad = arguments.integers("pad", [0] * (2 * spatial))
    if kind == "valid":
        return [(0, 0)] * spatial
    if kind == "custom":
        return [(pad[2 * axis], pad[2 * axis + 1]) for axis in range(spatial)]
    if kind not in ("same", "same_lower"):
        raise arguments.refuse(f"pad_type {kind}")
    pads = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        # d_out = ceil(d_in / stride); an odd pad goes to the end, or (same_lower) to the beginning.
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if kind == "same" else (large, small))
    return pads


def _extents(kernel: Sequence[int], dilations: list[int]) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]


def _windows(
    x: Array, kernel: list[int], strides: list[int], dilations: list[int]
) -> tuple[Array, list[int]]:
    """A view [N, C, outputs..., kernel...], and the axes of the kernel."""
    spatial = len(kernel)
    extents = _extents(kernel, dilations)
    axes = list(range(2, 2 + spatial))
    view = sliding_window_view(x, extents, axes)  # type: ignore[call-overload]  # lists of axes
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    return view[(slice(None), slice(None), *steps)], list(range(2 + spatial, 2 + 2 * spatial))


@evaluates("conv")
def conv(arguments: Arguments) -> Array:
    """Convolution of [N, C, spatial...] by [O, C / groups, kernel...]."""
    x, weight = arguments.tensor("x"), arguments.tensor("weight")
    spatial, groups = x.ndim - 2, arguments.integer("groups", 1)
    ones = [1] * spatial
    strides, dilations = arguments.integers("strides", ones), arguments.integers("dilations", ones)
    extents = _extents(weight.shape[2:], dilations)
    around = _pads(arguments, x.shape[2:], extents, strides)
    padded = np.pad(x, [(0, 0), (0, 0), *around])
    outputs = [
        (size - (k - 1) * dilation - 1) // stride + 1
        for size, k, dilation, stride in zip(
            padded.shape[2:], weight.shape[2:], dilations, strides, strict=True
        )
    ]
    depth = weight.shape[1]
    total = np.zeros((len(x), groups, weight.shape[0] // groups, prod(outputs)), np.float64)
    for offset in np.ndindex(*weight.shape[2:]):
        places = tuple(
            slice(k * dilation, k * dilation + (length - 1) * stride + 1, stride)
            for k, dilation, length, stride in zip(offset, dilations, outputs, strides, strict=True)
        )
        # Sums in float64: BLAS adds float32 in another order near the edges of a matrix, so that
        # equal rows would give unequal results.
        seen = padded[(slice(None), slice(None), *places)].astype(np.float64)
        seen = seen.reshape(len(x), groups, depth, -1)
        taps = weight[(slice(None), slice(None), *offset)].reshape(groups, -1, depth)
        # One channel per group (depthwise) is a product of elements, not of matrices.
        total += taps * seen if depth == 1 else taps @ seen
    result = total.astype(np.float32).reshape(len(x), -1, *outputs)
    return _with_bias(result, arguments.optional("bias"))


def _with_bias(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias.reshape(1, -1, *(1,) * (x.ndim - 2))


@evaluates("conv_transpose")
def conv_transpose(arguments: Arguments) -> Array:
    """The adjoint of conv: each input element adds its weights [C, O / groups, kernel...]."""
    x, weight = arguments.tensor("x"), arguments.tensor("weight")
    spatial, groups = x.ndim - 2, arguments.integer("groups", 1)
    ones = [1] * spatial
    strides, dilations = arguments.integers("strides", ones), arguments.integers("dilations", ones)
    sizes = [
        (size - 1) * stride + (k - 1) * dilation + 1
        for size, stride, k, dilation in zip(
            x.shape[2:], strides, weight.shape[2:], dilations, strict=True
        )
    ]
    rows, columns = weight.shape[0] // groups, weight.shape[1]
    full = np.zeros((x.shape[0], columns * groups, *sizes), np.float32)
    for offset in np.ndindex(*weight.shape[2:]):
        places = tuple(
            slice(k * dilation, k * dilation + (size - 1) * stride + 1, stride)
            for k, dilation, size, stride in zip(
                offset, dilations, x.shape[2:], strides, strict=True
            )
        )
        for group in range(groups):
            part = x[:, group * rows : (group + 1) * rows]
            taps = weight[(slice(group * rows, (group + 1) * rows), slice(None), *offset)]
            added = np.moveaxis(np.tensordot(part, taps, ([1], [0])), -1, 1)
            channels = slice(group * columns, (group + 1) * columns)
            full[(slice(None), channels, *places)] += added
    if arguments.text("pad_type", "valid").startswith("same"):
        raise arguments.refuse("pad_type same of a transposed convolution")
    around = _pads(arguments, x.shape[2:], [1] * spatial, strides)
    cut = tuple(
        slice(before, size - after) for (before, after), size in zip(around, sizes, strict=True)
    )
    result = full[(slice(None), slice(None), *cut)]
    if arguments.integers("output_shape", result.shape) != list(result.shape):
        raise arguments.refuse("an output_shape that its windows do not give")
    return _with_bias(result, arguments.optional("bias"))


@evaluates("max_pool", "avg_pool")
def pool(arguments: Arguments) -> Array:
    """The largest element or the mean of each window."""
    x, kernel = arguments.tensor("x"), arguments.integers("kernel_sizes")
    spatial = x.ndim - 2
    strides = arguments.integers("strides", [1] * spatial)
    if arguments.flag("ceil_mode", default=False):
        raise arguments.refuse("ceil_mode")
    ones = [1] * spatial
    around = [(0, 0), (0, 0), *_pads(arguments, x.shape[2:], kernel, strides)]
    if arguments.kind == "max_pool":
        padded = np.pad(x, around, constant_values=-np.inf)
        view, axes = _windows(padded, kernel, strides, ones)
        largest: Array = view.max(axis=tuple(axes))
        return largest
    view, axes = _windows(np.pad(x, around), kernel, strides, ones)
    total = view.sum(axis=tuple(axes))
    if not arguments.flag("exclude_padding_from_average", default=False):
        return np.asarray(total / np.float32(prod(kernel)))
    own, axes = _windows(np.pad(np.ones_like(x), around), kernel, strides, ones)
    return np.asarray(total / own.sum(axis=tuple(axes)))
