"""Geometry of sliding windows (Conv, pools) as the ONNX operator specifications define it.

From Conv, AveragePool and MaxPool: kernel_shape, auto_pad, pads, strides, dilations, ceil_mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from edgewright_converter.graph.model import Array, Graph, Node

Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """A window's geometry over the spatial axes, outermost first.

    `pads` are the pads that ONNX asks for; `reach` those that the windows of the output touch: more
    at the end where ceil_mode adds a window, less where no window reaches the end.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads
    outputs: tuple[int, ...]

    @property
    def reach(self) -> Pads:
        """The pads that give exactly the outputs, rounding down."""
        fitted = []
        for axis, (begin, _) in enumerate(self.pads):
            covered = (self.outputs[axis] - 1) * self.strides[axis] + self.extent(axis)
            fitted.append((begin, max(covered - self.sizes[axis] - begin, 0)))
        return tuple(fitted)

    @property
    def flat_reach(self) -> list[int]:
        """`reach` as one list: before and after, axis by axis."""
        return [size for pair in self.reach for size in pair]

    def with_row(self) -> Windows:
        """The same windows over one more spatial axis, in front, of size 1."""
        return Windows(
            (1, *self.sizes),
            (1, *self.kernel),
            (1, *self.strides),
            (1, *self.dilations),
            ((0, 0), *self.pads),
            (1, *self.outputs),
        )

    def extent(self, axis: int) -> int:
        """How many elements a window spans, holes of dilation included."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def counts(self, *, include_pads: bool) -> Array:
        """How many elements an average divides by, float64 [outputs...].

        Pads count if `include_pads`; what ceil_mode reaches beyond them never does (AveragePool-19,
        and onnxruntime for older forms).
        """
        counts: Array = np.ones((), np.float64)
        for axis, (begin, end) in enumerate(self.pads):
            starts = np.arange(self.outputs[axis]) * self.strides[axis] - begin
            elements = starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            low, high = (-begin, self.sizes[axis] + end) if include_pads else (0, self.sizes[axis])
            counted = ((elements >= low) & (elements < high)).sum(axis=1)
            counts = np.multiply.outer(counts, counted.astype(np.float64))
        return counts


def windows_of(graph: Graph, node: Node, kernel: tuple[int, ...], target: str) -> Windows:
    """The geometry that a node's attributes and the shapes of its input and output give.

    Raises:
        UnsupportedOperator: the geometry contradicts itself, is ambiguous, has negative pads or
            follows the batch.
    """

    def refuse(reason: str) -> NoReturn:
        raise node.refusal(target, reason)

    spatial = len(kernel)
    sizes = _static(graph, node, node.inputs[0], target)
    outputs = _static(graph, node, node.outputs[0], target)
    strides = node.integers("strides") or (1,) * spatial
    dilations = node.integers("dilations") or (1,) * spatial
    lengths = {len(sizes), len(strides), len(dilations), spatial}
    if len(lengths) != 1 or min(*strides, *dilations, *kernel, *outputs) < 1:
        refuse("its kernel, strides and dilations do not fit its input")
    auto = node.text("auto_pad", "NOTSET")
    explicit = node.integers("pads") or (0,) * (2 * spatial)
    if min(explicit) < 0:
        refuse("negative pads cannot be expressed")
    pads: list[tuple[int, int]] = []
    for axis in range(spatial):
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            extent = (kernel[axis] - 1) * dilations[axis] + 1
            total = (outputs[axis] - 1) * strides[axis] + extent - sizes[axis]
            if total < 0 and node.operator != "Conv":
                # The specification leaves open whether the windows move inwards: those of
                # onnxruntime's pools do, those of its convolutions do not.
                refuse("auto_pad with windows that skip elements is ambiguous")
            total = max(total, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        elif auto == "VALID":
            pads.append((0, 0))
        else:
            pads.append((explicit[axis], explicit[axis + spatial]))
    return Windows(sizes, kernel, strides, dilations, tuple(pads), outputs)


def pooling_windows(graph: Graph, node: Node, target: str) -> Windows:
    """The geometry of a pool over one to three spatial axes.

    Raises:
        UnsupportedOperator: as `windows_of`, or a window that ceil_mode adds starts in the padding.
    """
    kernel = node.integers("kernel_shape")
    rank = graph.types[node.inputs[0]].rank
    if kernel is None or not 1 <= len(kernel) <= 3 or rank != len(kernel) + 2:
        raise node.refusal(target, "only windows over one to three spatial axes can be expressed")
    windows = windows_of(graph, node, kernel, target)
    starts = [
        (output - 1) * stride - begin
        for output, stride, (begin, _) in zip(
            windows.outputs, windows.strides, windows.pads, strict=True
        )
    ]
    ceil = node.integer("ceil_mode", 0)
    if ceil and any(start >= size for start, size in zip(starts, windows.sizes, strict=True)):
        # The specification drops such a window, onnx's shape inference counts it.
        raise node.refusal(
            target, "ceil_mode with a window that starts in the padding is ambiguous"
        )
    return windows


def _static(graph: Graph, node: Node, name: str, target: str) -> tuple[int, ...]:
    sizes = graph.types[name].shape[2:]
    found = tuple(size for size in sizes if size is not None)
    if len(found) != len(sizes):
        raise node.refusal(target, f"a spatial size of {name!r} follows the batch")
    return found
