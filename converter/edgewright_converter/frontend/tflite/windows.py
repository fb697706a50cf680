"""Where the windows of convolutions and pools lie, as ONNX says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.frontend.tflite.call import Call

_SAME, _VALID = schema.Padding.SAME, schema.Padding.VALID


def window_attributes(
    call: Call,
    sizes: Sequence[int | None],
    kernel: Sequence[int],
    *,
    padding: int,
    strides: Sequence[int],
    dilations: Sequence[int] = (),
) -> dict[str, Any]:  # as onnx.helper.make_node takes them
    """kernel_shape, strides, dilations and pads over the spatial axes of size `sizes`.

    SAME makes ceil(size / stride) windows and puts the odd padding last; where a size is not
    known beforehand, ONNX's SAME_UPPER is the same rule.
    """
    spread = list(dilations) or [1] * len(kernel)
    if min(*kernel, *strides, *spread) < 1:
        call.refuse(f"its windows {list(kernel)} move by {list(strides)}, spread {spread}")
    attributes: dict[str, Any] = {"kernel_shape": list(kernel), "strides": list(strides)}
    if dilations:
        attributes["dilations"] = spread
    if padding == _VALID:
        return attributes
    if padding != _SAME:
        call.refuse(f"its padding {padding} is neither SAME nor VALID")
    begins, ends = [], []
    for size, width, stride, step in zip(sizes, kernel, strides, spread, strict=True):
        if size is None:
            return {**attributes, "auto_pad": "SAME_UPPER"}
        whole = same_padding(size, width, stride, step)
        begins.append(whole // 2)
        ends.append(whole - whole // 2)
    return {**attributes, "pads": [*begins, *ends]}


def same_padding(size: int, width: int, stride: int, dilation: int = 1) -> int:
    """How many elements SAME adds to an axis, both ends together."""
    windows = -(-size // stride)
    return max((windows - 1) * stride + (width - 1) * dilation + 1 - size, 0)
