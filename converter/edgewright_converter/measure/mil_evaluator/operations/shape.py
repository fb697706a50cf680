"""Shapes and selections (MIL ops `tensor_transformation`, `tensor_operation`, `scatter_gather`)."""

from __future__ import annotations

from math import prod

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates


@evaluates("reshape")
def reshape(arguments: Arguments) -> Array:
    """The same elements in the same order; 0 keeps a size, -1 is what is left."""
    x, wanted = arguments.tensor("x"), arguments.integers("shape")
    return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(wanted)])


@evaluates("expand_dims")
def expand_dims(arguments: Arguments) -> Array:
    """Axes of size 1 come, at places of the result."""
    result: Array = np.expand_dims(arguments.tensor("x"), tuple(arguments.integers("axes")))
    return result


@evaluates("squeeze")
def squeeze(arguments: Arguments) -> Array:
    """Axes of size 1 go."""
    x = arguments.tensor("x")
    return x.squeeze(tuple(arguments.integers("axes"))) if arguments.has("axes") else x.squeeze()


@evaluates("transpose")
def transpose(arguments: Arguments) -> Array:
    """Result axis i is axis perm[i]."""
    return np.transpose(arguments.tensor("x"), arguments.integers("perm"))


@evaluates("concat")
def concat(arguments: Arguments) -> Array:
    """Joins along an axis."""
    if arguments.flag("interleave", default=False):
        raise arguments.refuse("interleave")
    return np.concatenate(arguments.tensors("values"), axis=arguments.integer("axis"))


@evaluates("flatten2d")
def flatten2d(arguments: Arguments) -> Array:
    """A matrix: the axes before `axis` are rows, the others columns."""
    x, axis = arguments.tensor("x"), arguments.integer("axis", 1)
    return x.reshape(prod(x.shape[:axis]), -1)


@evaluates("fill")
def fill(arguments: Arguments) -> Array:
    """A tensor of one value."""
    return np.full(arguments.integers("shape"), arguments.tensor("value").reshape(()))


@evaluates("stack")
def stack(arguments: Arguments) -> Array:
    """Joins along a new axis."""
    return np.stack(arguments.tensors("values"), axis=arguments.integer("axis"))


@evaluates("split")
def split(arguments: Arguments) -> list[Array]:
    """Cuts along an axis into pieces of given sizes, or so many equal ones."""
    x, axis = arguments.tensor("x"), arguments.integer("axis")
    if arguments.has("split_sizes"):
        bounds = np.cumsum(arguments.integers("split_sizes"))[:-1]
        arguments.has("num_splits")
        return np.split(x, bounds.tolist(), axis)
    return np.split(x, arguments.integer("num_splits"), axis)


@evaluates("slice_by_index")
def slice_by_index(arguments: Arguments) -> Array:
    """x[begin:end:stride] on every axis; a masked bound is the axis's own end."""
    x = arguments.tensor("x")
    begin, end = arguments.integers("begin"), arguments.integers("end")
    stride = arguments.integers("stride", [1] * x.ndim)
    masks = {name: arguments.flags(f"{name}_mask", x.ndim) for name in ("begin", "end", "squeeze")}
    index: list[int | slice] = []
    for axis in range(x.ndim):
        if masks["squeeze"][axis]:
            index.append(begin[axis])
            continue
        start = None if masks["begin"][axis] else begin[axis]
        stop = None if masks["end"][axis] else end[axis]
        index.append(slice(start, stop, stride[axis]))
    return np.asarray(x[tuple(index)])


@evaluates("slice_by_size")
def slice_by_size(arguments: Arguments) -> Array:
    """size[i] elements from begin[i] on; -1 is all that follow."""
    x = arguments.tensor("x")
    pairs = zip(arguments.integers("begin"), arguments.integers("size"), strict=True)
    return x[tuple(slice(b, None if s == -1 else b + s) for b, s in pairs)]


@evaluates("gather")
def gather(arguments: Arguments) -> Array:
    """Picks along an axis; negative indices count from the end."""
    if arguments.integer("batch_dims", 0):
        raise arguments.refuse("batch_dims")
    indices = arguments.tensor("indices").astype(np.int64)
    result: Array = np.take(arguments.tensor("x"), indices, arguments.integer("axis", 0))
    return result


_PAD_MODES = {"reflect": "reflect", "replicate": "edge"}


@evaluates("pad")
def pad(arguments: Arguments) -> Array:
    """Elements around the last axes: a constant, the mirrored inside, or the edge."""
    x, flat = arguments.tensor("x"), arguments.integers("pad")
    around = [(0, 0)] * (x.ndim - len(flat) // 2)
    around += list(zip(flat[::2], flat[1::2], strict=True))
    mode, value = arguments.text("mode", "constant"), arguments.number("constant_val", 0.0)
    if mode == "constant":
        return np.pad(x, around, constant_values=value)
    if mode not in _PAD_MODES or any(max(pair) for pair in around[:-2]):
        raise arguments.refuse(f"mode {mode} of these axes")
    if mode == "reflect":
        return np.pad(x, around, mode="reflect")
    return np.pad(x, around, mode="edge")


@evaluates("tile")
def tile(arguments: Arguments) -> Array:
    """Repeats each axis a number of times."""
    return np.tile(arguments.tensor("x"), arguments.integers("reps"))


@evaluates("depth_to_space", "pixel_shuffle")
def spread(arguments: Arguments) -> Array:
    """Channels become squares: block-major (depth_to_space, as TensorFlow) or channel-major."""
    x = arguments.tensor("x")
    n, c, h, w = x.shape
    if arguments.kind == "depth_to_space":
        size = arguments.integer("block_size")
        blocks = x.reshape(n, size, size, c // size**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        size = arguments.integer("upscale_factor")
        blocks = x.reshape(n, c // size**2, size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, c // size**2, h * size, w * size)


@evaluates("space_to_depth")
def gather_blocks(arguments: Arguments) -> Array:
    """Squares become channels, block-major as TensorFlow."""
    x, size = arguments.tensor("x"), arguments.integer("block_size")
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // size, size, w // size, size).transpose(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * size**2, h // size, w // size)
