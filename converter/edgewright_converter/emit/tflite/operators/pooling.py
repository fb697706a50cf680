"""MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool: MAX_POOL_2D, AVERAGE_POOL_2D, MEAN,
REDUCE_MAX.

Honoured of the ONNX specification (MaxPool-1, 8, 10, 11, 12, 22; AveragePool-1, 7, 10, 11, 19, 22):
kernel_shape, strides, pads and every auto_pad, ceil_mode, count_include_pad. TFLite's average
ignores padding, as ONNX does by default; every other count is put right by a constant factor per
place. One spatial axis runs as two. Refused: dilated windows, the Indices output, three spatial
axes.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.padding import mirror_axes, pad_axes, pad_spatial
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.emit.tflite.windows import Pads, Windows, windows_of
from edgewright_converter.graph.layout import CHANNELS_LAST, FREE
from edgewright_converter.graph.model import Array, TensorType

_Op = schema.BuiltinOperator


@emits("MaxPool", (1, 8, 10, 11, 12, 22), place=CHANNELS_LAST)
def max_pool(emission: Emission) -> None:
    """Largest element of each window; pads never win."""
    if emission.wants(1):
        emission.refuse("the Indices output cannot be expressed")
    windows = _windows(emission)
    image, result, windows = _planes(emission, windows)
    padding = schema.Padding.VALID
    if windows.is_same and not windows.is_valid:
        padding = schema.Padding.SAME
    elif not windows.is_valid:
        image = _pad_for_maximum(emission, image, windows)
    pooled = _pool(emission, _Op.MAX_POOL_2D, image, windows, padding, result)
    emission.give(emission.reshape(pooled, emission.result_in_memory()))


@emits("AveragePool", (1, 7, 10, 11, 19, 22), place=CHANNELS_LAST)
def average_pool(emission: Emission) -> None:
    """Mean of each window, over its own elements or (count_include_pad) over the pads too."""
    windows = _windows(emission)
    include = emission.node.integer("count_include_pad", 0) == 1
    image, result, windows = _planes(emission, windows)
    counts = _counts(windows, include)
    if windows.is_valid:
        padding, given = schema.Padding.VALID, _counts(windows, include=True)
    elif windows.is_same:
        padding, given = schema.Padding.SAME, _counts(windows, include=False)
    else:
        padding = schema.Padding.VALID
        image = pad_spatial(emission, image, windows.reach)
        given = np.full(windows.outputs, np.prod(windows.kernel), np.float64)
    pooled = _pool(emission, _Op.AVERAGE_POOL_2D, image, windows, padding, result)
    if not np.array_equal(counts, given):
        if not counts.all():
            emission.refuse("a window lies wholly in the padding")
        factor = (given / counts).astype(np.float32)[np.newaxis, :, :, np.newaxis]
        inputs = [pooled, emission.builder.constant(factor)]
        pooled = emission.operator(_Op.MUL, inputs, result, schema.MulOptionsT())
    emission.give(emission.reshape(pooled, emission.result_in_memory()))


@emits("GlobalAveragePool", (1, 22), place=FREE)
def global_average_pool(emission: Emission) -> None:
    """Mean over all spatial axes, which stay with size 1."""
    _reduce_spatial(emission, _Op.MEAN)


@emits("GlobalMaxPool", (1, 22), place=FREE)
def global_max_pool(emission: Emission) -> None:
    """Largest element over all spatial axes, which stay with size 1."""
    _reduce_spatial(emission, _Op.REDUCE_MAX)


def _reduce_spatial(emission: Emission, code: int) -> None:
    rank = emission.type().rank
    axes = sorted(emission.input_layout.place(axis, rank) for axis in range(2, rank))
    if not axes:
        emission.give(emission.tensor())
        return
    options = schema.ReducerOptionsT()
    options.keepDims = True
    inputs = [emission.tensor(), emission.indices(axes)]
    emission.give(emission.operator(code, inputs, emission.result_in_memory(), options))


def _windows(emission: Emission) -> Windows:
    kernel = emission.node.integers("kernel_shape")
    if kernel is None or len(kernel) not in (1, 2) or emission.type().rank != len(kernel) + 2:
        emission.refuse("only windows over one or two spatial axes can be expressed")
    windows = windows_of(emission, kernel)
    starts = [
        (output - 1) * stride - begin
        for output, stride, (begin, _) in zip(
            windows.outputs, windows.strides, windows.pads, strict=True
        )
    ]
    ceil = emission.node.integer("ceil_mode", 0)
    if ceil and any(start >= size for start, size in zip(starts, windows.sizes, strict=True)):
        # The specification drops such a window, onnx's shape inference counts it.
        emission.refuse("ceil_mode with a window that starts in the padding is ambiguous")
    if max(windows.dilations) > 1:
        emission.refuse(f"windows with dilations {windows.dilations} cannot be expressed")
    return windows


def _planes(emission: Emission, windows: Windows) -> tuple[Tensor, TensorType, Windows]:
    image, result = emission.tensor(), emission.result_in_memory()
    if len(windows.kernel) == 2:
        return image, result, windows
    image = emission.reshape(image, image.type.inserted(1))
    return image, result.inserted(1), windows.with_row()


def _pool(
    emission: Emission,
    code: int,
    image_nhwc: Tensor,
    windows: Windows,
    padding: int,
    result: TensorType,
) -> Tensor:
    options = schema.Pool2DOptionsT()
    options.padding = padding
    options.filterHeight, options.filterWidth = windows.kernel
    options.strideH, options.strideW = windows.strides
    return emission.operator(code, [image_nhwc], result, options)


def _pad_for_maximum(emission: Emission, image_nhwc: Tensor, windows: Windows) -> Tensor:
    """Pads with elements that cannot change a maximum.

    Mirrored elements are in the window already while no pad is wider than half of it, and, other
    than minus infinity, they leave the range of values that int8 calibration sees as it was. After
    RELU zeros do, and XNNPACK knows PAD.
    """
    if emission.builder.is_rectified(image_nhwc):
        return pad_spatial(emission, image_nhwc, windows.reach)
    pads: Pads = ((0, 0), *windows.reach, (0, 0))
    mirrors = all(
        2 * max(pad) <= windows.kernel[axis] and max(pad) <= windows.sizes[axis]
        for axis, pad in enumerate(windows.reach)
    )
    if mirrors:
        return mirror_axes(emission, image_nhwc, pads, edge_twice=True)
    return pad_axes(emission, image_nhwc, pads, float(np.finfo(np.float32).min))


def _counts(windows: Windows, include: bool) -> Array:
    """How many elements ONNX divides by, per output place [H, W].

    Pads count if `include`; what ceil_mode reaches beyond them never does (AveragePool-19, and
    onnxruntime for older forms).
    """
    per_axis = []
    for axis, (begin, end) in enumerate(windows.pads):
        starts = np.arange(windows.outputs[axis]) * windows.strides[axis] - begin
        low, high = (-begin, windows.sizes[axis] + end) if include else (0, windows.sizes[axis])
        stops = np.minimum(starts + windows.kernel[axis], high)
        per_axis.append(np.maximum(stops - np.maximum(starts, low), 0).astype(np.float64))
    counts: Array = np.multiply.outer(*per_axis)
    return counts
