"""Unfolds a sparse tensor (TACO's format: Kjolstad et al., "The Tensor Algebra Compiler", 2017).

Every dimension, in the order of traversal, is dense (all indices 0 to size - 1) or compressed
(segments say which run of indices belongs to each position of the dimension before). Block
dimensions stand after the tensor's own and refine the ones that `block_map` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.frontend.tflite.flatbuffer import Table, Vector
from edgewright_converter.frontend.tflite.refusal import damaged
from edgewright_converter.frontend.tflite.tables import DimensionMetadataTable, SparsityTable
from edgewright_converter.graph.model import Array

Indices = NDArray[np.int64]

_DENSE, _COMPRESSED = 0, 1


class _Int32Vector(Table):
    values = Vector(0, "<i4")


class _Uint16Vector(Table):
    values = Vector(0, "<u2")


class _Uint8Vector(Table):
    values = Vector(0, "u1")


_KINDS: dict[int, type[_Int32Vector | _Uint16Vector | _Uint8Vector]] = {
    1: _Int32Vector,
    2: _Uint16Vector,
    3: _Uint8Vector,
}


def densify(values: Array, shape: Sequence[int], sparsity: SparsityTable) -> Array:
    """The dense tensor of `shape`, zero where nothing is stored.

    `values` is what the file stores, one-dimensional. Raises Refusal where the description
    contradicts itself or the shape. The caller has checked that the dense size is bearable.
    """
    order = sparsity.traversal_order or ()
    blocks = sparsity.block_map or ()
    dimensions = sparsity.dimensions
    rank = len(shape)
    if sorted(order) != list(range(rank + len(blocks))) or len(dimensions) != len(order):
        raise damaged("a sparse tensor's dimensions do not fit its shape")
    if any(not 0 <= axis < rank for axis in blocks):
        raise damaged("a sparse tensor has a block along an axis that it lacks")
    positions = np.zeros(1, np.int64)
    found: dict[int, Indices] = {}
    for axis, dimension in zip(order, dimensions, strict=True):
        repeats, indices, positions = _descend(dimension, positions, prod(shape))
        found = {known: np.repeat(column, repeats) for known, column in found.items()}
        found[axis] = indices
    if positions.size and (positions.min() < 0 or positions.max() >= values.size):
        raise damaged("a sparse tensor refers to values that are not stored")
    sizes = {axis: dimension.dense_size for axis, dimension in zip(order, dimensions, strict=True)}
    for number, axis in enumerate(blocks):
        found[axis] = found[axis] * sizes[rank + number] + found[rank + number]
    for axis in range(rank):
        if found[axis].size and not 0 <= found[axis].min() <= found[axis].max() < shape[axis]:
            raise damaged("a sparse tensor has elements outside its shape")
    dense = np.zeros(shape, values.dtype)
    dense[tuple(found[axis] for axis in range(rank))] = values[positions]
    return dense


def _descend(
    dimension: DimensionMetadataTable, positions: Indices, limit: int
) -> tuple[Any, Indices, Indices]:  # Any: one count for all positions, or one for each
    """How often each position is followed by an index, these indices, and where they lie."""
    if dimension.format == _DENSE:
        size = dimension.dense_size
        if not 0 <= size * positions.size <= limit:
            raise damaged("a sparse tensor has more elements than its shape")
        indices = np.tile(np.arange(size, dtype=np.int64), positions.size)
        return size, indices, np.repeat(positions, size) * size + indices
    if dimension.format != _COMPRESSED:
        raise damaged("a sparse tensor's dimension is neither dense nor compressed")
    segments = _numbers(dimension.segments, dimension.segments_type)
    stored = _numbers(dimension.indices, dimension.indices_type)
    if positions.size and positions.max() + 1 >= segments.size:
        raise damaged("a sparse tensor has fewer segments than positions")
    begins, ends = segments[positions], segments[positions + 1]
    counts = ends - begins
    if counts.size and (counts.min() < 0 or begins.min() < 0 or ends.max() > stored.size):
        raise damaged("a sparse tensor's segments do not fit its indices")
    total = int(counts.sum())
    if total > limit:
        raise damaged("a sparse tensor has more elements than its shape")
    starts = np.repeat(begins - np.cumsum(counts) + counts, counts)
    places = starts + np.arange(total, dtype=np.int64)
    return counts, stored[places], places


def _numbers(table: Table | None, kind: int) -> Indices:
    if table is None or kind not in _KINDS:
        raise damaged("a sparse tensor lacks its indices")
    numbers = _KINDS[kind](table.source, table.position)
    return numbers.values.astype(np.int64)
