"""Resize, Upsample: `upsample_nearest_neighbor`, `resize_bilinear`; `gather` and `matmul` for every
sampling rule that these lack.

Honoured of the ONNX specification (Resize-10, 11, 13, 18, 19; Upsample-7, 9): scales or sizes,
axes, every nearest_mode, the coordinate transformations half_pixel, half_pixel_symmetric,
pytorch_half_pixel, asymmetric, align_corners. The places are computed here and compared with those
of MIL's operators; other nearest rules are gathered, other linear rules are products with the
matrix of their weights. Refused: cubic, antialias, tf_crop_and_resize, keep_aspect_ratio_policy,
axes other than the last two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.model import Array

_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@emits("Resize", (10, 11, 13, 18, 19))
@emits("Upsample", (7, 9))
def resize(emission: Emission) -> None:
    """Samples the spatial axes anew."""
    node, shape = emission.node, emission.shape()
    mode = node.text("mode", "nearest")
    if mode not in ("nearest", "linear", "bilinear"):
        emission.refuse(f"mode {mode} cannot be expressed")
    if node.integer("antialias", 0):
        emission.refuse("antialias cannot be expressed")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        emission.refuse("keep_aspect_ratio_policy cannot be expressed")
    if len(shape) not in (3, 4) or shape[:2] != emission.result().sample[:2]:
        emission.refuse("only the last one or two axes of an image can be resized")
    scales = _scales(emission)
    places = {axis: _places(emission, axis, scales[axis]) for axis in range(2, len(shape))}
    if mode == "nearest":
        emission.give(_nearest(emission, places))
    else:
        emission.give(_linear(emission, places))


def _scales(emission: Emission) -> list[float]:
    """The scale of each axis, as the specification defines it for the inputs that are given."""
    node, rank = emission.node, emission.type().rank
    given = node.attributes.get("scales")
    found = (
        np.asarray(given, np.float64)
        if given is not None
        else emission.constant(1 if node.version < 11 else 2)
    )
    pairs = zip(emission.shape(), emission.result().sample, strict=True)
    ratios = [after / before for before, after in pairs]
    if found is None or found.size == 0:
        return ratios
    axes = node.integers("axes") or tuple(range(rank))
    for axis, scale in zip(axes, found.reshape(-1).tolist(), strict=True):
        ratios[axis % rank] = float(scale)
    return ratios


def _places(emission: Emission, axis: int, scale: float) -> Array:
    """Where each output element lies in the input, not yet rounded or clipped."""
    size, length = emission.shape()[axis], emission.result().sample[axis]
    outputs = np.arange(length, dtype=np.float64)
    default = "half_pixel" if emission.node.version >= 11 else "asymmetric"
    mode = emission.node.text("coordinate_transformation_mode", default)
    match mode:
        case "half_pixel":
            return (outputs + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjustment = length / (scale * size)
            return size / 2 * (1 - adjustment) + (outputs + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (outputs + 0.5) / scale - 0.5 if length > 1 else np.zeros(1)
        case "asymmetric":
            return outputs / scale
        case "align_corners":
            if abs(scale * size - length) > 1e-3:
                # The specification takes the broken length here and onnxruntime the whole one.
                emission.refuse(
                    "align_corners with a scale that gives no whole length is ambiguous"
                )
            return outputs * (size - 1) / (length - 1) if length > 1 else np.zeros(1)
        case "tf_half_pixel_for_nn":
            return (outputs + 0.5) / scale
    raise emission.refusal(f"coordinate_transformation_mode {mode} cannot be expressed")


def _nearest(emission: Emission, places: dict[int, Array]) -> Value:
    default = "round_prefer_floor" if emission.node.version >= 11 else "floor"
    rounding = _ROUNDINGS[emission.node.text("nearest_mode", default)]
    # Six digits: free of the rounding errors of the division, which would tip exact halves.
    shape, value = emission.shape(), emission.variable()
    picks = {
        axis: np.clip(rounding(np.round(where, 6)), 0, shape[axis] - 1).astype(np.int32)
        for axis, where in places.items()
    }
    repeats = {axis: len(pick) // shape[axis] for axis, pick in picks.items()}
    repeated = all(
        repeats[axis] and np.array_equal(pick, np.repeat(np.arange(shape[axis]), repeats[axis]))
        for axis, pick in picks.items()
    )
    if repeated and len(shape) == 4:
        return emission.op(
            "upsample_nearest_neighbor",
            x=value,
            scale_factor_height=repeats[2],
            scale_factor_width=repeats[3],
        )
    for axis, pick in picks.items():
        value = emission.op("gather", x=value, indices=pick, axis=axis)
    return value


def _linear(emission: Emission, places: dict[int, Array]) -> Value:
    shape, value = emission.shape(), emission.variable()
    for mode, rule in (("UNALIGN_CORNERS", _unaligned), ("STRICT_ALIGN_CORNERS", _aligned)):
        agree = all(
            np.allclose(
                np.clip(where, 0, shape[axis] - 1), rule(shape[axis], len(where)), rtol=0, atol=1e-6
            )
            for axis, where in places.items()
        )
        if agree and len(shape) == 4:
            return emission.op(
                "resize_bilinear",
                x=value,
                target_size_height=len(places[2]),
                target_size_width=len(places[3]),
                sampling_mode=mode,
            )
    last = len(shape) - 1
    # [..., W] @ [W, W'], then [H', H] @ [..., H, W'].
    value = emission.op("matmul", x=value, y=_weights(places[last], shape[last]).T.copy())
    if last == 3:
        value = emission.op("matmul", x=_weights(places[2], shape[2])[None, None], y=value)
    return value


def _unaligned(size: int, length: int) -> Array:
    """Core ML's grid for UNALIGN_CORNERS, from the operator's specification."""
    return np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)


def _aligned(size: int, length: int) -> Array:
    """Core ML's grid for STRICT_ALIGN_CORNERS; never agrees where it would divide by zero."""
    if length == 1:
        return np.full(1, np.inf)
    return np.arange(length) * ((size - 1) / (length - 1))


def _weights(where: Array, size: int) -> Array:
    """[outputs, inputs]: how much of each input element each output element takes."""
    clipped = np.clip(where, 0, size - 1)
    low = np.minimum(np.floor(clipped).astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    rows, share = np.arange(len(where)), clipped - low
    matrix = np.zeros((len(where), size), np.float32)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    return matrix
