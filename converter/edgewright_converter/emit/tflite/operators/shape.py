"""Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Expand, Concat, Split, Slice, Pad, Tile and kin.

Honoured of the ONNX specification: Reshape's 0 and -1 (and allowzero), attributes that became
inputs (axes, split, pads, starts, ends), negative axes and steps, num_outputs of Split-18, Pad
modes constant, reflect and edge-less symmetric forms. A dynamic batch stays dynamic: a new shape
holds -1 in its place.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.padding import mirror_axes, pad_axes
from edgewright_converter.emit.tflite.registry import ANY, emits
from edgewright_converter.graph.layout import CHANNELS_LAST, FREE, SOURCE, Layout, Placement
from edgewright_converter.graph.model import Graph, Node

_Op = schema.BuiltinOperator
# Exporters write 10^9 or the largest integer for "to the end" of an axis; no batch is as large.
_BEYOND_ANY_BATCH = 1_000_000_000


def _flatten_place(node: Node, graph: Graph) -> Placement:
    """Before constant weights the order of a flattened image is free: Gemm and MatMul reorder the
    weights.
    """
    image, flat = graph.types[node.inputs[0]], graph.types[node.outputs[0]]
    readers = graph.consumers(node.outputs[0])
    weighted = all(
        reader.operator in ("Gemm", "MatMul")
        and reader.inputs[0] == node.outputs[0]
        and not reader.integer("transA", 0)
        and graph.constants.get(reader.inputs[1], np.empty(0)).ndim == 2
        for reader in readers
    )
    if image.is_whole_row(flat) and weighted and node.outputs[0] not in graph.outputs:
        return Placement(None, Layout.SOURCE)
    return SOURCE


@emits("Reshape", (5, 13, 14, 19, 21, 23, 24, 25), place=_flatten_place, dtypes=ANY)
@emits("Flatten", (1, 9, 11, 13, 21, 23, 24, 25), place=_flatten_place, dtypes=ANY)
def reshape(emission: Emission) -> None:
    """The same elements, in ONNX order, under another shape."""
    source = emission.tensor(0, Layout.SOURCE)
    emission.give(emission.reshape(source, emission.result()), layout=Layout.SOURCE)


def _transpose_order(node: Node, graph: Graph) -> tuple[int, ...]:
    rank = graph.types[node.inputs[0]].rank
    return node.integers("perm") or tuple(reversed(range(rank)))


def _transpose_place(node: Node, graph: Graph) -> Placement:
    order = _transpose_order(node, graph)
    last = Layout.CHANNELS_LAST.order(len(order))
    if order == last:
        return Placement(Layout.CHANNELS_LAST, Layout.SOURCE)
    if order == tuple(last.index(axis) for axis in range(len(order))):
        return Placement(Layout.SOURCE, Layout.CHANNELS_LAST)
    return SOURCE


@emits("Transpose", (1, 13, 21, 23, 24, 25), place=_transpose_place, dtypes=ANY)
def transpose(emission: Emission) -> None:
    """Axes in another order; between the two layouts it is only another way to look at
    the tensor.
    """
    order = _transpose_order(emission.node, emission.graph)
    rank = len(order)
    wanted = [order[axis] for axis in emission.output_layout.order(rank)]
    places = [emission.input_layout.place(axis, rank) for axis in wanted]
    emission.give(emission.builder.transpose(emission.tensor(), places))


def _relabelled_place(node: Node, graph: Graph) -> Placement:
    """Free where channels-last order survives that axes of size 1 come or go."""
    before, after = graph.types[node.inputs[0]], graph.types[node.outputs[0]]
    axes = node.integers("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] in graph.constants:
        axes = tuple(int(axis) for axis in graph.constants[node.inputs[1]].reshape(-1))
    wide, narrow = (before, after) if before.rank > after.rank else (after, before)
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(before.shape) if size == 1)
    gone = {axis % max(wide.rank, 1) for axis in axes}
    kept = [axis for axis in range(wide.rank) if axis not in gone]
    in_memory = [axis for axis in Layout.CHANNELS_LAST.order(wide.rank) if axis not in gone]
    order = tuple(kept.index(axis) for axis in in_memory)
    if order == Layout.CHANNELS_LAST.order(narrow.rank):
        return FREE
    return SOURCE


@emits("Squeeze", (1, 11, 13, 21, 23, 24, 25), place=_relabelled_place, dtypes=ANY)
@emits("Unsqueeze", (1, 11, 13, 21, 23, 24, 25), place=_relabelled_place, dtypes=ANY)
def relabel(emission: Emission) -> None:
    """Axes of size 1 go or come."""
    emission.give(emission.reshape(emission.tensor(), emission.result_in_memory()))


@emits("Expand", (8, 13), dtypes=("float32", "int32", "int64", "bool"))
def expand(emission: Emission) -> None:
    """Broadcasts to a shape."""
    result = emission.result_in_memory()
    source = emission.operand(0, result.rank)
    if source.type.shape == result.shape:
        emission.give(source)
        return
    inputs = [source, emission.shape(result)]
    options = schema.BroadcastToOptionsT()
    emission.give(emission.operator(_Op.BROADCAST_TO, inputs, result, options))


@emits("Concat", (4, 11, 13), dtypes=("float32", "int32", "int64", "bool", "int8", "uint8"))
def concat(emission: Emission) -> None:
    """Joins along one axis."""
    options = schema.ConcatenationOptionsT()
    rank = emission.result().rank
    options.axis = emission.output_layout.place(emission.node.integer("axis", 1), rank)
    inputs = [
        emission.tensor(position)
        for position in range(len(emission.node.inputs))
        if 0 not in emission.type(position).shape
    ]
    if len(inputs) == 1:
        emission.give(inputs[0])
        return
    result = emission.result_in_memory()
    emission.give(emission.operator(_Op.CONCATENATION, inputs, result, options))


@emits("Split", (2, 11, 13, 18), dtypes=("float32", "int32", "int64", "int8", "uint8"))
def split(emission: Emission) -> None:
    """Cuts along one axis into pieces whose sizes the inferred shapes give."""
    type_, count = emission.type(), len(emission.node.outputs)
    axis = emission.node.integer("axis", 0) % type_.rank
    sizes = [emission.result(position).shape[axis] for position in range(count)]
    if type_.shape[axis] is None or None in sizes:
        emission.refuse("it cuts an axis whose size follows the batch")
    if count == 1:
        emission.give(emission.tensor())
        return
    pieces = np.asarray(sizes, np.int32)
    place = np.asarray(emission.input_layout.place(axis, type_.rank), np.int32)
    options = schema.SplitVOptionsT()
    options.numSplits = count
    cut = emission.builder.operator(
        _Op.SPLIT_V,
        [emission.tensor(), emission.builder.constant(pieces), emission.builder.constant(place)],
        [emission.result_in_memory(position) for position in range(count)],
        options,
    )
    for position, piece in enumerate(cut):
        emission.give(piece, position)


@emits("Slice", (1, 10, 11, 13), dtypes=("float32", "int32", "int64", "bool", "int8", "uint8"))
def slice_(emission: Emission) -> None:
    """A part of each axis, with steps of either sign."""
    type_ = emission.type()
    rank = type_.rank
    starts, ends = emission.integers("starts", 1), emission.integers("ends", 2)
    if starts is None or ends is None:
        emission.refuse("its starts and ends must be constant for this target")
    axes = emission.integers("axes", 3) or tuple(range(len(starts)))
    steps = emission.integers("steps", 4) or (1,) * len(starts)
    begin, stop, stride = [0] * rank, [0] * rank, [1] * rank
    whole = (1 << rank) - 1  # bit i: the part of axis i goes to the end
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size, place = type_.shape[axis % rank], emission.input_layout.place(axis, rank)
        if size is None:
            if start == 0 and end >= _BEYOND_ANY_BATCH and step == 1:
                continue
            emission.refuse("it cuts an axis whose size follows the batch")
        first, last, stride[place] = slice(start, end, step).indices(size)
        begin[place], stop[place] = first, last
        if not (step < 0 and last < 0):
            whole &= ~(1 << place)
    result = emission.result_in_memory()
    if stride == [1] * rank and result.shape == emission.tensor().type.shape:
        emission.give(emission.tensor())
        return
    options = schema.StridedSliceOptionsT()
    options.endMask = whole
    options.beginMask = 0
    inputs = [emission.tensor(), *(emission.indices(part) for part in (begin, stop, stride))]
    if 0 in result.shape:
        emission.refuse("its result has no elements")
    emission.give(emission.operator(_Op.STRIDED_SLICE, inputs, result, options))


@emits("Pad", (2, 11, 13, 18, 19, 21, 23, 24, 25), dtypes=("float32", "int32", "int64"))
def pad(emission: Emission) -> None:
    """Constants or mirrored elements around the axes; negative pads cut."""
    type_, node = emission.type(), emission.node
    pads = emission.integers("pads", 1)
    if pads is None:
        emission.refuse("its pads must be constant for this target")
    axes = tuple(range(type_.rank))
    if emission.has(3):
        axes = tuple(int(axis) % type_.rank for axis in emission.known(3, "axes").reshape(-1))
    around = [(0, 0)] * type_.rank
    for position, axis in enumerate(axes):
        place = emission.input_layout.place(axis, type_.rank)
        around[place] = (pads[position], pads[position + len(axes)])
    if min(pads, default=0) < 0:
        emission.refuse("negative pads cannot be expressed")
    mode = node.text("mode", "constant")
    if mode == "constant":
        value = node.number("value", 0.0)
        if emission.has(2):
            value = emission.known(2, "fill value").reshape(()).item()
        emission.give(pad_axes(emission, emission.tensor(), tuple(around), value))
    elif mode == "reflect":
        sizes = emission.tensor().type.shape
        if any(size is not None and max(p) >= size for size, p in zip(sizes, around, strict=True)):
            emission.refuse("pads as wide as the axis cannot be reflected")
        emission.give(mirror_axes(emission, emission.tensor(), tuple(around), edge_twice=False))
    elif mode == "edge" and max(pads) <= 1:
        emission.give(mirror_axes(emission, emission.tensor(), tuple(around), edge_twice=True))
    elif mode in ("edge", "wrap"):
        emission.give(_repeated(emission, around, mode))
    else:
        emission.refuse(f"mode {mode} cannot be expressed")


def _repeated(emission: Emission, around: list[tuple[int, int]], mode: str) -> Tensor:
    """Pads with copies of the edge, or with the other end, by picking along each axis."""
    tensor = emission.tensor()
    for axis, (begin, end) in enumerate(around):
        if (begin, end) == (0, 0):
            continue
        size = tensor.type.shape[axis]
        if size is None:
            emission.refuse(f"it pads axis {axis}, whose size follows the batch")
        places = np.arange(-begin, size + end)
        picks = np.clip(places, 0, size - 1) if mode == "edge" else places % size
        options = schema.GatherOptionsT()
        options.axis = axis
        inputs = [tensor, emission.builder.constant(picks.astype(np.int32))]
        type_ = tensor.type.sized({axis: len(picks)})
        tensor = emission.operator(_Op.GATHER, inputs, type_, options)
    return tensor


@emits("Tile", (6, 13), dtypes=("float32", "int32", "int64", "bool"))
def tile(emission: Emission) -> None:
    """Repeats each axis a number of times."""
    repeats = emission.known(1, "repeats").reshape(-1)
    order = emission.input_layout.order(len(repeats))
    inputs = [emission.tensor(), emission.indices([int(repeats[axis]) for axis in order])]
    result = emission.result_in_memory()
    emission.give(emission.operator(_Op.TILE, inputs, result, schema.TileOptionsT()))


@emits("DepthToSpace", (1, 11, 13, 28), place=CHANNELS_LAST)
def depth_to_space(emission: Emission) -> None:
    """Blocks of channels become squares of pixels, in DCR or CRD order."""
    type_, size = emission.type(), emission.node.integer("blocksize", 1)
    blocks = type_.shape[1]
    assert blocks is not None
    if emission.node.text("mode", "DCR") == "CRD":
        # CRD counts channels first: put them into DCR's order, which is TFLite's.
        order = np.arange(blocks).reshape(-1, size * size).T.reshape(-1)
        options = schema.GatherOptionsT()
        options.axis = emission.input_layout.place(1, 4)
        source = emission.tensor()
        inputs = [source, emission.indices([int(index) for index in order])]
        image = emission.operator(_Op.GATHER, inputs, source.type, options)
    else:
        image = emission.tensor()
    spread = schema.DepthToSpaceOptionsT()
    spread.blockSize = size
    result = emission.result_in_memory()
    emission.give(emission.operator(_Op.DEPTH_TO_SPACE, [image], result, spread))


@emits("SpaceToDepth", (1, 13, 28), place=CHANNELS_LAST)
def space_to_depth(emission: Emission) -> None:
    """Squares of pixels become blocks of channels, in DCR order."""
    if emission.node.text("mode", "DCR") != "DCR":
        emission.refuse("mode CRD cannot be expressed")
    options = schema.SpaceToDepthOptionsT()
    options.blockSize = emission.node.integer("blocksize", 1)
    result = emission.result_in_memory()
    emission.give(emission.operator(_Op.SPACE_TO_DEPTH, [emission.tensor()], result, options))
