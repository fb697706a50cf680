"""Conv and ConvTranspose: `conv`, `conv_transpose`.

Honoured of the ONNX specification (1, 11, 22): strides, dilations, pads and every auto_pad (as
MIL's custom pads), group, optional bias, one to three spatial axes; ConvTranspose's output_padding
and output_shape through the inferred shape; weights and biases that are computed, where neither
dilations nor (ConvTranspose) groups come with them.
"""

from __future__ import annotations

from math import prod

import numpy as np

from edgewright_converter.emit.coreml.availability import TARGET
from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.model import Array
from edgewright_converter.graph.windows import windows_of


@emits("Conv", (1, 11, 22))
def conv(emission: Emission) -> None:
    """Convolution of [N, C, spatial...] by weights [O, C / group, kernel...]."""
    shape = _weight_shape(emission)
    group = emission.node.integer("group", 1)
    if shape[0] % group or emission.shape()[1] != shape[1] * group:
        emission.refuse(f"group {group} does not divide its channels")
    windows = windows_of(emission.graph, emission.node, shape[2:], TARGET)
    if emission.constant(1) is None and max(windows.dilations) > 1:
        emission.refuse("computed weights with dilations cannot be expressed")
    padded = any(windows.flat_reach)
    fixed = _constant_bias(emission)
    result = emission.op(
        "conv",
        x=emission.value(),
        weight=emission.value(1),
        strides=list(windows.strides),
        dilations=list(windows.dilations),
        groups=group,
        pad_type="custom" if padded else "valid",
        **({"pad": windows.flat_reach} if padded else {}),
        **({} if fixed is None else {"bias": fixed}),
    )
    emission.give(result if fixed is not None else _with_bias(emission, result))


def _weight_shape(emission: Emission) -> tuple[int, ...]:
    shape = emission.shape(1)
    spatial = len(shape) - 2
    if emission.type().rank != len(shape) or not 1 <= spatial <= 3:
        emission.refuse(f"{spatial} spatial axes cannot be convolved; 1, 2 or 3 can")
    return shape


def _constant_bias(emission: Emission) -> Array | None:
    known = emission.constant(2)
    return None if known is None else known.reshape(-1).astype(np.float32)


def _with_bias(emission: Emission, result: Value) -> Value:
    """The result plus the bias, where there is one."""
    if not emission.has(2):
        return result
    shape = (1, -1, *(1,) * (len(result.shape) - 2))
    known = _constant_bias(emission)
    if known is not None:
        return emission.op("add", x=result, y=known.reshape(shape))
    lifted = emission.reshape(emission.value(2), (1, emission.shape(2)[0], *shape[2:]))
    return emission.op("add", x=result, y=lifted)


@emits("ConvTranspose", (1, 11, 22))
def conv_transpose(emission: Emission) -> None:
    """Transposed convolution of [N, C, spatial...] by weights [C, O / group, kernel...].

    Written without pads; what ONNX pads away is cut off after, and what output_padding or
    output_shape add beyond the last window is filled with zeros and the bias, so that no rule of
    MIL's `same` or `output_shape` is needed.
    """
    node, shape = emission.node, _weight_shape(emission)
    spatial = len(shape) - 2
    strides = node.integers("strides") or (1,) * spatial
    dilations = node.integers("dilations") or (1,) * spatial
    begins = _begins(emission, shape[2:], strides, dilations)
    if emission.constant(1) is None:
        result = _spread_and_convolved(emission, shape, strides, dilations)
    else:
        result = emission.op(
            "conv_transpose",
            x=emission.value(),
            weight=emission.value(1),
            strides=list(strides),
            dilations=list(dilations),
            groups=node.integer("group", 1),
            pad_type="valid",
        )
    grown, outputs = tuple(result.shape), emission.result().sample
    ends = [begin + size for begin, size in zip(begins, outputs[2:], strict=True)]
    missing = [max(end - have, 0) for end, have in zip(ends, grown[2:], strict=True)]
    if any(missing):
        pad = [0, 0, 0, 0, *(size for extra in missing for size in (0, extra))]
        result = emission.op("pad", x=result, pad=pad, mode="constant", constant_val=0.0)
    if tuple(result.shape) != outputs:
        result = emission.op(
            "slice_by_index",
            x=result,
            begin=[0, 0, *begins],
            end=[*outputs[:2], *ends],
        )
    emission.give(_with_bias(emission, result))


def _spread_and_convolved(
    emission: Emission,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> Value:
    """By computed weights, which `conv_transpose` does not take: zeros between the elements, then
    a convolution by the turned weights.
    """
    if max(dilations) > 1 or emission.node.integer("group", 1) > 1:
        emission.refuse("computed weights with dilations or groups cannot be expressed")
    x, sizes = emission.value(), list(emission.shape())
    for axis, stride in enumerate(strides, start=2):
        if stride == 1:
            continue
        before, after = prod(sizes[:axis]), prod(sizes[axis + 1 :])
        rows = emission.reshape(x, (before, sizes[axis], 1, after))
        pad = [0, 0, 0, 0, 0, stride - 1, 0, 0]
        rows = emission.op("pad", x=rows, pad=pad, mode="constant", constant_val=0.0)
        sizes[axis] *= stride
        x = emission.reshape(rows, sizes)
        sizes[axis] -= stride - 1
        x = emission.op("slice_by_index", x=x, begin=[0] * len(sizes), end=list(sizes))
    axes = list(range(2, len(shape)))
    turned = emission.op("reverse", x=emission.value(1), axes=axes)
    turned = emission.op("transpose", x=turned, perm=[1, 0, *axes])
    pad = [size - 1 for size in shape[2:] for _ in range(2)]
    padded = {"pad_type": "custom", "pad": pad} if any(pad) else {"pad_type": "valid"}
    return emission.op("conv", x=x, weight=turned, **padded)


def _begins(
    emission: Emission,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> list[int]:
    """How many elements ONNX drops at the beginning of each spatial axis.

    The specification's formula: with auto_pad or output_shape the total follows from the output's
    size, and SAME_UPPER puts the odd one to the end, everything else to the beginning.
    """
    node, spatial = emission.node, len(kernel)
    extra = node.integers("output_padding") or (0,) * spatial
    auto = node.text("auto_pad", "NOTSET")
    shaped = node.integers("output_shape") is not None
    explicit = node.integers("pads") or (0,) * (2 * spatial)
    if auto.startswith("SAME") and any(extra):
        # onnx's shape inference adds output_padding to the output, onnxruntime does not.
        emission.refuse(f"auto_pad {auto} with output_padding is ambiguous")
    begins = []
    for axis in range(spatial):
        size, output = emission.shape()[axis + 2], emission.result().sample[axis + 2]
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        if auto == "NOTSET" and not shaped:
            begins.append(explicit[axis])
            continue
        if auto == "VALID" and not shaped:
            begins.append(0)
            continue
        total = strides[axis] * (size - 1) + extra[axis] + extent - output
        if total < 0:
            emission.refuse("an output larger than its windows reach is ambiguous")
        begins.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
    return begins
