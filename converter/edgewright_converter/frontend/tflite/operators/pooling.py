"""AVERAGE_POOL_2D, MAX_POOL_2D: SAME and VALID, fused activations; padding never counts."""

from __future__ import annotations

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import Pool2DOptions
from edgewright_converter.frontend.tflite.order import CHANNELS_FIRST
from edgewright_converter.frontend.tflite.registry import reads
from edgewright_converter.frontend.tflite.windows import window_attributes

_OPERATORS = {"AVERAGE_POOL_2D": "AveragePool", "MAX_POOL_2D": "MaxPool"}


@reads("AVERAGE_POOL_2D", 3, place=CHANNELS_FIRST)
@reads("MAX_POOL_2D", 3, place=CHANNELS_FIRST)
def pool_2d(call: Call) -> None:
    """Mean or maximum over the windows of [N, H, W, C]."""
    options = call.options(Pool2DOptions)
    shape = call.tensor().shape
    if len(shape) != 4:
        call.refuse(f"its input has the shape {list(shape)}")
    attributes = window_attributes(
        call,
        shape[1:3],
        (options.filter_height, options.filter_width),
        padding=options.padding,
        strides=(options.stride_h, options.stride_w),
    )
    pooled = call.node(_OPERATORS[call.operator.kind], [call.value()], **attributes)
    call.give(call.activated(pooled, options.fused_activation_function))
