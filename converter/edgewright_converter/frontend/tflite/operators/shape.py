"""RESHAPE, TRANSPOSE, SQUEEZE, EXPAND_DIMS, SHAPE, CONCATENATION, PACK, SPLIT, TILE and their kin.

What renames axes runs in the file's order; what joins or cuts along one runs in either.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import (
    BlockOptions,
    ConcatenationOptions,
    PackOptions,
    ReshapeOptions,
    SqueezeOptions,
    UnpackOptions,
)
from edgewright_converter.frontend.tflite.order import CHANNELS_FIRST, FILE
from edgewright_converter.frontend.tflite.registry import reads


@reads("RESHAPE", 2, place=FILE)
def reshape(call: Call) -> None:
    """The same elements under another shape; one size may be -1."""
    if call.has(1) and call.constant(1) is None:
        call.give(call.node("Reshape", [call.value(), call.integer_operand(1)], allowzero=1))
        return
    sizes = call.integers(1, "shape") if call.has(1) else None
    if sizes is None:
        sizes = list(call.options(ReshapeOptions).new_shape or ())
    if any(size < -1 for size in sizes) or sizes.count(-1) > 1:
        call.refuse(f"its shape is {sizes}")
    attributes = {"allowzero": 1} if 0 in sizes else {}
    call.give(call.node("Reshape", [call.value(), call.ints(sizes)], **attributes))


@reads("TRANSPOSE", 7, place=FILE)
def transpose(call: Call) -> None:
    """The axes in another order."""
    axes, rank = call.integers(1, "order of axes"), call.tensor().rank
    axes = [axis + rank if axis < 0 else axis for axis in axes]
    if sorted(axes) != list(range(rank)):
        call.refuse(f"{axes} is no order of {rank} axes")
    call.give(call.composer.transpose(call.value(), axes))


@reads("SQUEEZE", 2, place=FILE)
def squeeze(call: Call) -> None:
    """Without axes of size 1: those named, or all."""
    rank = call.tensor().rank
    axes = [call.axis(axis, rank) for axis in call.options(SqueezeOptions).squeeze_dims or ()]
    if not axes:
        axes = [axis for axis, size in enumerate(call.tensor().shape) if size == 1]
    call.give(call.node("Squeeze", [call.value(), call.ints(sorted(set(axes)))]))


@reads("EXPAND_DIMS", 1, place=FILE)
def expand_dims(call: Call) -> None:
    """With one more axis of size 1."""
    axes, rank = call.integers(1, "axis"), call.tensor().rank + 1
    if len(axes) != 1:
        call.refuse(f"it has {len(axes)} axes")
    axis = call.axis(axes[0], rank)
    call.give(call.node("Unsqueeze", [call.value(), call.ints([axis])]))


@reads("SHAPE", 1, place=FILE)
def shape(call: Call) -> None:
    """The sizes of all axes."""
    sizes = call.node("Shape", [call.values.stored(call.index(0), call.in_order)])
    kind = helper.np_dtype_to_tensor_dtype(call.result().dtype)
    call.give(sizes if kind == TensorProto.INT64 else call.node("Cast", [sizes], to=kind))


@reads("RANK", 1, place=FILE)
def rank_of(call: Call) -> None:
    """The number of axes."""
    call.give(call.composer.constant(np.asarray(call.tensor().rank, call.result().dtype)))


@reads("CONCATENATION", 4)
def concatenation(call: Call) -> None:
    """Tensors one after the other along an axis."""
    options, rank = call.options(ConcatenationOptions), call.result().rank
    if any(call.tensor(position).rank != rank for position in range(call.count)):
        call.refuse("its inputs have different numbers of axes")
    parts = [call.value(position) for position in range(call.count)]
    made = call.node("Concat", parts, axis=call.axis(options.axis, rank))
    call.give(call.activated(made, options.fused_activation_function))


@reads("PACK", 4, place=FILE)
def pack(call: Call) -> None:
    """Tensors of one shape along a new axis."""
    axis = call.axis(call.options(PackOptions).axis, call.result().rank)
    place = call.ints([axis])
    parts = [
        call.node("Unsqueeze", [call.value(position), place]) for position in range(call.count)
    ]
    call.give(call.node("Concat", parts, axis=axis))


@reads("UNPACK", 4, place=FILE)
def unpack(call: Call) -> None:
    """Every index of an axis as a tensor of its own."""
    axis = call.axis(call.options(UnpackOptions).axis, call.tensor().rank)
    for position in range(len(call.operator.outputs)):
        index = call.composer.constant(np.asarray(position, np.int64))
        call.give(call.node("Gather", [call.value(), index], axis=axis), position)


@reads("SPLIT", 4)
def split(call: Call) -> None:
    """Equal parts along an axis; the axis is input 0."""
    count = len(call.operator.outputs)
    axis = _axis(call, 0, call.tensor(1).rank)
    parts = call.composer.node("Split", [call.value(1)], count, axis=axis)
    for position, part in enumerate(parts):
        call.give(part, position)


@reads("SPLIT_V", 2)
def split_v(call: Call) -> None:
    """Parts of given sizes along an axis; one size may be -1."""
    rank = call.tensor().rank
    file_axis = call.integers(2, "axis")[:1]
    axis = _axis(call, 2, rank)
    sizes, whole = call.integers(1, "sizes"), call.tensor().shape[file_axis[0] % rank]
    if sizes.count(-1) == 1 and whole is not None:
        sizes[sizes.index(-1)] = whole - sum(sizes) - 1
    if len(sizes) != len(call.operator.outputs) or min(sizes) < 0:
        call.refuse(f"its parts are {sizes}")
    inputs = [call.value(), call.ints(sizes)]
    parts = call.composer.node("Split", inputs, len(sizes), axis=axis)
    for position, part in enumerate(parts):
        call.give(part, position)


def _axis(call: Call, position: int, rank: int) -> int:
    axes = call.integers(position, "axis")
    if len(axes) != 1:
        call.refuse(f"it has {len(axes)} axes")
    return call.axis(axes[0], rank)


@reads("TILE", 3, place=FILE)
def tile(call: Call) -> None:
    """Repeated along each axis."""
    call.give(call.node("Tile", [call.value(), call.integer_operand(1)]))


@reads("BROADCAST_TO", 3, place=FILE)
def broadcast_to(call: Call) -> None:
    """Repeated where an axis has size 1."""
    call.give(call.node("Expand", [call.value(), call.integer_operand(1)]))


@reads("SPACE_TO_DEPTH", 2, place=CHANNELS_FIRST)
def space_to_depth(call: Call) -> None:
    """Blocks of pixels as channels: first the row within the block, then the column, as ONNX."""
    size = call.options(BlockOptions).block_size
    if size < 1 or call.tensor().rank != 4:
        call.refuse(f"its block size is {size}")
    call.give(call.node("SpaceToDepth", [call.value()], blocksize=size))


@reads("DEPTH_TO_SPACE", 2, place=CHANNELS_FIRST)
def depth_to_space(call: Call) -> None:
    """Channels as blocks of pixels: ONNX's mode DCR."""
    size = call.options(BlockOptions).block_size
    if size < 1 or call.tensor().rank != 4:
        call.refuse(f"its block size is {size}")
    call.give(call.node("DepthToSpace", [call.value()], blocksize=size, mode="DCR"))
