"""QuantizeLinear and DequantizeLinear around what LiteRT computes in integers.

Opset 17 has them for 8 bits. Integers of 16 bits (activations of 16x8 models) are whole numbers in
float32 inside the graph, which holds them exactly, and int16 at its inputs and outputs.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.frontend.tflite.composer import Composer
from edgewright_converter.frontend.tflite.file import FileTensor, Quantization
from edgewright_converter.frontend.tflite.refusal import damaged
from edgewright_converter.graph.model import Array

_NARROW = ("int8", "uint8")
"""What QuantizeLinear of opset 17 gives."""


def is_quantized(tensor: FileTensor) -> bool:
    """Whether the tensor's integers stand for real numbers as they pass through the graph."""
    return tensor.quantization is not None and tensor.dtype.name in (*_NARROW, "int16")


def is_wide(tensor: FileTensor) -> bool:
    """Whether the tensor's integers are held in float32 inside the graph."""
    return is_quantized(tensor) and tensor.dtype.name not in _NARROW


def quantize(composer: Composer, value: str, tensor: FileTensor) -> str:
    """Real numbers -> the tensor's integers, rounded half to even and saturated."""
    quantization = _of(tensor)
    if tensor.dtype.name in _NARROW:
        return composer.node("QuantizeLinear", [value, *_scales(composer, tensor)])[0]
    limits = np.iinfo(tensor.dtype.name)
    scale = composer.constant(quantization.scale[:1].reshape(()))
    offset = composer.constant(np.asarray(quantization.zero_point[0], np.float32))
    scaled = composer.node("Div", [value, scale])[0]
    shifted = composer.node("Add", [composer.node("Round", [scaled])[0], offset])[0]
    bounds = [
        composer.constant(np.asarray(bound, np.float32)) for bound in (limits.min, limits.max)
    ]
    return composer.node("Clip", [shifted, *bounds])[0]


def dequantize(composer: Composer, value: str, tensor: FileTensor) -> str:
    """The tensor's integers -> real numbers."""
    quantization = _of(tensor)
    if tensor.dtype.name in _NARROW:
        return composer.node("DequantizeLinear", [value, *_scales(composer, tensor)])[0]
    offset = composer.constant(np.asarray(quantization.zero_point[0], np.float32))
    scale = composer.constant(quantization.scale[:1].reshape(()))
    return composer.node("Mul", [composer.node("Sub", [value, offset])[0], scale])[0]


def dequantize_constant(
    composer: Composer, stored: Array, quantization: Quantization, axis: int
) -> str:
    """Weights (int8, uint8) or a bias (int32) with a scale for each index of `axis`, or one."""
    per_channel = quantization.scale.size > 1
    scale = quantization.scale if per_channel else quantization.scale[0]
    point = quantization.zero_point if per_channel else quantization.zero_point[0]
    inputs = [composer.constant(stored), composer.constant(np.asarray(scale, np.float32))]
    if stored.dtype != np.int32:
        inputs.append(composer.constant(_points(np.asarray(point), stored.dtype)))
    if per_channel:
        return composer.node("DequantizeLinear", inputs, axis=axis)[0]
    return composer.node("DequantizeLinear", inputs)[0]


def _of(tensor: FileTensor) -> Quantization:
    assert tensor.quantization is not None
    if tensor.quantization.scale.size != 1:
        raise damaged(f"tensor {tensor.index} {tensor.name!r} is computed with several scales")
    return tensor.quantization


def _scales(composer: Composer, tensor: FileTensor) -> tuple[str, str]:
    quantization = _of(tensor)
    point = _points(quantization.zero_point[0], tensor.dtype)
    return composer.constant(quantization.scale[:1].reshape(())), composer.constant(point)


def _points(points: Array, dtype: np.dtype[np.generic]) -> Array:
    limits = np.iinfo(dtype.name)
    if points.min() < limits.min or points.max() > limits.max:
        raise damaged(f"a zero point of {dtype.name} is {int(points.min())}")
    return np.asarray(points).astype(dtype)
