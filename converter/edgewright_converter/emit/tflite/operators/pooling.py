"""MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool: MAX_POOL_2D, AVERAGE_POOL_2D, MEAN,
REDUCE_MAX.

Honoured of the ONNX specification (MaxPool-1, 8, 10, 11, 12, 22; AveragePool-1, 7, 10, 11, 19, 22):
kernel_shape, strides, pads and every auto_pad, ceil_mode, count_include_pad. TFLite's average
ignores padding, as ONNX does by default; every other count is put right by a constant factor per
place. One spatial axis runs as two; dilated windows and three spatial axes run axis by axis.
Refused: the Indices output.
"""

from __future__ import annotations

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import TARGET, Emission
from edgewright_converter.emit.tflite.operators.separated_pooling import (
    maximum_by_axes,
    mean_by_axes,
)
from edgewright_converter.emit.tflite.padding import (
    fits_same,
    fits_valid,
    mirror_axes,
    pad_axes,
    pad_spatial,
)
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST, FREE
from edgewright_converter.graph.model import TensorType
from edgewright_converter.graph.windows import Pads, Windows, pooling_windows

_Op = schema.BuiltinOperator
_LONGEST_SUM = 256
"""LiteRT adds up in one float32; a larger plane is averaged axis by axis (PP-OCRv4 rec: 6 x 80
elements; 96.7 dB in one go, 98.7 dB in two). Smaller ones are faster and quantize better whole."""


@emits("MaxPool", (1, 8, 10, 11, 12, 22), place=CHANNELS_LAST)
def max_pool(emission: Emission) -> None:
    """Largest element of each window; pads never win."""
    if emission.wants(1):
        emission.refuse("the Indices output cannot be expressed")
    windows = pooling_windows(emission.graph, emission.node, TARGET)
    if not _is_plain(windows):
        emission.give(maximum_by_axes(emission, windows))
        return
    image, result, windows = _planes(emission, windows)
    padding = schema.Padding.VALID
    if fits_same(windows) and not fits_valid(windows):
        padding = schema.Padding.SAME
    elif not fits_valid(windows):
        image = _pad_for_maximum(emission, image, windows)
    pooled = _pool(emission, _Op.MAX_POOL_2D, image, windows, padding, result)
    emission.give(emission.reshape(pooled, emission.result_in_memory()))


@emits("AveragePool", (1, 7, 10, 11, 19, 22), place=CHANNELS_LAST)
def average_pool(emission: Emission) -> None:
    """Mean of each window, over its own elements or (count_include_pad) over the pads too."""
    windows = pooling_windows(emission.graph, emission.node, TARGET)
    include = emission.node.integer("count_include_pad", 0) == 1
    if not _is_plain(windows):
        emission.give(mean_by_axes(emission, windows, include_pads=include))
        return
    image, result, windows = _planes(emission, windows)
    counts = windows.counts(include_pads=include)
    if fits_valid(windows):
        padding, given = schema.Padding.VALID, windows.counts(include_pads=True)
    elif fits_same(windows):
        padding, given = schema.Padding.SAME, windows.counts(include_pads=False)
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
    tensor = emission.tensor()
    plane = math.prod(tensor.type.sample[axis] for axis in axes)
    steps = [axes]
    if code == _Op.MEAN and plane > _LONGEST_SUM and None not in tensor.type.shape[1:]:
        steps = [[axis] for axis in axes[::-1]]
    for step in steps:
        options = schema.ReducerOptionsT()
        options.keepDims = True
        reduced = tensor.type.sized(dict.fromkeys(step, 1))
        tensor = emission.operator(code, [tensor, emission.indices(step)], reduced, options)
    emission.give(tensor)


def _is_plain(windows: Windows) -> bool:
    return len(windows.kernel) <= 2 and max(windows.dilations) == 1


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
