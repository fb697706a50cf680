"""Gather, GatherElements, GatherND, OneHot, Hardmax, TopK, ReverseSequence, Compress.

Honoured of the ONNX specification: indices constant or computed, below zero (counted from the end)
or not; batch_dims of GatherND on static shapes; OneHot's axis, any on and off value, indices out of
range; TopK over any axis, largest or smallest, sorted. Refused: a computed k or depth, a computed
condition of Compress.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import ARITHMETIC, emits
from edgewright_converter.graph.layout import SOURCE
from edgewright_converter.graph.model import TensorType

_Op = schema.BuiltinOperator
_GATHERED = ("float32", "int32", "int64", "bool", "int8")
_INT32 = np.dtype(np.int32)


@emits("Gather", (1, 11, 13), place=SOURCE, dtypes=_GATHERED)
def gather(emission: Emission) -> None:
    """Picks along one axis by an index tensor."""
    type_ = emission.type()
    axis = emission.node.integer("axis", 0) % type_.rank
    picks = indices_within(emission, 1, type_.shape[axis])
    emission.give(_gathered(emission, emission.tensor(0), picks, emission.result(), axis))


def indices_within(emission: Emission, position: int, size: int | None) -> Tensor:
    """An input of indices along an axis; those below zero count from its end."""
    known = emission.constant(position)
    if known is None:
        # An index below zero is out of bounds in TFLite.
        if size is None:
            emission.refuse("it picks from an axis whose size follows the batch")
        indices = emission.tensor(position)
        length = emission.builder.constant(np.asarray(size, indices.type.dtype))
        shifted = emission.binary(_Op.ADD, indices, length, indices.type)
        return emission.binary(_Op.FLOOR_MOD, shifted, length, indices.type)
    if size is None and (known < 0).any():
        emission.refuse("it picks from the end of an axis whose size follows the batch")
    positive = np.where(known < 0, known + (size or 0), known)
    return emission.builder.constant(positive.astype(np.int32))


def _gathered(
    emission: Emission,
    tensor: Tensor,
    picks: Tensor,
    type_: TensorType,
    axis: int,
    batch_axes: int = 0,
) -> Tensor:
    options = schema.GatherOptionsT()
    options.axis, options.batchDims = axis, batch_axes
    return emission.operator(_Op.GATHER, [tensor, picks], type_, options)


@emits("GatherElements", (11, 13), place=SOURCE, dtypes=_GATHERED)
def gather_elements(emission: Emission) -> None:
    """Picks along one axis, at every place of the others by an index of its own."""
    type_, result = emission.type(), emission.result()
    rank = type_.rank
    axis = emission.node.integer("axis", 0) % rank
    tensor = _trimmed(emission, axis)
    picks = indices_within(emission, 1, type_.shape[axis])
    order = [*(index for index in range(rank) if index != axis), axis]
    moved = emission.builder.transpose(tensor, order)
    places = emission.builder.transpose(picks, order)
    taken = _gathered(emission, moved, places, result.permuted(order), rank - 1, rank - 1)
    back = [order.index(index) for index in range(rank)]
    emission.give(emission.builder.transpose(taken, back))


def _trimmed(emission: Emission, axis: int) -> Tensor:
    """The data without the elements beyond the indices along the other axes."""
    type_, result, tensor = emission.type(), emission.result(), emission.tensor()
    sizes: dict[int, int] = {}
    for other, size in enumerate(result.shape):
        if other != axis and size != type_.shape[other]:
            if size is None:
                emission.refuse("its indices follow the batch in an axis where its data does not")
            sizes[other] = size
    if not sizes:
        return tensor
    begin = emission.indices([0] * type_.rank)
    ends = emission.indices([sizes.get(other, -1) for other in range(type_.rank)])
    inputs = [tensor, begin, ends]
    return emission.operator(_Op.SLICE, inputs, type_.sized(sizes), schema.SliceOptionsT())


@emits("GatherND", (11, 12, 13), place=SOURCE, dtypes=("float32", "int32", "int64", "bool"))
def gather_nd(emission: Emission) -> None:
    """Picks by coordinates."""
    batch_axes = emission.node.integer("batch_dims", 0)
    coordinates = coordinates_within(emission, 1, batch_axes)
    if batch_axes:
        coordinates = _with_batch(emission, coordinates, batch_axes)
    inputs = [emission.tensor(0), coordinates]
    options = schema.GatherNdOptionsT()
    emission.give(emission.operator(_Op.GATHER_ND, inputs, emission.result(), options))


def coordinates_within(emission: Emission, position: int, first: int = 0) -> Tensor:
    """An input of coordinates [..., k] of the data's axes from `first` on, none below zero."""
    type_, picks = emission.type(), emission.type(position)
    width = picks.sample[-1]
    sizes = type_.shape[first : first + width]
    known = emission.constant(position)
    if known is not None:
        if (known < 0).any() and None in sizes:
            emission.refuse("it picks from the end of an axis whose size follows the batch")
        lengths = np.asarray([size or 0 for size in sizes], known.dtype)
        positive = np.where(known < 0, known + lengths, known)
        return emission.builder.constant(positive.astype(np.int32))
    if None in sizes:
        emission.refuse("it picks from an axis whose size follows the batch")
    indices = emission.tensor(position)
    lengths_tensor = emission.builder.constant(np.asarray(sizes, picks.dtype))
    shifted = emission.binary(_Op.ADD, indices, lengths_tensor, indices.type)
    return emission.binary(_Op.FLOOR_MOD, shifted, lengths_tensor, indices.type)


def _with_batch(emission: Emission, coordinates: Tensor, batch_axes: int) -> Tensor:
    """Coordinates with those of the batch axes in front."""
    shape = coordinates.type.shape
    if None in shape:
        emission.refuse("batch_dims over an axis that follows the batch cannot be expressed")
    sizes = coordinates.type.sample
    grid = np.indices(sizes[:-1])[:batch_axes]
    front = emission.builder.constant(np.moveaxis(grid, 0, -1).astype(coordinates.type.dtype))
    return joined(emission, [front, coordinates], len(sizes) - 1)


def joined(emission: Emission, parts: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors one after the other along an axis; constants beforehand."""
    data = [emission.builder.data(part) for part in parts]
    known = [array for array in data if array is not None]
    if len(known) == len(parts):
        return emission.builder.constant(np.concatenate(known, axis=axis))
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    type_ = parts[0].type.sized({axis: sum(part.type.sample[axis] for part in parts)})
    return emission.operator(_Op.CONCATENATION, parts, type_, options)


@emits("OneHot", (9, 11, 28), place=SOURCE, dtypes=("float32", "int32", "int64"))
def one_hot(emission: Emission) -> None:
    """One value at the indices along a new axis, another elsewhere; nothing for a bad index."""
    depth = int(emission.known(1, "depth").reshape(-1)[0])
    values, result = emission.known(2, "values"), emission.result()
    indices = emission.tensor()
    if indices.type.dtype != _INT32:
        whole = indices.type.typed(_INT32)
        indices = emission.operator(_Op.CAST, [indices], whole, schema.CastOptionsT())
    zero, length = (emission.builder.constant(np.asarray(v, np.int32)) for v in (0, depth))
    below = emission.operator(
        _Op.LESS, [indices, zero], indices.type.typed(np.dtype(np.bool_)), schema.LessOptionsT()
    )
    shifted = emission.binary(_Op.ADD, indices, length, indices.type)
    inputs = [below, shifted, indices]
    options = schema.SelectV2OptionsT()
    indices = emission.operator(_Op.SELECT_V2, inputs, indices.type, options)
    off, on = (emission.builder.constant(np.asarray(v, result.dtype)) for v in values.reshape(-1))
    emission.give(_one_hot(emission, indices, length, on, off, result))


def _one_hot(
    emission: Emission, indices: Tensor, length: Tensor, on: Tensor, off: Tensor, type_: TensorType
) -> Tensor:
    options = schema.OneHotOptionsT()
    options.axis = emission.node.integer("axis", -1)
    if options.axis < 0:
        options.axis += type_.rank
    return emission.operator(_Op.ONE_HOT, [indices, length, on, off], type_, options)


@emits("Hardmax", (1, 11, 13), place=SOURCE)
def hardmax(emission: Emission) -> None:
    """1 at the first largest element along an axis (all from it on before opset 13), else 0."""
    node, type_ = emission.node, emission.type()
    axis = node.integer("axis", -1 if node.version >= 13 else 1)
    place = axis % max(type_.rank, 1)
    tensor, shape = emission.tensor(), type_
    if node.version < 13:
        shape = type_.flattened(place)
        tensor, place = emission.reshape(tensor, shape), 1
    depth = shape.shape[place]
    if depth is None:
        emission.refuse("its axis follows the batch")
    options = schema.ArgMaxOptionsT()
    options.outputType = schema.TensorType.INT32
    found = shape.without([place]).typed(_INT32)
    best = emission.operator(_Op.ARG_MAX, [tensor, emission.indices([place])], found, options)
    length, off, on = (
        emission.builder.constant(np.asarray(value, kind))
        for value, kind in ((depth, np.int32), (0, np.float32), (1, np.float32))
    )
    spread = schema.OneHotOptionsT()
    spread.axis = place
    marked = emission.operator(_Op.ONE_HOT, [best, length, on, off], shape, spread)
    emission.give(emission.reshape(marked, type_))


@emits("TopK", (1, 10, 11, 24), place=SOURCE, dtypes=ARITHMETIC)
def top_k(emission: Emission) -> None:
    """The k largest (smallest) elements along an axis, in order, and where they stand."""
    node, type_ = emission.node, emission.type()
    given = node.attributes.get("k")
    if given is None:
        given = int(emission.known(1, "k").reshape(-1)[0])
    rank = type_.rank
    axis = node.integer("axis", -1) % rank
    order = [*(index for index in range(rank) if index != axis), axis]
    back = [order.index(index) for index in range(rank)]
    moved = emission.builder.transpose(emission.tensor(), order)
    smallest = not node.integer("largest", 1)
    if smallest:
        moved = emission.operator(_Op.NEG, [moved], moved.type, schema.NegOptionsT())
    values = emission.result(0).permuted(order)
    inputs = [moved, emission.builder.constant(np.asarray(given, np.int32))]
    types = [values, values.typed(_INT32)]
    best, where = emission.builder.operator(_Op.TOPK_V2, inputs, types, schema.TopKV2OptionsT())
    if smallest:
        best = emission.operator(_Op.NEG, [best], values, schema.NegOptionsT())
    emission.give(emission.builder.transpose(best, back))
    if emission.wants(1):
        wide = values.typed(np.dtype(np.int64))
        places = emission.operator(_Op.CAST, [where], wide, schema.CastOptionsT())
        emission.give(emission.builder.transpose(places, back), 1)


@emits("ReverseSequence", (10, 28), place=SOURCE, dtypes=ARITHMETIC)
def reverse_sequence(emission: Emission) -> None:
    """Turns the first elements of each sequence around."""
    options = schema.ReverseSequenceOptionsT()
    options.seqDim = emission.node.integer("time_axis", 0)
    options.batchDim = emission.node.integer("batch_axis", 1)
    inputs = [emission.tensor(0), emission.tensor(1)]
    emission.give(emission.operator(_Op.REVERSE_SEQUENCE, inputs, emission.result(), options))


@emits("Compress", (9, 11, 28), place=SOURCE, dtypes=_GATHERED)
def compress(emission: Emission) -> None:
    """The elements along an axis (of the flattened tensor without one) where a condition holds."""
    picks = np.flatnonzero(emission.known(1, "condition")).astype(np.int32)
    tensor, result, axis = emission.tensor(), emission.result(), 0
    if "axis" in emission.node.attributes:
        axis = emission.node.integer("axis", 0) % emission.type().rank
    else:
        tensor = emission.reshape(tensor, emission.type().flattened(0).without([0]))
    emission.give(_gathered(emission, tensor, emission.builder.constant(picks), result, axis))
