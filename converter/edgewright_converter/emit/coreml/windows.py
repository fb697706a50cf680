"""Geometry of sliding windows (Conv, pools) as ONNX defines it, for MIL's custom pads.

From the operator specifications of Conv, AveragePool and MaxPool (auto_pad, pads, strides,
dilations, ceil_mode).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgewright_converter.emit.coreml.emission import Emission


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
    pads: tuple[tuple[int, int], ...]
    outputs: tuple[int, ...]

    @property
    def reach(self) -> tuple[tuple[int, int], ...]:
        """The pads that give exactly the outputs, rounding down."""
        fitted = []
        for axis, (begin, _) in enumerate(self.pads):
            extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            covered = (self.outputs[axis] - 1) * self.strides[axis] + extent
            fitted.append((begin, max(covered - self.sizes[axis] - begin, 0)))
        return tuple(fitted)

    @property
    def flat_reach(self) -> list[int]:
        """`reach` as MIL takes it: before and after, axis by axis."""
        return [size for pair in self.reach for size in pair]


def windows_of(emission: Emission, kernel: tuple[int, ...]) -> Windows:
    """The geometry that the node's attributes and its input's shape give."""
    node = emission.node
    spatial = len(kernel)
    sizes, outputs = emission.shape()[2:], emission.result().sample[2:]
    strides = node.integers("strides") or (1,) * spatial
    dilations = node.integers("dilations") or (1,) * spatial
    if {len(sizes), len(strides), len(dilations)} != {spatial} or min(*outputs, *kernel) < 1:
        emission.refuse("its kernel, strides and dilations do not fit its input")
    auto = node.text("auto_pad", "NOTSET")
    explicit = node.integers("pads") or (0,) * (2 * spatial)
    if min(explicit) < 0:
        emission.refuse("negative pads cannot be expressed")
    pads: list[tuple[int, int]] = []
    for axis in range(spatial):
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            extent = (kernel[axis] - 1) * dilations[axis] + 1
            total = (outputs[axis] - 1) * strides[axis] + extent - sizes[axis]
            if total < 0 and node.operator != "Conv":
                # The specification leaves open whether the windows move inwards: those of
                # onnxruntime's pools do, those of its convolutions do not.
                emission.refuse("auto_pad with windows that skip elements is ambiguous")
            total = max(total, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if auto == "SAME_UPPER" else (large, small))
        elif auto == "VALID":
            pads.append((0, 0))
        else:
            pads.append((explicit[axis], explicit[axis + spatial]))
    return Windows(sizes, kernel, strides, dilations, tuple(pads), outputs)
