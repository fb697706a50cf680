"""MaxPool, AveragePool, LpPool's kin and the global pools: `max_pool`, `avg_pool`, reductions.

Honoured of the ONNX specification (MaxPool-1, 8, 10, 11, 12, 22; AveragePool-1, 7, 10, 11, 19, 22):
kernel_shape, strides, pads and every auto_pad, ceil_mode (as pads at the end), count_include_pad,
one to three spatial axes. Where ONNX counts some pads and not others, the average is put right by
a constant factor per place. Refused: dilated windows, the Indices output.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.emit.coreml.windows import Windows, windows_of
from edgewright_converter.graph.model import Array


@emits("MaxPool", (1, 8, 10, 11, 12, 22))
def max_pool(emission: Emission) -> None:
    """Largest element of each window; pads never win."""
    if emission.wants(1):
        emission.refuse("the Indices output cannot be expressed")
    windows = _windows(emission)
    if not _counts(windows, include=False).all():
        emission.refuse("a window lies wholly in the padding")
    emission.give(
        emission.op(
            "max_pool",
            x=emission.value(),
            kernel_sizes=list(windows.kernel),
            strides=list(windows.strides),
            pad_type="custom",
            pad=windows.flat_reach,
        )
    )


@emits("AveragePool", (1, 7, 10, 11, 19, 22))
def average_pool(emission: Emission) -> None:
    """Mean of each window, over its own elements or (count_include_pad) over the pads too."""
    windows = _windows(emission)
    counts = _counts(windows, include=emission.node.integer("count_include_pad", 0) == 1)
    if not counts.all():
        emission.refuse("a window lies wholly in the padding")
    own = _counts(windows, include=False)
    exclude = np.array_equal(counts, own)
    pooled = emission.op(
        "avg_pool",
        x=emission.value(),
        kernel_sizes=list(windows.kernel),
        strides=list(windows.strides),
        pad_type="custom",
        pad=windows.flat_reach,
        exclude_padding_from_average=exclude,
    )
    if not exclude and not np.all(counts == np.prod(windows.kernel)):
        factor = (np.prod(windows.kernel) / counts).astype(np.float32)[np.newaxis, np.newaxis]
        pooled = emission.op("mul", x=pooled, y=factor)
    emission.give(pooled)


_GLOBAL = {"GlobalAveragePool": "reduce_mean", "GlobalMaxPool": "reduce_max"}


@emits("GlobalAveragePool", (1, 22))
@emits("GlobalMaxPool", (1, 22))
def global_pool(emission: Emission) -> None:
    """Mean or largest element over all spatial axes, which stay with size 1."""
    axes = list(range(2, emission.type().rank))
    kind = _GLOBAL[emission.node.operator]
    emission.give(emission.op(kind, x=emission.value(), axes=axes, keep_dims=True))


def _windows(emission: Emission) -> Windows:
    kernel = emission.node.integers("kernel_shape")
    if kernel is None or not 1 <= len(kernel) <= 3 or emission.type().rank != len(kernel) + 2:
        emission.refuse("only windows over one to three spatial axes can be expressed")
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


def _counts(windows: Windows, *, include: bool) -> Array:
    """How many elements ONNX divides by, per output place [spatial...].

    Pads count if `include`; what ceil_mode reaches beyond them never does (AveragePool-19, and
    onnxruntime for older forms).
    """
    counts: Array = np.ones((), np.float64)
    for axis, (begin, end) in enumerate(windows.pads):
        starts = np.arange(windows.outputs[axis]) * windows.strides[axis] - begin
        low, high = (-begin, windows.sizes[axis] + end) if include else (0, windows.sizes[axis])
        stops = np.minimum(starts + windows.kernel[axis], high)
        per_axis = np.maximum(stops - np.maximum(starts, low), 0).astype(np.float64)
        counts = np.multiply.outer(counts, per_axis)
    return counts
