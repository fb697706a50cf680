"""Resize, Upsample: `upsample_nearest_neighbor`, `resize_bilinear`; `gather` and `matmul` for every
sampling rule that these lack.

Honoured of the ONNX specification (Resize-10, 11, 13, 18, 19; Upsample-7, 9): scales or sizes,
any axes, keep_aspect_ratio_policy, nearest with every nearest_mode, linear, cubic, exclude_outside,
every coordinate transformation. Nearest rules that MIL lacks are gathered, other rules are
products with the matrix of their weights. Refused: antialias where it makes an axis shorter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgewright_converter.emit.coreml.availability import TARGET
from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.model import Array
from edgewright_converter.graph.sampling import Sampling, samplings_of


@emits("Resize", (10, 11, 13, 18, 19))
@emits("Upsample", (7, 9))
def resize(emission: Emission) -> None:
    """Samples the changed axes anew."""
    samplings = samplings_of(emission.graph, emission.node, TARGET)
    value = emission.variable()
    if not samplings:
        emission.give(emission.op("identity", x=value))
        return
    mode = next(iter(samplings.values())).mode
    if mode == "nearest":
        value = _nearest(emission, value, samplings)
    else:
        value = _weighted(emission, value, samplings)
    for axis, sampling in samplings.items():
        if sampling.outside.any():
            value = _extrapolated(emission, value, axis, sampling)
    emission.give(value)


def _nearest(emission: Emission, value: Value, samplings: dict[int, Sampling]) -> Value:
    shape = emission.shape()
    repeats = {axis: sampling.length // sampling.size for axis, sampling in samplings.items()}
    repeated = len(shape) == 4 and all(
        axis >= 2
        and repeats[axis]
        and np.array_equal(sampling.picks, np.repeat(np.arange(sampling.size), repeats[axis]))
        for axis, sampling in samplings.items()
    )
    if repeated:
        return emission.op(
            "upsample_nearest_neighbor",
            x=value,
            scale_factor_height=repeats.get(2, 1),
            scale_factor_width=repeats.get(3, 1),
        )
    for axis, sampling in samplings.items():
        value = emission.op("gather", x=value, indices=sampling.picks, axis=axis)
    return value


def _weighted(emission: Emission, value: Value, samplings: dict[int, Sampling]) -> Value:
    shape = emission.shape()
    linear = len(shape) == 4 and all(
        axis >= 2 and sampling.mode == "linear" for axis, sampling in samplings.items()
    )
    result = emission.result().sample
    for mode, rule in (("UNALIGN_CORNERS", _unaligned), ("STRICT_ALIGN_CORNERS", _aligned)):
        if linear and all(_follows(samplings, axis, shape, result, rule) for axis in (2, 3)):
            return emission.op(
                "resize_bilinear",
                x=value,
                target_size_height=result[2],
                target_size_width=result[3],
                sampling_mode=mode,
            )
    last = len(shape) - 1
    for axis, sampling in reversed(samplings.items()):
        # [..., W] @ [W, W'] over the last axis; [H', H] @ [..., H, W] over the one before.
        if axis == last:
            value = emission.op("matmul", x=value, y=sampling.matrix.T.copy())
        elif axis == last - 1:
            lifted = sampling.matrix.reshape((1,) * (last - 1) + sampling.matrix.shape)
            value = emission.op("matmul", x=lifted, y=value)
        else:
            order = [*(index for index in range(last + 1) if index != axis), axis]
            value = emission.op("transpose", x=value, perm=order)
            value = emission.op("matmul", x=value, y=sampling.matrix.T.copy())
            back = [order.index(index) for index in range(last + 1)]
            value = emission.op("transpose", x=value, perm=back)
    return value


def _follows(
    samplings: dict[int, Sampling],
    axis: int,
    shape: tuple[int, ...],
    result: tuple[int, ...],
    rule: Callable[[int, int], Array],
) -> bool:
    where = samplings[axis].places if axis in samplings else np.arange(shape[axis])
    return np.allclose(where, rule(shape[axis], result[axis]), rtol=0, atol=1e-6)


def _extrapolated(emission: Emission, value: Value, axis: int, sampling: Sampling) -> Value:
    """With the extrapolation value where a place lies outside the source."""
    rank = emission.type().rank
    outside = sampling.outside.reshape([-1 if index == axis else 1 for index in range(rank)])
    fill = np.float32(emission.node.number("extrapolation_value", 0.0))
    return emission.op("select", cond=outside, a=fill, b=value)


def _unaligned(size: int, length: int) -> Array:
    """Core ML's grid for UNALIGN_CORNERS, from the operator's specification."""
    return np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)


def _aligned(size: int, length: int) -> Array:
    """Core ML's grid for STRICT_ALIGN_CORNERS; never agrees where it would divide by zero."""
    if length == 1:
        return np.full(1, np.inf)
    return np.arange(length) * ((size - 1) / (length - 1))
