"""Pools that TFLite's own cannot express (dilated windows, three spatial axes) and LpPool.

A maximum or a sum over a window is one over each of its axes in turn: each is a row of
STRIDED_SLICE, one per element of the window, joined by MAXIMUM or ADD.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import TARGET, Emission
from edgewright_converter.emit.tflite.padding import pad_axes
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST, FREE
from edgewright_converter.graph.windows import Windows, pooling_windows

_Op = schema.BuiltinOperator
_ELEMENTS_MAX = 64


def maximum_by_axes(emission: Emission, windows: Windows) -> Tensor:
    """Largest element of each window of a channels-last image; pads never win."""
    if not windows.counts(include_pads=False).all():
        emission.refuse("a window lies wholly in the padding")
    lowest = float(np.finfo(np.float32).min)
    return _by_axes(emission, emission.tensor(), windows, _Op.MAXIMUM, lowest)


def mean_by_axes(emission: Emission, windows: Windows, *, include_pads: bool) -> Tensor:
    """Mean of each window of a channels-last image."""
    counts = windows.counts(include_pads=include_pads)
    if not counts.all():
        emission.refuse("a window lies wholly in the padding")
    total = _by_axes(emission, emission.tensor(), windows, _Op.ADD, 0.0)
    share = (1 / counts).astype(np.float32)[np.newaxis, ..., np.newaxis]
    return emission.binary(_Op.MUL, total, emission.builder.constant(share), total.type)


@emits("LpPool", (2, 11, 18, 22), place=CHANNELS_LAST)
def lp_pool(emission: Emission) -> None:
    """The p-norm of each window."""
    windows = pooling_windows(emission.graph, emission.node, TARGET)
    raised = _raised(emission, emission.tensor())
    emission.give(_root(emission, _by_axes(emission, raised, windows, _Op.ADD, 0.0)))


@emits("GlobalLpPool", (2, 22), place=FREE)
def global_lp_pool(emission: Emission) -> None:
    """The p-norm over all spatial axes, which stay with size 1."""
    rank = emission.type().rank
    axes = sorted(emission.input_layout.place(axis, rank) for axis in range(2, rank))
    options = schema.ReducerOptionsT()
    options.keepDims = True
    inputs = [_raised(emission, emission.tensor()), emission.indices(axes)]
    total = emission.operator(_Op.SUM, inputs, emission.result_in_memory(), options)
    emission.give(_root(emission, total))


def _raised(emission: Emission, tensor: Tensor) -> Tensor:
    p = emission.node.integer("p", 2)
    if p == 2:
        return emission.binary(_Op.MUL, tensor, tensor, tensor.type)
    size = emission.operator(_Op.ABS, [tensor], tensor.type, schema.AbsOptionsT())
    if p == 1:
        return size
    exponent = emission.filled(float(p), tensor.type.dtype)
    return emission.binary(_Op.POW, size, exponent, tensor.type)


def _root(emission: Emission, tensor: Tensor) -> Tensor:
    p = emission.node.integer("p", 2)
    if p == 2:
        return emission.operator(_Op.SQRT, [tensor], tensor.type)
    if p == 1:
        return tensor
    exponent = emission.filled(1 / p, tensor.type.dtype)
    return emission.binary(_Op.POW, tensor, exponent, tensor.type)


def _by_axes(
    emission: Emission, image: Tensor, windows: Windows, code: int, outside: float
) -> Tensor:
    if sum(windows.kernel) > _ELEMENTS_MAX:
        emission.refuse(f"windows of {windows.kernel} would take too many operators")
    image = pad_axes(emission, image, ((0, 0), *windows.reach, (0, 0)), outside)
    for axis, size in enumerate(windows.kernel, start=1):
        step, dilation = windows.strides[axis - 1], windows.dilations[axis - 1]
        length = windows.outputs[axis - 1]
        total = _every(emission, image, axis, 0, step, length)
        for element in range(1, size):
            part = _every(emission, image, axis, element * dilation, step, length)
            total = emission.binary(code, total, part, total.type)
        image = total
    return image


def _every(
    emission: Emission, image: Tensor, axis: int, start: int, step: int, length: int
) -> Tensor:
    """Elements from `start` on in steps along one axis."""
    rank = image.type.rank
    if (start, step, length) == (0, 1, image.type.sample[axis]):
        return image
    begin, end, strides = [0] * rank, [0] * rank, [1] * rank
    begin[axis], end[axis], strides[axis] = start, start + (length - 1) * step + 1, step
    options = schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = ((1 << rank) - 1) & ~(1 << axis)
    inputs = [image, *(emission.indices(part) for part in (begin, end, strides))]
    type_ = image.type.sized({axis: length})
    return emission.operator(_Op.STRIDED_SLICE, inputs, type_, options)
