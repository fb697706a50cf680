"""BatchNormalization, InstanceNormalization, LayerNormalization, MeanVarianceNormalization,
LpNormalization, LRN.

Honoured of the ONNX specification: BatchNormalization at inference (7, 9, 14, 15) as one product
and one sum with constants; epsilon, axis, axes and p wherever they appear; LRN over an odd number
of channels; the statistics outputs of LayerNormalization. Refused: training, computed scales of
BatchNormalization.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST, FREE, SOURCE
from edgewright_converter.graph.model import Array

_Op = schema.BuiltinOperator


@emits("BatchNormalization", (7, 9, 14, 15), place=FREE)
def batch_normalization(emission: Emission) -> None:
    """x factor + (bias - mean factor) with factor = scale / sqrt(variance + epsilon)."""
    if emission.node.integer("training_mode", 0) or any(emission.wants(i) for i in range(1, 5)):
        emission.refuse("training cannot be expressed")
    if not emission.node.integer("spatial", 1):
        emission.refuse("statistics per element cannot be expressed")
    names = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (
        emission.known(position, what).astype(np.float64)
        for position, what in enumerate(names, start=1)
    )
    factor = scale / np.sqrt(variance + emission.node.number("epsilon", 1e-5))
    result = emission.result_in_memory()
    scaled = emission.binary(_Op.MUL, emission.tensor(), _per_channel(emission, factor), result)
    shift = _per_channel(emission, bias - mean * factor)
    emission.give(emission.binary(_Op.ADD, scaled, shift, result))


def _per_channel(emission: Emission, values: Array) -> Tensor:
    """A constant of one value per channel, shaped so that it broadcasts in the node's layout."""
    rank = emission.type().rank
    shape = [1] * rank
    shape[emission.input_layout.place(1, rank) if rank > 1 else 0] = values.size
    return emission.builder.constant(values.reshape(shape).astype(np.float32))


@emits("InstanceNormalization", (6, 22), place=FREE)
def instance_normalization(emission: Emission) -> None:
    """Zero mean, unit variance over the spatial axes; then scale and bias per channel."""
    rank = emission.type().rank
    places = [emission.input_layout.place(axis, rank) for axis in range(2, rank)]
    normal = _standardized(emission, places, emission.node.number("epsilon", 1e-5))
    scale = _per_channel(emission, emission.known(1, "scale"))
    bias = _per_channel(emission, emission.known(2, "bias"))
    scaled = emission.binary(_Op.MUL, normal, scale, normal.type)
    emission.give(emission.binary(_Op.ADD, scaled, bias, normal.type))


@emits("LayerNormalization", (17,), place=SOURCE)
def layer_normalization(emission: Emission) -> None:
    """Zero mean, unit variance over the axes from `axis` on; then scale and bias."""
    rank = emission.type().rank
    axis = emission.node.integer("axis", -1) % rank
    epsilon = emission.node.number("epsilon", 1e-5)
    normal, mean, inverse = _standardization(emission, list(range(axis, rank)), epsilon)
    for position, statistic in ((1, mean), (2, inverse)):
        if emission.wants(position):
            emission.give(statistic, position)
    total = emission.binary(_Op.MUL, normal, emission.operand(1, rank), normal.type)
    if emission.has(2):
        total = emission.binary(_Op.ADD, total, emission.operand(2, rank), normal.type)
    emission.give(total)


@emits("MeanVarianceNormalization", (9, 13), place=FREE)
def mean_variance_normalization(emission: Emission) -> None:
    """Zero mean, unit variance over axes."""
    rank = emission.type().rank
    axes = emission.node.integers("axes") or (0, 2, 3)
    places = [emission.input_layout.place(axis, rank) for axis in axes]
    # The definition adds 1e-9 to the deviation, onnxruntime to the variance; neither is seen in
    # float32 unless all elements are equal.
    emission.give(_standardized(emission, places, 1e-9))


def _standardized(emission: Emission, places: list[int], epsilon: float) -> Tensor:
    return _standardization(emission, places, epsilon)[0]


def _standardization(
    emission: Emission, places: list[int], epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(variance + epsilon) over axes as they lie in memory; the mean; and one over
    the root.
    """
    tensor = emission.tensor()
    mean = _mean(emission, tensor, places)
    difference = emission.binary(_Op.SUB, tensor, mean, tensor.type)
    square = emission.binary(_Op.MUL, difference, difference, tensor.type)
    variance = _mean(emission, square, places)
    epsilon_tensor = emission.filled(epsilon, tensor.type.dtype)
    shifted = emission.binary(_Op.ADD, variance, epsilon_tensor, variance.type)
    inverse = emission.operator(_Op.RSQRT, [shifted], shifted.type)
    normal = emission.binary(_Op.MUL, difference, inverse, tensor.type)
    return normal, mean, inverse


def _mean(emission: Emission, tensor: Tensor, places: list[int]) -> Tensor:
    options = schema.ReducerOptionsT()
    options.keepDims = True
    inputs = [tensor, emission.indices(sorted(places))]
    type_ = tensor.type.sized(dict.fromkeys(places, 1))
    return emission.operator(_Op.MEAN, inputs, type_, options)


@emits("LpNormalization", (1, 22), place=FREE)
def lp_normalization(emission: Emission) -> None:
    """x over its norm along one axis; zeros stay zeros."""
    rank, tensor = emission.type().rank, emission.tensor()
    place = emission.input_layout.place(emission.node.integer("axis", -1), rank)
    kept = tensor.type.sized({place: 1})
    options = schema.ReducerOptionsT()
    options.keepDims = True
    if emission.node.integer("p", 2) == 1:
        sizes = emission.operator(_Op.ABS, [tensor], tensor.type, schema.AbsOptionsT())
        norm = emission.operator(_Op.SUM, [sizes, emission.indices([place])], kept, options)
    else:
        square = emission.binary(_Op.MUL, tensor, tensor, tensor.type)
        total = emission.operator(_Op.SUM, [square, emission.indices([place])], kept, options)
        norm = emission.operator(_Op.SQRT, [total], kept)
    tiny = emission.filled(float(np.finfo(np.float32).tiny), tensor.type.dtype)
    norm = emission.binary(_Op.MAXIMUM, norm, tiny, kept)
    emission.give(emission.binary(_Op.DIV, tensor, norm, tensor.type))


@emits("LRN", (1, 13), place=CHANNELS_LAST)
def local_response_normalization(emission: Emission) -> None:
    """x over (bias + alpha / size sum of squares of the neighbouring channels) ^ beta."""
    node = emission.node
    size = node.integer("size", 1)
    if size % 2 == 0 or emission.type().rank != 4:
        emission.refuse("only an odd number of channels of images can be expressed")
    options = schema.LocalResponseNormalizationOptionsT()
    options.radius = (size - 1) // 2
    options.bias = node.number("bias", 1.0)
    options.alpha = node.number("alpha", 1e-4) / size
    options.beta = node.number("beta", 0.75)
    inputs, result = [emission.tensor()], emission.result_in_memory()
    emission.give(emission.operator(_Op.LOCAL_RESPONSE_NORMALIZATION, inputs, result, options))
