"""Image resizing (MIL ops `image_resizing`) over the last two axes."""

from __future__ import annotations

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates


@evaluates("upsample_nearest_neighbor")
def upsample_nearest_neighbor(arguments: Arguments) -> Array:
    """Every element so many times, by whole factors."""
    x = arguments.tensor("x")
    for axis, name in ((-2, "scale_factor_height"), (-1, "scale_factor_width")):
        factor = arguments.number(name, 1.0)
        if factor != int(factor):
            raise arguments.refuse(f"{name} {factor}")
        x = np.repeat(x, int(factor), axis=axis)
    return x


@evaluates("resize_bilinear")
def resize_bilinear(arguments: Arguments) -> Array:
    """Linear interpolation at the grid points of the sampling mode."""
    x, mode = arguments.tensor("x"), arguments.text("sampling_mode", "DEFAULT")
    for axis, name in ((-2, "target_size_height"), (-1, "target_size_width")):
        length, size = arguments.integer(name, 1), x.shape[axis]
        if mode == "UNALIGN_CORNERS":
            spacing = size / length
            points = np.arange(length) * spacing + 0.5 * spacing - 0.5
        elif mode == "STRICT_ALIGN_CORNERS" and length > 1:
            points = np.arange(length) * (size - 1) / (length - 1)
        else:
            raise arguments.refuse(f"sampling_mode {mode} to {length} elements")
        points = np.clip(points, 0, size - 1)
        low = np.floor(points).astype(int)
        high = np.minimum(low + 1, size - 1)
        shape = [1] * x.ndim
        shape[axis] = length
        share = (points - low).astype(np.float32).reshape(shape)
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x
