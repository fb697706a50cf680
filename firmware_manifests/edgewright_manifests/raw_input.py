"""Carries out a recorded pre-processing with numpy: raw samples in, model inputs out.

All arithmetic is elementwise in float64, and the one rounding is the last cast, so that
results are equal on every machine (NumPy promises IEEE 754 for these operations).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright_manifests import preprocessing as steps
from edgewright_manifests.errors import BundleError
from edgewright_manifests.golden import GoldenVectors
from edgewright_manifests.preprocessing import AnyStep, Preprocessing
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES, Array

SAME = 1e-6
"""Of the largest value: what another order of float32 operations may differ by."""

MAX_VALUES = 1 << 26
"""Of one sample after any step: half a gigabyte while it is computed."""

_Floats = NDArray[np.float64]


def preprocess(document: Preprocessing, spec: TensorSpec, raw: Array) -> Array:
    """The input [n, ...] that the steps of `spec` make of `raw` [n, ...].

    Raises BundleError, naming the step, when a step does not fit what the one before gave, or
    the last one does not give what the model takes.
    """
    if not len(raw):
        raise BundleError(f"pre-processing of {spec.name!r}: there are no raw samples")
    rows = [_sample(document.inputs[spec.name], spec.name, sample) for sample in raw]
    if any(row.shape != rows[0].shape for row in rows):  # pragma: no cover - equal in, equal out
        raise BundleError(f"pre-processing of {spec.name!r}: gives samples of several shapes")
    dtype = np.dtype(NUMPY_DTYPES[spec.datatype])
    found = np.stack(rows)
    if not spec.accepts((spec.shape[0] if spec.shape else 1, *found.shape[1:])):
        raise BundleError(
            f"pre-processing of {spec.name!r}: gives samples of shape {list(found.shape[1:])}, "
            f"the model takes {list(spec.shape[1:])}"
        )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        found = np.clip(np.rint(found), limits.min, limits.max)
    return found.astype(dtype)


def difference(document: Preprocessing, spec: TensorSpec, raw: Array, wanted: Array) -> str:
    """How `wanted` [n, ...] differs from the pre-processed `raw`; "" where it does not.

    Raises BundleError as preprocess does.
    """
    found = preprocess(document, spec, raw)
    if found.shape != wanted.shape:
        return f"has shape {list(wanted.shape)}, pre-processing gives {list(found.shape)}"
    apart = np.abs(found.astype(np.float64) - wanted.astype(np.float64))
    limit = SAME * max(float(np.abs(wanted.astype(np.float64)).max(initial=0)), 1e-30)
    worst = int(apart.reshape(len(apart), -1).max(axis=1, initial=0).argmax())
    if float(apart.max(initial=0)) <= limit:
        return ""
    return (
        f"is not what the pre-processing makes of the raw samples: sample {worst} differs by "
        f"{float(apart[worst].max()):.3g}"
    )


def raw_problem(
    document: Preprocessing | None, signature: ModelSignature, golden: GoldenVectors
) -> str:
    """Why the raw samples in `golden` do not become its inputs; "" when they do, or are absent."""
    if not golden.raw:
        return ""
    if document is None:
        return "golden vectors have raw samples, but no pre-processing is recorded"
    for spec in signature.inputs:
        if spec.name in golden.raw:
            if spec.name not in document.inputs:
                return f"no pre-processing is recorded for the raw samples of {spec.name!r}"
            apart = difference(document, spec, golden.raw[spec.name], golden.inputs[spec.name])
            if apart:
                return f"golden input {spec.name!r} {apart}"
    return ""


def _sample(listed: tuple[AnyStep, ...], name: str, sample: Array) -> _Floats:
    value = sample.astype(np.float64)
    for number, step in enumerate(listed, 1):
        try:
            value = _ACTS[type(step)](step, value)
        except (ValueError, IndexError) as error:
            word = type(step).__struct_config__.tag
            raise BundleError(
                f"pre-processing of {name!r}, step {number} ({word}): does not fit samples of "
                f"shape {list(value.shape)} ({error})"
            ) from error
    return value


def _resize(step: steps.Resize, value: _Floats) -> _Floats:
    _need(value, 2, 3)
    _limit(step.height * step.width * value.size // (value.shape[0] * value.shape[1]))
    _limit(step.height * value.size // value.shape[0])  # between the two axes
    for axis, size in enumerate((step.height, step.width)):
        have = value.shape[axis]
        place = (np.arange(size) + 0.5) * (have / size) - 0.5
        if step.method == "nearest":
            value = value.take(_inside(np.floor(place + 0.5), have), axis)
            continue
        low = np.floor(place)
        weight = (place - low).reshape(-1, *[1] * (value.ndim - axis - 1))
        below = value.take(_inside(low, have), axis)
        above = value.take(_inside(low + 1, have), axis)
        value = np.asarray(below * (1 - weight) + above * weight, np.float64)
    return value


def _inside(place: _Floats, size: int) -> NDArray[np.intp]:
    return np.clip(place, 0, size - 1).astype(np.intp)


def _center_crop(step: steps.CenterCrop, value: _Floats) -> _Floats:
    _need(value, 2, 3)
    top, left = value.shape[0] - step.height, value.shape[1] - step.width
    if top < 0 or left < 0:
        raise ValueError(f"cannot cut {step.height} x {step.width} out of it")
    return value[top // 2 : top // 2 + step.height, left // 2 : left // 2 + step.width]


def _scale(step: steps.Scale, value: _Floats) -> _Floats:
    return value * step.factor + step.offset


def _normalize(step: steps.Normalize, value: _Floats) -> _Floats:
    if not len(step.mean) == len(step.deviation) == value.shape[step.axis]:
        raise ValueError(f"{len(step.mean)} means and {len(step.deviation)} deviations")
    if 0.0 in step.deviation:
        raise ValueError("a deviation is 0")
    shape = [1] * value.ndim
    shape[step.axis] = -1
    found: _Floats = (value - np.reshape(step.mean, shape)) / np.reshape(step.deviation, shape)
    return found


def _reverse_channels(step: steps.ReverseChannels, value: _Floats) -> _Floats:
    return np.flip(value, step.axis)


def _transpose(step: steps.Transpose, value: _Floats) -> _Floats:
    return value.transpose(step.axes)


def _grey(_: steps.Grey, value: _Floats) -> _Floats:
    if value.ndim < 1 or value.shape[-1] != 3:
        raise ValueError("its last axis must be red, green, blue")
    luma: _Floats = value[..., 0] * 0.299 + value[..., 1] * 0.587 + value[..., 2] * 0.114
    return luma


def _mono(_: steps.Mono, value: _Floats) -> _Floats:
    _need(value, 2)
    total: _Floats = value[:, 0]
    for channel in range(1, value.shape[1]):
        total = total + value[:, channel]
    return np.asarray(total / value.shape[1], np.float64)


def _resample(step: steps.Resample, value: _Floats) -> _Floats:
    _need(value, 1)
    count = len(value) * step.to_hz // step.from_hz
    _limit(count)
    if not count:
        raise ValueError("nothing would be left of it")
    place = np.arange(count) * (step.from_hz / step.to_hz)
    low = np.floor(place)
    weight = place - low
    below, above = value[_inside(low, len(value))], value[_inside(low + 1, len(value))]
    found: _Floats = below * (1 - weight) + above * weight
    return found


def _fit_length(step: steps.FitLength, value: _Floats) -> _Floats:
    if value.ndim < 1:
        raise ValueError("it has no axis")
    _limit(step.length * math.prod(value.shape[1:]))
    missing = max(0, step.length - len(value))
    room = [(0, missing), *[(0, 0)] * (value.ndim - 1)]
    return np.pad(value[: step.length], room, constant_values=step.fill)


def _window(step: steps.Window, value: _Floats) -> _Floats:
    _need(value, 1)
    if len(value) < step.size:
        raise ValueError(f"shorter than one window of {step.size}")
    _limit((1 + (len(value) - step.size) // step.hop) * step.size)
    starts = np.arange(0, len(value) - step.size + 1, step.hop)
    found: _Floats = value[starts[:, None] + np.arange(step.size)]
    return found


def _reshape(step: steps.Reshape, value: _Floats) -> _Floats:
    return np.asarray(value.reshape(step.shape), np.float64)


def _limit(count: int) -> None:
    if count > MAX_VALUES:
        raise ValueError(f"it would become {count} values, at most {MAX_VALUES} are allowed")


def _need(value: _Floats, *ranks: int) -> None:
    if value.ndim not in ranks or 0 in value.shape:
        raise ValueError(f"takes samples of {' or '.join(map(str, ranks))} axes")


# Any: each function takes the step that it is registered for.
_ACTS: Mapping[type, Callable[[Any, _Floats], _Floats]] = {
    steps.Resize: _resize,
    steps.CenterCrop: _center_crop,
    steps.Scale: _scale,
    steps.Normalize: _normalize,
    steps.ReverseChannels: _reverse_channels,
    steps.Transpose: _transpose,
    steps.Grey: _grey,
    steps.Mono: _mono,
    steps.Resample: _resample,
    steps.FitLength: _fit_length,
    steps.Window: _window,
    steps.Reshape: _reshape,
}
