"""RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR: each of their three ways to place pixels.

Nearest rounds half up where pixels have centres or corners are aligned, and down otherwise.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import (
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
)
from edgewright_converter.frontend.tflite.order import CHANNELS_FIRST
from edgewright_converter.frontend.tflite.registry import reads


@reads("RESIZE_BILINEAR", 4, place=CHANNELS_FIRST)
def resize_bilinear(call: Call) -> None:
    """[N, H, W, C] to the height and width that input 1 says, by weights of four pixels."""
    options = call.options(ResizeBilinearOptions)
    mode = _mode(call, options)
    _resize(call, mode="linear", coordinate_transformation_mode=mode)


@reads("RESIZE_NEAREST_NEIGHBOR", 4, place=CHANNELS_FIRST)
def resize_nearest_neighbor(call: Call) -> None:
    """[N, H, W, C] to the height and width that input 1 says, by the nearest pixel."""
    mode = _mode(call, call.options(ResizeNearestNeighborOptions))
    rounding = "floor" if mode == "asymmetric" else "round_prefer_ceil"
    _resize(call, mode="nearest", coordinate_transformation_mode=mode, nearest_mode=rounding)


def _mode(call: Call, options: ResizeBilinearOptions | ResizeNearestNeighborOptions) -> str:
    if options.align_corners and options.half_pixel_centers:
        call.refuse("it aligns corners and has pixel centres")
    if options.align_corners:
        return "align_corners"
    return "half_pixel" if options.half_pixel_centers else "asymmetric"


def _resize(call: Call, **attributes: str) -> None:
    sizes, shape = call.integers(1, "size"), call.tensor().shape
    if len(sizes) != 2 or len(shape) != 4 or min(sizes) < 1:
        call.refuse(f"it makes {sizes} of {list(shape)}")
    batch, height, width, channels = shape
    if batch is not None and channels is not None:
        given = ["", "", call.ints([batch, channels, *sizes])]
    elif height and width:
        # float32 factors, as ONNX has them; checked to give the sizes back.
        factors = np.asarray([1, 1, sizes[0] / height, sizes[1] / width], np.float32)
        made = [int(height * factors[2]), int(width * factors[3])]
        if made != sizes:
            call.refuse(f"no factor makes {sizes} of {[height, width]} with a dynamic batch")
        given = ["", call.composer.constant(factors)]
    else:
        call.refuse("its input has no fixed size")
    call.give(call.node("Resize", [call.value(), *given], **attributes))
