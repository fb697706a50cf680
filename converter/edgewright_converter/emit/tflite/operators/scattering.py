"""ScatterND, ScatterElements, Scatter: SCATTER_ND on a tensor of zeros, put over the data.

Honoured of the ONNX specification: every reduction; indices below zero; an index that occurs
several times, where the indices are constant (each repetition is a layer of its own). Computed
indices must be unique, as the specification demands without a reduction, and are refused with one.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.operators.gathering import (
    coordinates_within,
    indices_within,
    joined,
)
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import SOURCE
from edgewright_converter.graph.model import Array, TensorType

_Op = schema.BuiltinOperator
_SCATTERED = ("float32", "int32", "int64")
_COMBINED = {"add": _Op.ADD, "mul": _Op.MUL, "max": _Op.MAXIMUM, "min": _Op.MINIMUM}


@emits("ScatterND", (11, 13, 16, 18), place=SOURCE, dtypes=_SCATTERED)
def scatter_nd(emission: Emission) -> None:
    """Puts slices at coordinates [..., k]."""
    _check_static(emission)
    coordinates = coordinates_within(emission, 1)
    count = int(np.prod(coordinates.type.sample[:-1]))
    width = coordinates.type.sample[-1]
    flat = TensorType.static((count, width), coordinates.type.dtype)
    rows = TensorType.static((count, *emission.type().sample[width:]), emission.type().dtype)
    updates = emission.reshape(emission.tensor(2), rows)
    _scatter(emission, emission.reshape(coordinates, flat), updates)


@emits("Scatter", (9,), place=SOURCE, dtypes=_SCATTERED)
@emits("ScatterElements", (11, 13, 16, 18), place=SOURCE, dtypes=_SCATTERED)
def scatter_elements(emission: Emission) -> None:
    """Puts elements along one axis, at every place of the others by an index of its own."""
    _check_static(emission)
    type_, shape = emission.type(), emission.type(1).sample
    axis = emission.node.integer("axis", 0) % type_.rank
    places = indices_within(emission, 1, type_.shape[axis])
    count, kind = int(np.prod(shape)), places.type.dtype
    column = emission.reshape(places, TensorType.static((count, 1), kind))
    grid = np.indices(shape).reshape(len(shape), count).T.astype(kind)
    known = emission.builder.data(column)
    if known is not None:
        grid[:, axis] = known[:, 0]
        coordinates = emission.builder.constant(grid)
    else:
        parts = [
            emission.builder.constant(grid[:, index : index + 1]) for index in range(len(shape))
        ]
        parts[axis] = column
        coordinates = joined(emission, parts, 1)
    updates = emission.reshape(emission.tensor(2), TensorType.static((count,), type_.dtype))
    _scatter(emission, coordinates, updates)


def _check_static(emission: Emission) -> None:
    if not all(emission.type(position).is_static for position in range(3)):
        emission.refuse("scattering into a shape that follows the batch cannot be expressed")


def _scatter(emission: Emission, coordinates: Tensor, updates: Tensor) -> None:
    reduction = emission.node.text("reduction", "none")
    combine = _COMBINED.get(reduction)
    if combine is None and reduction != "none":
        emission.refuse(f"reduction {reduction} cannot be expressed")
    known, total = emission.builder.data(coordinates), emission.tensor(0)
    if known is None:
        if combine is not None:
            emission.refuse("its indices must be constant for a reduction")
        total = _put(emission, total, coordinates, updates, None, None)
    else:
        for layer in _layers(known):
            rows = emission.builder.constant(known[layer].astype(np.int32))
            part = _rows(emission, updates, layer)
            total = _put(emission, total, rows, part, combine, known[layer])
    emission.give(total)


def _layers(coordinates: Array) -> list[Array]:
    """The rows by how often the same coordinates came before: within a layer all are unique."""
    seen: dict[tuple[int, ...], int] = {}
    layers: list[list[int]] = []
    for row, place in enumerate(map(tuple, coordinates.tolist())):
        turn = seen.get(place, 0)
        seen[place] = turn + 1
        if turn == len(layers):
            layers.append([])
        layers[turn].append(row)
    return [np.asarray(layer, np.int32) for layer in layers]


def _rows(emission: Emission, updates: Tensor, layer: Array) -> Tensor:
    if len(layer) == updates.type.sample[0]:
        return updates
    data = emission.builder.data(updates)
    if data is not None:
        return emission.builder.constant(data[layer])
    options = schema.GatherOptionsT()
    inputs = [updates, emission.builder.constant(layer)]
    type_ = updates.type.sized({0: len(layer)})
    return emission.operator(_Op.GATHER, inputs, type_, options)


def _put(
    emission: Emission,
    total: Tensor,
    coordinates: Tensor,
    updates: Tensor,
    combine: int | None,
    known: Array | None,
) -> Tensor:
    """The tensor with updates at unique coordinates, combined with what was there."""
    shape = emission.indices(total.type.sample)
    spread = _spread(emission, coordinates, updates, shape, total.type)
    if combine == _Op.ADD:
        return emission.binary(_Op.ADD, total, spread, total.type)
    marks = total.type.typed(np.dtype(np.int32))
    if known is not None:
        mask = np.zeros(total.type.sample, np.bool_)
        mask[tuple(known.T)] = True
        chosen = emission.builder.constant(mask)
    else:
        ones = emission.builder.constant(np.ones(updates.type.sample, np.int32))
        counts = _spread(emission, coordinates, ones, shape, marks)
        zero = emission.builder.constant(np.asarray(0, np.int32))
        kind = marks.typed(np.dtype(np.bool_))
        chosen = emission.operator(_Op.GREATER, [counts, zero], kind, schema.GreaterOptionsT())
    if combine is not None:
        spread = emission.binary(combine, total, spread, total.type)
    inputs = [chosen, spread, total]
    return emission.operator(_Op.SELECT_V2, inputs, total.type, schema.SelectV2OptionsT())


def _spread(
    emission: Emission, coordinates: Tensor, updates: Tensor, shape: Tensor, type_: TensorType
) -> Tensor:
    if coordinates.type.dtype != np.int32:
        narrow = coordinates.type.typed(np.dtype(np.int32))
        coordinates = emission.operator(_Op.CAST, [coordinates], narrow, schema.CastOptionsT())
    inputs = [coordinates, updates, shape]
    return emission.operator(_Op.SCATTER_ND, inputs, type_, schema.ScatterNdOptionsT())
