"""MaxPool, AveragePool, LpPool and the global pools: `max_pool`, `avg_pool`, reductions.

Honoured of the ONNX specification (MaxPool-1, 8, 10, 11, 12, 22; AveragePool-1, 7, 10, 11, 19, 22):
kernel_shape, strides, pads and every auto_pad, ceil_mode (as pads at the end), count_include_pad,
one to three spatial axes. Where ONNX counts some pads and not others, the average is put right by
a constant factor per place; dilated windows and LpPool are folded place by place of the kernel.
Refused: the Indices output.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.availability import TARGET
from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.windows import Windows, pooling_windows

# Each place of the kernel is an operation; beyond this a package is no longer sensible.
_MAX_PLACES = 128


@emits("MaxPool", (1, 8, 10, 11, 12, 22))
def max_pool(emission: Emission) -> None:
    """Largest element of each window; pads never win."""
    if emission.wants(1):
        emission.refuse("the Indices output cannot be expressed")
    windows = pooling_windows(emission.graph, emission.node, TARGET)
    if not windows.counts(include_pads=False).all():
        emission.refuse("a window lies wholly in the padding")
    if max(windows.dilations) > 1:
        emission.give(_by_places(emission, emission.value(), windows, "maximum", -np.inf))
        return
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
    windows = pooling_windows(emission.graph, emission.node, TARGET)
    counts = windows.counts(include_pads=emission.node.integer("count_include_pad", 0) == 1)
    if not counts.all():
        emission.refuse("a window lies wholly in the padding")
    if max(windows.dilations) > 1:
        total = _by_places(emission, emission.value(), windows, "add", 0.0)
        share = (1 / counts).astype(np.float32)[np.newaxis, np.newaxis]
        emission.give(emission.op("mul", x=total, y=share))
        return
    own = windows.counts(include_pads=False)
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


@emits("LpPool", (1, 2, 11, 18, 22))
def lp_pool(emission: Emission) -> None:
    """(sum of |x|^p over each window) ^ (1 / p); pads are zeros."""
    windows = pooling_windows(emission.graph, emission.node, TARGET)
    raised = _powers(emission)
    total = _by_places(emission, raised, windows, "add", 0.0)
    emission.give(_root(emission, total))


@emits("GlobalLpPool", (1, 2, 22))
def global_lp_pool(emission: Emission) -> None:
    """(sum of |x|^p over all spatial axes) ^ (1 / p)."""
    axes = list(range(2, emission.type().rank))
    total = emission.op("reduce_sum", x=_powers(emission), axes=axes, keep_dims=True)
    emission.give(_root(emission, total))


def _powers(emission: Emission) -> Value:
    size, p = emission.op("abs", x=emission.value()), emission.node.number("p", 2)
    if p in (1, 2):
        return size if p == 1 else emission.op("mul", x=size, y=size)
    return emission.op("pow", x=size, y=emission.filled(p))


def _root(emission: Emission, total: Value) -> Value:
    p = emission.node.number("p", 2)
    if p in (1, 2):
        return total if p == 1 else emission.op("sqrt", x=total)
    return emission.op("pow", x=total, y=emission.filled(1 / p))


def _by_places(emission: Emission, x: Value, windows: Windows, kind: str, outside: float) -> Value:
    """Folds the elements of each window, place by place of the kernel: what MIL's pools lack."""
    if np.prod(windows.kernel) > _MAX_PLACES:
        emission.refuse(
            f"windows of {np.prod(windows.kernel)} elements with dilations are too many"
        )
    if any(windows.flat_reach):
        pad = [0, 0, 0, 0, *windows.flat_reach]
        x = emission.op("pad", x=x, pad=pad, mode="constant", constant_val=outside)
    total: Value = None
    for place in np.ndindex(*windows.kernel):
        begins = [at * step for at, step in zip(place, windows.dilations, strict=True)]
        ends = [
            begin + (count - 1) * stride + 1
            for begin, count, stride in zip(begins, windows.outputs, windows.strides, strict=True)
        ]
        part = emission.op(
            "slice_by_index",
            x=x,
            begin=[0, 0, *begins],
            end=[*x.shape[:2], *ends],
            stride=[1, 1, *windows.strides],
        )
        total = part if total is None else emission.op(kind, x=total, y=part)
    return total
