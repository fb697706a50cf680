"""ConvTranspose: TRANSPOSE_CONV, with what ONNX pads away cut off where SAME and VALID do not say
it.

Honoured of the ONNX specification (ConvTranspose-1, 11, 22): strides, pads, output_padding,
output_shape and every auto_pad (through the inferred shape), dilations (by holes of zeros in the
weights), group (by zeros between the groups), optional bias, weights constant or computed. Refused:
three spatial axes, groups that would make the weights huge, computed weights with either.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST, Layout
from edgewright_converter.graph.model import Array, TensorType

_Op = schema.BuiltinOperator
# Zeros between groups multiply the weights by the group count; past this a file would balloon.
_WEIGHTS_MAX = 1 << 24


@emits("ConvTranspose", (1, 11, 22), place=CHANNELS_LAST)
def conv_transpose(emission: Emission) -> None:
    """Transposed convolution of [N, C, spatial...] by weights [C, O / group, kernel...]."""
    spatial = emission.type(1).rank - 2
    if spatial not in (1, 2):
        emission.refuse(f"{spatial} spatial axes cannot be expressed; 1 or 2 can")
    weight_iohw = _weights(emission, spatial)
    strides = emission.node.integers("strides") or (1,) * spatial
    image, result = emission.tensor(), emission.result_in_memory()
    sizes, outputs = emission.type().shape[2:], emission.result().shape[2:]
    begins = _begins(emission, weight_iohw.type.sample[2:], strides)
    if spatial == 1:
        image = emission.reshape(image, image.type.inserted(1))
        weight_iohw = emission.reshape(weight_iohw, weight_iohw.type.inserted(2))
        strides, sizes, outputs, begins = (
            (1, *strides), (1, *sizes), (1, *outputs), (0, *begins)
        )  # fmt: skip
        result = result.inserted(1)
    bias = emission.builder.constant(np.zeros(weight_iohw.type.sample[1], np.float32))
    if emission.has(2):
        bias = emission.reshape(emission.tensor(2, Layout.SOURCE), bias.type)
    inputs = [emission.builder.transpose(weight_iohw, (1, 2, 3, 0)), image, bias]
    grown = _scatter(emission, inputs, result, strides, begins)
    emission.give(emission.reshape(grown, emission.result_in_memory()))


def _weights(emission: Emission, spatial: int) -> Tensor:
    """Weights [C, O, kernel...] that say group and dilations by zeros."""
    group = emission.node.integer("group", 1)
    dilations = emission.node.integers("dilations") or (1,) * spatial
    weights = emission.constant(1)
    if weights is None:
        if group > 1 or max(dilations) > 1 or not emission.type(1).is_static:
            emission.refuse("computed weights with groups or dilations cannot be expressed")
        return emission.tensor(1, Layout.SOURCE)
    if weights.size * group > _WEIGHTS_MAX:
        emission.refuse(f"weights of {group} groups would be too large")
    return emission.builder.constant(_with_holes(_with_all_groups(weights, group), dilations))


def _with_all_groups(weights: Array, group: int) -> Array:
    """Weights [C, O, ...] of one group that computes what the groups did."""
    if group == 1:
        return weights
    rows, columns = weights.shape[0] // group, weights.shape[1]
    whole = np.zeros((weights.shape[0], columns * group, *weights.shape[2:]), weights.dtype)
    for index in range(group):
        part = slice(index * rows, (index + 1) * rows)
        whole[part, index * columns : (index + 1) * columns] = weights[part]
    return whole


def _with_holes(weights: Array, dilations: tuple[int, ...]) -> Array:
    extents = tuple((k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilations, strict=True))
    spread = np.zeros((*weights.shape[:2], *extents), weights.dtype)
    spread[(slice(None), slice(None), *(slice(None, None, step) for step in dilations))] = weights
    return spread


def _begins(
    emission: Emission, kernel: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[int, ...]:
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
        size, output = emission.type().shape[axis + 2], emission.result().shape[axis + 2]
        if size is None or output is None:
            emission.refuse("a spatial size follows the batch")
        total = strides[axis] * (size - 1) + extra[axis] + kernel[axis] - output
        if auto == "VALID" or not (shaped or auto.startswith("SAME")):
            begins.append(0 if auto == "VALID" else explicit[axis])
        elif total < 0:
            emission.refuse("an output larger than the windows reach cannot be expressed")
        else:
            begins.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
    if min(begins) < 0:
        emission.refuse("negative pads cannot be expressed")
    return tuple(begins)


def _scatter(
    emission: Emission,
    inputs: list[Tensor],
    result: TensorType,
    strides: tuple[int, ...],
    begins: tuple[int, ...],
) -> Tensor:
    filters, image, _ = inputs
    kernel = filters.type.sample[1:3]
    sizes, outputs = image.type.sample[1:3], result.sample[1:3]
    options = schema.TransposeConvOptionsT()
    options.strideH, options.strideW = strides
    same = all(
        output == size * stride and begin == max((size - 1) * stride + window - output, 0) // 2
        for output, size, stride, window, begin in zip(
            outputs, sizes, strides, kernel, begins, strict=True
        )
    )
    if same:
        options.padding = schema.Padding.SAME
        return _sized(emission, inputs, result, options)
    options.padding = schema.Padding.VALID
    full = {
        axis + 1: max(
            (sizes[axis] - 1) * strides[axis] + kernel[axis], begins[axis] + outputs[axis]
        )
        for axis in range(2)
    }
    grown = _sized(emission, inputs, result.sized(full), options)
    if grown.type.shape == result.shape:
        return grown
    cut = schema.StridedSliceOptionsT()
    cut.beginMask = cut.endMask = 0b1001  # batch and channels whole
    begin = emission.indices([0, *begins, 0])
    end = emission.indices([0, *(b + o for b, o in zip(begins, outputs, strict=True)), 0])
    slices = [grown, begin, end, emission.indices([1, 1, 1, 1])]
    return emission.operator(_Op.STRIDED_SLICE, slices, result, cut)


def _sized(
    emission: Emission,
    inputs: list[Tensor],
    type_: TensorType,
    options: schema.TransposeConvOptionsT,
) -> Tensor:
    """TRANSPOSE_CONV, whose output shape is an input: computed where the batch is dynamic."""
    shape = emission.shape(type_)
    return emission.operator(_Op.TRANSPOSE_CONV, [shape, *inputs], type_, options)
