"""Resize, Upsample: RESIZE_NEAREST_NEIGHBOR, RESIZE_BILINEAR; GATHER and FULLY_CONNECTED for every
sampling rule that these lack.

Honoured of the ONNX specification (Resize-10, 11, 13, 18, 19; Upsample-7, 9): scales or sizes, any
axes, keep_aspect_ratio_policy, nearest with every nearest_mode, linear, cubic, exclude_outside,
every coordinate transformation. The places are computed beforehand and compared with those of
TFLite's kernels; other nearest rules are gathered, other rules are products with the matrix of
their weights, axis by axis. Refused: antialias where it makes an axis shorter.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import TARGET, Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import CHANNELS_LAST, FREE, Placement
from edgewright_converter.graph.model import Array, Graph, Node
from edgewright_converter.graph.sampling import Sampling, samplings_of

_Op = schema.BuiltinOperator
_Kernel = tuple[int, schema.ResizeBilinearOptionsT | schema.ResizeNearestNeighborOptionsT]


def _place(node: Node, graph: Graph) -> Placement:
    samplings = samplings_of(graph, node, TARGET)
    return CHANNELS_LAST if _kernel(node, graph, samplings) else FREE


@emits("Resize", (10, 11, 13, 18, 19), place=_place)
@emits("Upsample", (7, 9), place=_place)
def resize(emission: Emission) -> None:
    """Samples the changed axes anew."""
    node, graph = emission.node, emission.graph
    samplings = samplings_of(graph, node, TARGET)
    kernel = _kernel(node, graph, samplings)
    if kernel is not None:
        emission.give(_resampled(emission, *kernel))
        return
    tensor, rank = emission.tensor(), emission.type().rank
    for axis, sampling in samplings.items():
        place = emission.input_layout.place(axis, rank)
        if sampling.mode == "nearest":
            tensor = _picked(emission, tensor, place, sampling.picks)
        else:
            tensor = _weighted(emission, tensor, place, sampling.matrix)
        if sampling.outside.any():
            tensor = _extrapolated(emission, tensor, place, sampling.outside)
    emission.give(tensor)


def _kernel(node: Node, graph: Graph, samplings: dict[int, Sampling]) -> _Kernel | None:
    """TFLite's operator that samples an image at the same places, if there is one."""
    type_, result = graph.types[node.inputs[0]], graph.types[node.outputs[0]]
    if type_.rank not in (3, 4) or not samplings or min(samplings) < 2:
        return None
    sampling = next(iter(samplings.values()))
    if any(one.outside.any() for one in samplings.values()) or sampling.mode == "cubic":
        return None
    axes = [
        (type_.sample[axis], result.sample[axis], samplings.get(axis))
        for axis in range(2, type_.rank)
    ]
    if sampling.mode == "nearest":
        for half in (False, True):
            if all(_same_picks(size, length, wanted, half) for size, length, wanted in axes):
                nearest = schema.ResizeNearestNeighborOptionsT()
                nearest.halfPixelCenters = half
                return _Op.RESIZE_NEAREST_NEIGHBOR, nearest
        return None
    for aligned, half in ((False, True), (False, False), (True, False)):
        if all(_same_places(size, length, wanted, aligned, half) for size, length, wanted in axes):
            bilinear = schema.ResizeBilinearOptionsT()
            bilinear.alignCorners, bilinear.halfPixelCenters = aligned, half
            return _Op.RESIZE_BILINEAR, bilinear
    return None


def _same_picks(size: int, length: int, wanted: Sampling | None, half: bool) -> bool:
    """Whether the kernel's floor((place + half) * input / output), in float32, gives the picks."""
    places = np.arange(length, dtype=np.float32) + np.float32(0.5 * half)
    kernel = np.minimum(np.floor(places * (np.float32(size) / np.float32(length))), size - 1)
    return np.array_equal(kernel, np.arange(size) if wanted is None else wanted.picks)


def _same_places(
    size: int, length: int, wanted: Sampling | None, aligned: bool, half: bool
) -> bool:
    places = np.arange(length)
    if aligned and length > 1:
        kernel = places * (size - 1) / (length - 1)
    else:
        kernel = np.clip((places + 0.5 * half) * size / length - 0.5 * half, 0, size - 1)
    expected = places if wanted is None else wanted.places
    return np.allclose(kernel, expected, rtol=0, atol=1e-5)


def _resampled(
    emission: Emission,
    code: int,
    options: schema.ResizeBilinearOptionsT | schema.ResizeNearestNeighborOptionsT,
) -> Tensor:
    image_nhwc, result = emission.tensor(), emission.result_in_memory()
    if result.rank == 3:
        image_nhwc = emission.reshape(image_nhwc, image_nhwc.type.inserted(1))
        result = result.inserted(1)
    inputs = [image_nhwc, emission.indices(result.sample[1:3])]
    resized = emission.operator(code, inputs, result, options)
    return emission.reshape(resized, emission.result_in_memory())


def _picked(emission: Emission, tensor: Tensor, axis: int, picks: Array) -> Tensor:
    options = schema.GatherOptionsT()
    options.axis = axis
    type_ = tensor.type.sized({axis: len(picks)})
    return emission.operator(_Op.GATHER, [tensor, emission.builder.constant(picks)], type_, options)


def _weighted(emission: Emission, tensor: Tensor, axis: int, matrix: Array) -> Tensor:
    """The product along one axis with weights [outputs, inputs]."""
    rank = tensor.type.rank
    order = [*(index for index in range(rank) if index != axis), axis]
    moved = emission.builder.transpose(tensor, order)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    bias = emission.builder.constant(np.zeros(len(matrix), np.float32))
    type_ = moved.type.sized({rank - 1: len(matrix)})
    inputs = [moved, emission.builder.constant(matrix), bias]
    product = emission.operator(_Op.FULLY_CONNECTED, inputs, type_, options)
    return emission.builder.transpose(product, [order.index(index) for index in range(rank)])


def _extrapolated(emission: Emission, tensor: Tensor, axis: int, outside: Array) -> Tensor:
    """With the extrapolation value where a place lies outside the source."""
    shape = [-1 if index == axis else 1 for index in range(tensor.type.rank)]
    value = emission.node.number("extrapolation_value", 0.0)
    inputs = [
        emission.builder.constant(outside.reshape(shape)),
        emission.builder.constant(np.full([1] * tensor.type.rank, value, np.float32)),
        tensor,
    ]
    return emission.operator(_Op.SELECT_V2, inputs, tensor.type, schema.SelectV2OptionsT())
