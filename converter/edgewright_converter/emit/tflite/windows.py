"""Geometry of sliding windows (Conv, pools): ONNX pads and rounding against TFLite's SAME and
VALID.

From the operator specifications of Conv, AveragePool and MaxPool (auto_pad, pads, strides,
dilations, ceil_mode).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgewright_converter.emit.tflite.emission import Emission

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
        """The pads with which VALID gives exactly the outputs."""
        fitted = []
        for axis, (begin, _) in enumerate(self.pads):
            covered = (self.outputs[axis] - 1) * self.strides[axis] + self.extent(axis)
            fitted.append((begin, max(covered - self.sizes[axis] - begin, 0)))
        return tuple(fitted)

    @property
    def is_valid(self) -> bool:
        """Whether TFLite's VALID gives the same windows without a pad."""
        return all(pad == (0, 0) for pad in self.reach)

    @property
    def is_same(self) -> bool:
        """Whether TFLite's SAME places the same windows (its odd element of padding goes to the
        end).
        """
        for axis, (begin, _) in enumerate(self.pads):
            if self.outputs[axis] != -(-self.sizes[axis] // self.strides[axis]):
                return False
            covered = (self.outputs[axis] - 1) * self.strides[axis] + self.extent(axis)
            total = max(covered - self.sizes[axis], 0)
            if begin != total // 2:
                return False
        return True

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


def windows_of(emission: Emission, kernel: tuple[int, ...]) -> Windows:
    """The geometry that the node's attributes and its input's shape give."""
    node = emission.node
    spatial = len(kernel)
    sizes = _static(emission, emission.type().shape[2:], "input")
    outputs = _static(emission, emission.result().shape[2:], "output")
    strides = node.integers("strides") or (1,) * spatial
    dilations = node.integers("dilations") or (1,) * spatial
    lengths = {len(sizes), len(strides), len(dilations), spatial}
    if len(lengths) != 1 or min(*strides, *dilations, *kernel, *outputs) < 1:
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


def _static(emission: Emission, sizes: tuple[int | None, ...], what: str) -> tuple[int, ...]:
    found = tuple(size for size in sizes if size is not None)
    if len(found) != len(sizes):
        emission.refuse(f"a spatial size of its {what} follows the batch")
    return found
