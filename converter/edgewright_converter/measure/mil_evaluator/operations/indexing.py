"""Picking and writing by computed places (MIL ops `scatter_gather`, `tensor_operation`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates

# Any: numpy's ufuncs have no narrower common type.
_UPDATES: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}


def _inside(arguments: Arguments, indices: Array, size: int) -> Array:
    """Indices, which must be non-negative: the operators' texts leave negative ones open."""
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        raise arguments.refuse("an index outside its axis")
    return indices.astype(np.int64)


@evaluates("gather_along_axis")
def gather_along_axis(arguments: Arguments) -> Array:
    """output[..., i, ...] = x[..., indices[..., i, ...], ...]."""
    x, axis = arguments.tensor("x"), arguments.integer("axis", 0)
    indices = _inside(arguments, arguments.tensor("indices"), x.shape[axis])
    result: Array = np.take_along_axis(x, indices, axis)
    return result


@evaluates("gather_nd")
def gather_nd(arguments: Arguments) -> Array:
    """x at the tuples in the last axis of indices, per batch."""
    x, indices = arguments.tensor("x"), arguments.tensor("indices").astype(np.int64)
    batch = arguments.integer("batch_dims", 0)
    depth = indices.shape[-1]
    for place in range(depth):
        _inside(arguments, indices[..., place], x.shape[batch + place])
    outer = x.shape[:batch]
    result = np.empty((*indices.shape[:-1], *x.shape[batch + depth :]), x.dtype)
    for at in np.ndindex(*outer):
        tuples = indices[at]
        result[at] = x[at][tuple(np.moveaxis(tuples, -1, 0))]
    return result


@evaluates("scatter_nd")
def scatter_nd(arguments: Arguments) -> Array:
    """`updates` written into a copy of `data` at the tuples in the last axis of indices."""
    result = np.array(arguments.tensor("data"))
    indices, updates = arguments.tensor("indices"), arguments.tensor("updates")
    for place in range(indices.shape[-1]):
        _inside(arguments, indices[..., place], result.shape[place])
    mode = arguments.text("mode", "add")
    if mode != "update" and mode not in _UPDATES:
        raise arguments.refuse(f"mode {mode}")
    for at in np.ndindex(*indices.shape[:-1]):
        place_of = tuple(int(index) for index in indices[at])
        new = updates[at]
        result[place_of] = new if mode == "update" else _UPDATES[mode](result[place_of], new)
    return result


@evaluates("topk")
def topk(arguments: Arguments) -> list[Array]:
    """The first k elements along an axis in sorted order, and where they were."""
    x, k = arguments.tensor("x"), arguments.integer("k", 1)
    axis = arguments.integer("axis", -1)
    rising = arguments.flag("ascending", default=False)
    arguments.flag("sort", default=True)  # sorted is one of the orders that unsorted allows
    wide = x.astype(np.float64)
    order = np.argsort(wide if rising else -wide, axis=axis, kind="stable")
    indices = np.take(order, range(k), axis=axis)
    values = np.take_along_axis(x, indices, axis)
    if not arguments.flag("return_indices", default=True):
        return [values]
    return [values, indices.astype(np.int32)]


@evaluates("argsort")
def argsort(arguments: Arguments) -> Array:
    """Where the elements of the sorted axis were."""
    wide = arguments.tensor("x").astype(np.float64)
    rising = arguments.flag("ascending", default=False)
    axis = arguments.integer("axis", -1)
    return np.argsort(wide if rising else -wide, axis=axis, kind="stable").astype(np.int32)


@evaluates("reverse_sequence")
def reverse_sequence(arguments: Arguments) -> Array:
    """The first lengths[i] elements along seq_axis turned round, for each i of batch_axis."""
    x, lengths = arguments.tensor("x"), arguments.tensor("lengths")
    seq_axis, batch_axis = arguments.integer("seq_axis", 0), arguments.integer("batch_axis", 0)
    moved = np.moveaxis(np.array(x), (batch_axis, seq_axis), (0, 1))
    for row, length in enumerate(lengths.tolist()):
        moved[row, :length] = moved[row, :length][::-1].copy()
    return np.moveaxis(moved, (0, 1), (batch_axis, seq_axis))


@evaluates("reverse")
def reverse(arguments: Arguments) -> Array:
    """The order along `axes` turned round."""
    x = arguments.tensor("x")
    return np.flip(x, tuple(arguments.integers("axes", range(x.ndim))))
