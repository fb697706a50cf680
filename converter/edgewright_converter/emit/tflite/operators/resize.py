"""Resize, Upsample: RESIZE_NEAREST_NEIGHBOR, RESIZE_BILINEAR, and GATHER for every other nearest
rule.

Honoured of the ONNX specification (Resize-10, 11, 13, 18, 19; Upsample-7, 9): scales or sizes,
axes, every nearest_mode, the coordinate transformations half_pixel, half_pixel_symmetric,
pytorch_half_pixel, asymmetric, align_corners. Each is computed for each output place and compared
with what TFLite's kernel computes; what no kernel computes is gathered (nearest) or refused
(linear). Refused: cubic, antialias, tf_crop_and_resize, keep_aspect_ratio_policy, axes other than
the last two.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST
from edgewright_converter.graph.model import Array

_Op = schema.BuiltinOperator
_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@emits("Resize", (10, 11, 13, 18, 19), place=CHANNELS_LAST)
@emits("Upsample", (7, 9), place=CHANNELS_LAST)
def resize(emission: Emission) -> None:
    """Samples the spatial axes anew."""
    node, type_ = emission.node, emission.type()
    _refuse_inexpressible(emission)
    if type_.rank not in (3, 4) or type_.shape[:2] != emission.result().shape[:2]:
        emission.refuse("only the last one or two axes of an image can be resized")
    scales = _scales(emission)
    coordinates = [_coordinates(emission, axis, scales[axis]) for axis in range(2, type_.rank)]
    image, result = emission.tensor(), emission.result_in_memory()
    if type_.rank == 3:
        image = emission.reshape(image, image.type.inserted(1))
        result = result.inserted(1)
        coordinates.insert(0, np.zeros(1))
    if node.text("mode", "nearest") == "nearest":
        resized = _nearest(emission, image, coordinates)
    else:
        resized = _linear(emission, image, coordinates)
    emission.give(emission.reshape(resized, emission.result_in_memory()))


def _refuse_inexpressible(emission: Emission) -> None:
    node = emission.node
    mode = node.text("mode", "nearest")
    if mode not in ("nearest", "linear", "bilinear"):
        emission.refuse(f"mode {mode} cannot be expressed")
    if node.integer("antialias", 0):
        emission.refuse("antialias cannot be expressed")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        emission.refuse("keep_aspect_ratio_policy cannot be expressed")


def _scales(emission: Emission) -> list[float]:
    """The scale of each axis, as the specification defines it for the inputs that are given."""
    node, type_ = emission.node, emission.type()
    given = node.attributes.get("scales")
    found = (
        np.asarray(given, np.float64)
        if given is not None
        else emission.constant(1 if node.version < 11 else 2)
    )
    ratios = [
        after / before for before, after in zip(type_.sample, emission.result().sample, strict=True)
    ]
    if found is None or found.size == 0:
        return ratios
    axes = node.integers("axes") or tuple(range(type_.rank))
    for axis, scale in zip(axes, found.reshape(-1).tolist(), strict=True):
        ratios[axis % type_.rank] = float(scale)
    return ratios


def _coordinates(emission: Emission, axis: int, scale: float) -> Array:
    """Where each output place lies in the input, not yet rounded or clipped."""
    size, length = emission.type().shape[axis], emission.result().shape[axis]
    if size is None or length is None:
        emission.refuse("a spatial size follows the batch")
    places = np.arange(length, dtype=np.float64)
    default = "half_pixel" if emission.node.version >= 11 else "asymmetric"
    mode = emission.node.text("coordinate_transformation_mode", default)
    match mode:
        case "half_pixel":
            return (places + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            adjustment = length / (scale * size)
            return size / 2 * (1 - adjustment) + (places + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (places + 0.5) / scale - 0.5 if length > 1 else np.zeros(1)
        case "asymmetric":
            return places / scale
        case "align_corners":
            if abs(scale * size - length) > 1e-3:
                # The specification takes the broken length here and onnxruntime the whole one.
                emission.refuse(
                    "align_corners with a scale that gives no whole length is ambiguous"
                )
            return places * (size - 1) / (length - 1) if length > 1 else np.zeros(1)
        case "tf_half_pixel_for_nn":
            return (places + 0.5) / scale
    raise emission.refusal(f"coordinate_transformation_mode {mode} cannot be expressed")


def _nearest(emission: Emission, image_nhwc: Tensor, coordinates: list[Array]) -> Tensor:
    default = "round_prefer_floor" if emission.node.version >= 11 else "floor"
    rounding = _ROUNDINGS[emission.node.text("nearest_mode", default)]
    picks = [
        np.clip(rounding(_snapped(where)), 0, size - 1).astype(np.int32)
        for where, size in zip(coordinates, image_nhwc.type.sample[1:3], strict=True)
    ]
    lengths = [len(pick) for pick in picks]
    # The kernel: floor(place * input / output), with half_pixel_centers floor((place + 0.5) * input
    # / output).
    for offset in (0.0, 0.5):
        kernel = [
            np.minimum(np.floor((np.arange(length) + offset) * size / length), size - 1)
            for length, size in zip(lengths, image_nhwc.type.sample[1:3], strict=True)
        ]
        if all(np.array_equal(a, b) for a, b in zip(kernel, picks, strict=True)):
            options = schema.ResizeNearestNeighborOptionsT()
            options.halfPixelCenters = offset > 0
            return _resample(emission, _Op.RESIZE_NEAREST_NEIGHBOR, image_nhwc, lengths, options)
    for axis, pick in enumerate(picks, start=1):
        gathering = schema.GatherOptionsT()
        gathering.axis = axis
        image_nhwc = emission.operator(
            _Op.GATHER,
            [image_nhwc, emission.builder.constant(pick)],
            image_nhwc.type.sized({axis: len(pick)}),
            gathering,
        )
    return image_nhwc


def _snapped(where: Array) -> Array:
    """Coordinates free of the rounding errors of the division, which would tip exact halves."""
    return np.round(where.astype(np.float64), 6)


def _linear(emission: Emission, image_nhwc: Tensor, coordinates: list[Array]) -> Tensor:
    lengths = [len(where) for where in coordinates]
    sizes = image_nhwc.type.sample[1:3]
    options = schema.ResizeBilinearOptionsT()
    for aligned, half in ((False, True), (False, False), (True, False)):
        kernel = []
        for length, size in zip(lengths, sizes, strict=True):
            places = np.arange(length)
            if aligned and length > 1:
                kernel.append(places * (size - 1) / (length - 1))
            else:
                kernel.append((places + 0.5 * half) * size / length - 0.5 * half)
        agree = all(
            np.allclose(np.clip(a, 0, size - 1), np.clip(b, 0, size - 1), rtol=0, atol=1e-5)
            for a, b, size in zip(kernel, coordinates, sizes, strict=True)
        )
        if agree:
            options.alignCorners, options.halfPixelCenters = aligned, half
            return _resample(emission, _Op.RESIZE_BILINEAR, image_nhwc, lengths, options)
    raise emission.refusal("these sampling places cannot be expressed")


def _resample(
    emission: Emission,
    code: int,
    image_nhwc: Tensor,
    lengths: list[int],
    options: schema.ResizeBilinearOptionsT | schema.ResizeNearestNeighborOptionsT,
) -> Tensor:
    type_ = image_nhwc.type.sized({1: lengths[0], 2: lengths[1]})
    return emission.operator(code, [image_nhwc, emission.indices(lengths)], type_, options)
