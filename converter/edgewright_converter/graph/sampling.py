"""How Resize and Upsample sample each axis anew: places, nearest elements, weights.

From the ONNX specification (Resize-10, 11, 13, 18, 19; Upsample-7, 9). Every mode is separable, so
one axis at a time says it all: an axis of nearest is a list of picks, one of linear or cubic a
matrix [outputs, inputs].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewright_converter.graph.model import Array, Graph, Node

_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@dataclass(frozen=True)
class Sampling:
    """One axis: `length` places among `size` elements.

    `places` are float64 [length], neither rounded nor clipped; `outside` marks those that take the
    extrapolation value.
    """

    mode: str
    size: int
    length: int
    places: Array
    outside: Array
    rounding: str
    cubic_a: float
    exclude_outside: bool

    @property
    def picks(self) -> Array:
        """For nearest: which element each place takes, int32 [length]."""
        # Six digits: free of the rounding errors of the division, which would tip exact halves.
        rounded = _ROUNDINGS[self.rounding](np.round(self.places, 6))
        return np.clip(rounded, 0, self.size - 1).astype(np.int32)

    @property
    def matrix(self) -> Array:
        """For linear and cubic: how much each place takes of each element, float32 [length, size].

        Elements beyond the ends repeat the end, or (exclude_outside) give their weight to the rest.
        """
        low = np.floor(self.places)
        share = self.places - low
        if self.mode == "cubic":
            offsets, weights = np.arange(-1, 3), _cubic(share, self.cubic_a)
        else:
            offsets, weights = np.arange(2), np.stack([1 - share, share], axis=1)
        elements = low[:, None].astype(np.int64) + offsets
        if self.exclude_outside:
            weights = np.where((elements < 0) | (elements >= self.size), 0, weights)
            weights = weights / weights.sum(axis=1, keepdims=True)
        matrix = np.zeros((self.length, self.size), np.float64)
        rows = np.broadcast_to(np.arange(self.length)[:, None], elements.shape)
        np.add.at(matrix, (rows, np.clip(elements, 0, self.size - 1)), weights)
        return matrix.astype(np.float32)


def _cubic(share: Array, a: float) -> Array:
    """Weights of the four neighbours [length, 4] (R. Keys, 1981), `a` as Resize calls it."""
    far, near = share + 1, 1 - share
    return np.stack(
        [
            ((a * far - 5 * a) * far + 8 * a) * far - 4 * a,
            ((a + 2) * share - (a + 3)) * share * share + 1,
            ((a + 2) * near - (a + 3)) * near * near + 1,
            ((a * (near + 1) - 5 * a) * (near + 1) + 8 * a) * (near + 1) - 4 * a,
        ],
        axis=1,
    )


def samplings_of(graph: Graph, node: Node, target: str) -> dict[int, Sampling]:
    """The axes that a Resize or Upsample changes, in order.

    Raises:
        UnsupportedOperator: a mode that ONNX lacks, or where the specification and onnxruntime
            disagree; a changed axis that follows the batch.
    """
    before, after = graph.types[node.inputs[0]], graph.types[node.outputs[0]]
    mode = node.text("mode", "nearest")
    mode = "linear" if mode == "bilinear" else mode
    if mode not in ("nearest", "linear", "cubic"):
        raise node.refusal(target, f"mode {mode} cannot be expressed")
    modern = node.version >= 11
    rounding = node.text("nearest_mode", "round_prefer_floor" if modern else "floor")
    if rounding not in _ROUNDINGS:
        raise node.refusal(target, f"nearest_mode {rounding} cannot be expressed")
    scales, rois = _scales(graph, node, target), _regions(graph, node, target)
    found: dict[int, Sampling] = {}
    for axis in range(before.rank):
        size, length = before.shape[axis], after.shape[axis]
        if scales[axis] == 1 and size == length and axis not in rois:
            continue
        if size is None or length is None:
            raise node.refusal(target, f"it resizes axis {axis}, whose size follows the batch")
        if node.integer("antialias", 0) and scales[axis] < 1:
            # The specification repeats the ends and onnxruntime leaves them out.
            raise node.refusal(target, "antialias is ambiguous at the ends of an axis")
        places, outside = _places(node, target, size, length, scales[axis], rois.get(axis))
        if mode == "linear":
            places = np.clip(places, 0, size - 1)
        found[axis] = Sampling(
            mode,
            size,
            length,
            places,
            outside,
            rounding,
            node.number("cubic_coeff_a", -0.75),
            mode == "cubic" and node.integer("exclude_outside", 0) == 1,
        )
    return found


def _given(graph: Graph, node: Node, position: int) -> Array | None:
    name = node.inputs[position] if position < len(node.inputs) else ""
    found = graph.constants.get(name)
    return None if found is None or found.size == 0 else found.reshape(-1)


def _axes(graph: Graph, node: Node) -> list[int]:
    rank = graph.types[node.inputs[0]].rank
    return [axis % rank for axis in node.integers("axes") or range(rank)]


def _scales(graph: Graph, node: Node, target: str) -> list[float]:
    """The scale of each axis, as the specification defines it for the inputs that are given."""
    before, after = graph.types[node.inputs[0]].sample, graph.types[node.outputs[0]].sample
    attribute = node.attributes.get("scales")
    given = (
        np.asarray(attribute, np.float64)
        if attribute is not None
        else _given(graph, node, 1 if node.version < 11 else 2)
    )
    axes = _axes(graph, node)
    ratios = [now / was for was, now in zip(before, after, strict=True)]
    if given is not None:
        for axis, scale in zip(axes, given.tolist(), strict=True):
            ratios[axis] = float(scale)
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if given is None and policy != "stretch":
        sizes = _given(graph, node, 3)
        if sizes is None or policy not in ("not_larger", "not_smaller"):
            raise node.refusal(target, f"keep_aspect_ratio_policy {policy} cannot be expressed")
        wanted = [size / before[axis] for axis, size in zip(axes, sizes.tolist(), strict=True)]
        scale = min(wanted) if policy == "not_larger" else max(wanted)
        ratios = [scale if axis in axes else 1.0 for axis in range(len(before))]
    return ratios


def _regions(graph: Graph, node: Node, target: str) -> dict[int, tuple[float, float]]:
    """The part of each axis that tf_crop_and_resize cuts out, in shares of its length."""
    if node.text("coordinate_transformation_mode", "") != "tf_crop_and_resize":
        return {}
    region, axes = _given(graph, node, 1), _axes(graph, node)
    if region is None or len(region) != 2 * len(axes):
        raise node.refusal(target, "its roi must be constant for this target")
    bounds = region.astype(np.float64).tolist()
    pairs = zip(axes, bounds[: len(axes)], bounds[len(axes) :], strict=True)
    return {axis: (start, end) for axis, start, end in pairs if (start, end) != (0, 1)}


def _places(
    node: Node,
    target: str,
    size: int,
    length: int,
    scale: float,
    region: tuple[float, float] | None,
) -> tuple[Array, Array]:
    """Where each output element lies in the input, and which lie outside a region's source."""

    outputs, inside = np.arange(length, dtype=np.float64), np.zeros(length, np.bool_)
    default = "half_pixel" if node.version >= 11 else "asymmetric"
    mode = node.text("coordinate_transformation_mode", default)
    match mode:
        case "half_pixel":
            return (outputs + 0.5) / scale - 0.5, inside
        case "half_pixel_symmetric":
            adjustment = length / (scale * size)
            return size / 2 * (1 - adjustment) + (outputs + 0.5) / scale - 0.5, inside
        case "pytorch_half_pixel":
            return (outputs + 0.5) / scale - 0.5 if length > 1 else np.zeros(1), inside
        case "asymmetric":
            return outputs / scale, inside
        case "align_corners":
            if abs(scale * size - length) > 1e-3:
                # The specification takes the broken length here and onnxruntime the whole one.
                raise node.refusal(
                    target, "align_corners with a scale that gives no whole length is ambiguous"
                )
            return outputs * (size - 1) / (length - 1) if length > 1 else np.zeros(1), inside
        case "tf_half_pixel_for_nn":
            return (outputs + 0.5) / scale, inside
        case "tf_crop_and_resize":
            start, end = region or (0.0, 1.0)
            step = (end - start) * (size - 1) / (length - 1) if length > 1 else 0.0
            first = start if length > 1 else (start + end) / 2
            places = first * (size - 1) + outputs * step
            return places, (places < 0) | (places > size - 1)
    raise node.refusal(target, f"coordinate_transformation_mode {mode} cannot be expressed")
