"""Conv: CONV_2D, DEPTHWISE_CONV_2D, CONV_3D.

Honoured of the ONNX specification (Conv-1, 11, 22): kernel_shape (redundant with the weights),
strides, dilations, pads and every auto_pad (as SAME or VALID where TFLite places the same windows,
otherwise by PAD in front), group (1, any divisor, and channel-wise with a multiplier), optional
bias, weights constant or computed. One spatial axis runs as two of which the first has size 1.
Refused: groups over three spatial axes.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import TARGET, Emission
from edgewright_converter.emit.tflite.padding import fits_same, fits_valid, pad_spatial
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST, Layout
from edgewright_converter.graph.model import TensorType
from edgewright_converter.graph.windows import Windows, windows_of

_Op = schema.BuiltinOperator


@emits("Conv", (1, 11, 22), place=CHANNELS_LAST)
def conv(emission: Emission) -> None:
    """Convolution of [N, C, spatial...] by weights [O, C / group, kernel...]."""
    weights = emission.tensor(1, Layout.SOURCE)
    spatial = weights.type.rank - 2
    if emission.type().rank != weights.type.rank or not 1 <= spatial <= 3:
        emission.refuse(f"{spatial} spatial axes cannot be convolved; 1, 2 or 3 can")
    group, sizes = emission.node.integer("group", 1), weights.type.sample
    if not weights.type.is_static:
        emission.refuse("the shape of its weights follows the batch")
    if sizes[0] % group or emission.type().shape[1] != sizes[1] * group:
        emission.refuse(f"group {group} does not divide its channels")
    windows = windows_of(emission.graph, emission.node, sizes[2:], TARGET)
    bias = emission.builder.constant(np.zeros(sizes[0], weights.type.dtype))
    if emission.has(2):
        bias = emission.reshape(emission.tensor(2, Layout.SOURCE), bias.type)
    image = emission.tensor(0)
    result = emission.result_in_memory()
    if spatial == 1:
        image = emission.reshape(image, image.type.inserted(1))
        weights = emission.reshape(weights, weights.type.inserted(2))
        windows = windows.with_row()
        flat = _convolve_planes(emission, image, weights, bias, windows, result.inserted(1))
        emission.give(emission.reshape(flat, result))
    elif spatial == 2:
        emission.give(_convolve_planes(emission, image, weights, bias, windows, result))
    else:
        emission.give(_convolve_volumes(emission, image, weights, bias, windows, result))


def _convolve_planes(
    emission: Emission,
    image_nhwc: Tensor,
    weight_oihw: Tensor,
    bias: Tensor,
    windows: Windows,
    result: TensorType,
) -> Tensor:
    padding, image_nhwc = _padding(emission, image_nhwc, windows)
    channels = image_nhwc.type.sample[3]
    depthwise = weight_oihw.type.sample[1] == 1 and emission.node.integer("group", 1) == channels
    # A single channel is an ordinary convolution, which is the faster kernel.
    options: schema.DepthwiseConv2DOptionsT | schema.Conv2DOptionsT
    if depthwise and channels > 1:
        code = _Op.DEPTHWISE_CONV_2D
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = weight_oihw.type.sample[0] // channels
        filters = emission.builder.transpose(weight_oihw, (1, 2, 3, 0))
    else:
        code = _Op.CONV_2D
        options = schema.Conv2DOptionsT()
        filters = emission.builder.transpose(weight_oihw, (0, 2, 3, 1))
    options.padding = padding
    options.strideH, options.strideW = windows.strides
    options.dilationHFactor, options.dilationWFactor = windows.dilations
    inputs = [image_nhwc, filters, bias]
    return emission.operator(code, inputs, result, options)


def _convolve_volumes(
    emission: Emission,
    image_ndhwc: Tensor,
    weight_oidhw: Tensor,
    bias: Tensor,
    windows: Windows,
    result: TensorType,
) -> Tensor:
    if emission.node.integer("group", 1) != 1:
        emission.refuse("groups over three spatial axes cannot be expressed")
    padding, image_ndhwc = _padding(emission, image_ndhwc, windows)
    options = schema.Conv3DOptionsT()
    options.padding = padding
    options.strideD, options.strideH, options.strideW = windows.strides
    dilations = windows.dilations
    options.dilationDFactor, options.dilationHFactor, options.dilationWFactor = dilations
    filters = emission.builder.transpose(weight_oidhw, (2, 3, 4, 1, 0))
    inputs = [image_ndhwc, filters, bias]
    return emission.operator(_Op.CONV_3D, inputs, result, options)


def _padding(emission: Emission, image: Tensor, windows: Windows) -> tuple[int, Tensor]:
    if fits_valid(windows):
        return schema.Padding.VALID, image
    if fits_same(windows):
        return schema.Padding.SAME, image
    return schema.Padding.VALID, pad_spatial(emission, image, windows.reach)
