"""Conv and ConvTranspose: `conv`, `conv_transpose`.

Honoured of the ONNX specification (1, 11, 22): strides, dilations, pads and every auto_pad (as
MIL's custom pads), group, optional bias, one to three spatial axes; ConvTranspose's output_padding
and output_shape through the inferred shape. Refused: weights that are computed.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.emit.coreml.windows import windows_of
from edgewright_converter.graph.model import Array


@emits("Conv", (1, 11, 22))
def conv(emission: Emission) -> None:
    """Convolution of [N, C, spatial...] by weights [O, C / group, kernel...]."""
    weights = _weights(emission)
    group = emission.node.integer("group", 1)
    if weights.shape[0] % group or emission.shape()[1] != weights.shape[1] * group:
        emission.refuse(f"group {group} does not divide its channels")
    windows = windows_of(emission, weights.shape[2:])
    padded = any(windows.flat_reach)
    emission.give(
        emission.op(
            "conv",
            x=emission.value(),
            weight=weights,
            strides=list(windows.strides),
            dilations=list(windows.dilations),
            groups=group,
            pad_type="custom" if padded else "valid",
            **({"pad": windows.flat_reach} if padded else {}),
            **_bias(emission),
        )
    )


def _weights(emission: Emission) -> Array:
    weights = emission.known(1, "weights").astype(np.float32)
    spatial = weights.ndim - 2
    if emission.type().rank != weights.ndim or not 1 <= spatial <= 3:
        emission.refuse(f"{spatial} spatial axes cannot be convolved; 1, 2 or 3 can")
    return weights


def _bias(emission: Emission) -> dict[str, Array]:
    if not emission.has(2):
        return {}
    return {"bias": emission.known(2, "bias").reshape(-1).astype(np.float32)}


@emits("ConvTranspose", (1, 11, 22))
def conv_transpose(emission: Emission) -> None:
    """Transposed convolution of [N, C, spatial...] by weights [C, O / group, kernel...].

    Written without pads; what ONNX pads away is cut off after, and what output_padding or
    output_shape add beyond the last window is filled with zeros and the bias, so that no rule of
    MIL's `same` or `output_shape` is needed.
    """
    node, weights = emission.node, _weights(emission)
    spatial = weights.ndim - 2
    strides = node.integers("strides") or (1,) * spatial
    dilations = node.integers("dilations") or (1,) * spatial
    begins = _begins(emission, weights.shape[2:], strides, dilations)
    result = emission.op(
        "conv_transpose",
        x=emission.value(),
        weight=weights,
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
    if emission.has(2):
        bias = _bias(emission)["bias"].reshape(1, -1, *(1,) * spatial)
        result = emission.op("add", x=result, y=bias)
    emission.give(result)


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
