"""CONV_2D, DEPTHWISE_CONV_2D, CONV_3D, TRANSPOSE_CONV.

Honoured: SAME and VALID, strides, dilations, groups (fewer weight channels than input channels),
depth multipliers, fused activations, biases or none, weights that are computed.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import (
    Conv2DOptions,
    Conv3DOptions,
    DepthwiseConv2DOptions,
    TransposeConvOptions,
)
from edgewright_converter.frontend.tflite.order import CHANNELS_FIRST
from edgewright_converter.frontend.tflite.registry import reads
from edgewright_converter.frontend.tflite.windows import same_padding, window_attributes


def _sizes(call: Call, position: int, rank: int) -> list[int]:
    """The sizes of weights, which are fixed."""
    sizes = call.tensor(position).sizes
    if len(sizes) != rank or min(sizes, default=0) < 1:
        call.refuse(f"its weights have the shape {sizes}")
    return list(sizes)


def _image(call: Call, position: int, rank: int) -> tuple[list[int | None], int]:
    """Spatial sizes and channels of the input."""
    shape = call.tensor(position).shape
    if len(shape) != rank or not shape[-1]:
        call.refuse(f"its input has the shape {list(shape)}")
    return list(shape[1:-1]), shape[-1]


@reads("CONV_2D", 8, place=CHANNELS_FIRST)
def conv_2d(call: Call) -> None:
    """Image [N, H, W, C] by weights [O, h, w, C / groups]."""
    options = call.options(Conv2DOptions)
    spatial, channels = _image(call, 0, 4)
    sizes = _sizes(call, 1, 4)
    if channels % sizes[3]:
        call.refuse(f"its {channels} channels are not in groups of {sizes[3]}")
    attributes = window_attributes(
        call,
        spatial,
        sizes[1:3],
        padding=options.padding,
        strides=(options.stride_h, options.stride_w),
        dilations=(options.dilation_h_factor, options.dilation_w_factor),
    )
    inputs = [call.value(0), call.weights(1, (0, 3, 1, 2))]
    _convolve(call, inputs, options.fused_activation_function, channels // sizes[3], attributes)


@reads("DEPTHWISE_CONV_2D", 7, place=CHANNELS_FIRST)
def depthwise_conv_2d(call: Call) -> None:
    """Image [N, H, W, C] by weights [1, h, w, C * multiplier], each channel by itself."""
    options = call.options(DepthwiseConv2DOptions)
    spatial, channels = _image(call, 0, 4)
    sizes = _sizes(call, 1, 4)
    if sizes[0] != 1 or sizes[3] % channels:
        call.refuse(f"its weights {sizes} are none for {channels} channels")
    attributes = window_attributes(
        call,
        spatial,
        sizes[1:3],
        padding=options.padding,
        strides=(options.stride_h, options.stride_w),
        dilations=(options.dilation_h_factor, options.dilation_w_factor),
    )
    inputs = [call.value(0), call.weights(1, (3, 0, 1, 2))]
    _convolve(call, inputs, options.fused_activation_function, channels, attributes)


@reads("CONV_3D", 1, place=CHANNELS_FIRST)
def conv_3d(call: Call) -> None:
    """Volume [N, D, H, W, C] by weights [d, h, w, C / groups, O]."""
    options = call.options(Conv3DOptions)
    spatial, channels = _image(call, 0, 5)
    sizes = _sizes(call, 1, 5)
    if channels % sizes[3]:
        call.refuse(f"its {channels} channels are not in groups of {sizes[3]}")
    attributes = window_attributes(
        call,
        spatial,
        sizes[:3],
        padding=options.padding,
        strides=(options.stride_d, options.stride_h, options.stride_w),
        dilations=(
            options.dilation_d_factor,
            options.dilation_h_factor,
            options.dilation_w_factor,
        ),
    )
    inputs = [call.value(0), call.weights(1, (4, 3, 0, 1, 2))]
    _convolve(call, inputs, options.fused_activation_function, channels // sizes[3], attributes)


def _convolve(
    call: Call, inputs: list[str], activation: int, groups: int, attributes: dict[str, object]
) -> None:
    bias = call.bias(2, weights=1)
    inputs = inputs if bias is None else [*inputs, bias]
    attributes = attributes if groups == 1 else {**attributes, "group": groups}
    call.give(call.activated(call.node("Conv", inputs, **attributes), activation))


@reads("TRANSPOSE_CONV", 5, place=CHANNELS_FIRST)
def transpose_conv(call: Call) -> None:
    """Input 2 [N, H, W, C] by weights [O, h, w, C], to the output shape that input 0 says."""
    options = call.options(TransposeConvOptions)
    spatial, channels = _image(call, 2, 4)
    sizes = _sizes(call, 1, 4)
    if channels != sizes[3]:
        call.refuse(f"its weights {sizes} are none for {channels} channels")
    shape = call.constant(0)
    wanted = list(call.result().shape[1:3]) if shape is None else call.integers(0, "size")[1:3]
    if len(wanted) != 2:
        call.refuse("the shape that it makes is none of an image")
    begins, ends, extra = [], [], []
    strides = (options.stride_h, options.stride_w)
    for before, after, width, stride in zip(spatial, wanted, sizes[1:3], strides, strict=True):
        if before is None or after is None or stride < 1:
            call.refuse("its sizes must be known")
        same = options.padding == schema.Padding.SAME
        pad = same_padding(after, width, stride) if same else 0
        missing = after - ((before - 1) * stride + width - pad)
        # What is missing at the end is more output; what is too much is cut there.
        begins.append(pad // 2)
        ends.append(pad - pad // 2 + max(-missing, 0))
        extra.append(max(missing, 0))
        if extra[-1] >= stride or begins[-1] + ends[-1] >= before * stride + width:
            call.refuse(f"it cannot make {after} of {before}")
    inputs = [call.value(2), call.weights(1, (3, 0, 1, 2), data=2)]
    bias = call.bias(3, weights=1, data=2)
    made = call.node(
        "ConvTranspose",
        inputs if bias is None else [*inputs, bias],
        kernel_shape=sizes[1:3],
        strides=list(strides),
        pads=[*begins, *ends],
        output_padding=extra,
    )
    call.give(call.activated(made, options.fused_activation_function))
