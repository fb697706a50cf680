"""GatherElements, GatherND, ScatterElements, ScatterND, TopK, OneHot, Hardmax, ReverseSequence.

Honoured of the ONNX specification: negative indices (made positive before MIL sees them, which
leaves them open), batch_dims, every reduction of the scatters, indices that cover a part of the
axes, sorted and unsorted TopK. Refused: a computed k or depth. Of equal elements TopK may give any
in MIL where ONNX gives the first.
"""

from __future__ import annotations

from math import prod

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import ARITHMETIC, emits
from edgewright_converter.graph.model import Array

_MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}


@emits("GatherElements", (11, 13), dtypes=ARITHMETIC)
def gather_elements(emission: Emission) -> None:
    """Each place of the result picks along one axis by its own index."""
    shape, picked = emission.shape(), emission.shape(1)
    axis = emission.node.integer("axis", 0) % len(shape)
    value = emission.variable(0)
    part = [have if at == axis else want for at, (have, want) in enumerate(zip(shape, picked))]  # noqa: B905  # of one rank
    if part != list(shape):
        value = emission.op("slice_by_index", x=value, begin=[0] * len(part), end=part)
    indices = _positive(emission, emission.value(1), np.asarray(shape[axis]))
    emission.give(emission.op("gather_along_axis", x=value, indices=indices, axis=axis))


def _positive(emission: Emission, indices: Value, sizes: Array) -> Value:
    """Indices of which the negative ones count from the end of axes of these sizes."""
    sizes = sizes.astype(np.int32)
    if isinstance(indices, np.ndarray):
        return np.where(indices < 0, indices + sizes, indices).astype(np.int32)
    below = emission.op("less", x=indices, y=np.int32(0))
    lift = emission.op("mul", x=emission.op("cast", x=below, dtype="int32"), y=sizes)
    return emission.op("add", x=indices, y=lift)


@emits("GatherND", (11, 12, 13), dtypes=ARITHMETIC)
def gather_nd(emission: Emission) -> None:
    """Picks by tuples of indices."""
    shape, batch = emission.shape(), emission.node.integer("batch_dims", 0)
    depth = emission.shape(1)[-1]
    sizes = np.asarray(shape[batch : batch + depth])
    indices = _positive(emission, emission.value(1), sizes)
    picked = emission.op("gather_nd", x=emission.variable(0), indices=indices, batch_dims=batch)
    emission.give(emission.reshape(picked, emission.result().sample))


@emits("Scatter", (9, 11), dtypes=ARITHMETIC)
@emits("ScatterElements", (11, 13, 16, 18), dtypes=ARITHMETIC)
def scatter_elements(emission: Emission) -> None:
    """Writes each update along one axis, at its own index: `scatter_nd` with every coordinate."""
    shape, updated = emission.shape(), emission.shape(1)
    axis = emission.node.integer("axis", 0) % len(shape)
    count = prod(updated)
    indices = _positive(emission, emission.value(1), np.asarray(shape[axis]))
    grid = np.stack([g.reshape(-1) for g in np.indices(updated)], axis=1).astype(np.int32)
    if isinstance(indices, np.ndarray):
        grid[:, axis] = indices.reshape(-1)
        places: Value = grid
    else:
        column = emission.reshape(indices, (count, 1))
        parts = [grid[:, :axis], column, grid[:, axis + 1 :]]
        parts = [part for part in parts if part.shape[1]]
        places = parts[0] if len(parts) == 1 else emission.op("concat", values=parts, axis=1)
    updates = _flat(emission, emission.value(2), (count,))
    emission.give(_scattered(emission, places, updates))


def _flat(emission: Emission, value: Value, shape: tuple[int, ...]) -> Value:
    if isinstance(value, np.ndarray):
        return value.reshape(shape)
    return emission.reshape(value, shape)


def _scattered(emission: Emission, places: Value, updates: Value) -> Value:
    mode = _MODES.get(emission.node.text("reduction", "none"))
    if mode is None:
        emission.refuse(f"reduction {emission.node.text('reduction', '')} cannot be expressed")
    data = emission.variable(0)
    return emission.op("scatter_nd", data=data, indices=places, updates=updates, mode=mode)


@emits("ScatterND", (11, 13, 16, 18), dtypes=ARITHMETIC)
def scatter_nd(emission: Emission) -> None:
    """Writes slices at tuples of indices."""
    sizes = np.asarray(emission.shape()[: emission.shape(1)[-1]])
    places = _positive(emission, emission.value(1), sizes)
    emission.give(_scattered(emission, places, emission.value(2)))


@emits("TopK", (1, 10, 11, 24), dtypes=ARITHMETIC)
def top_k(emission: Emission) -> None:
    """The k largest or smallest elements along an axis, and where they were."""
    node = emission.node
    k = node.integer("k", 0) or int(emission.known(1, "k").reshape(-1)[0])
    values, indices = emission.op(
        "topk",
        x=emission.value(),
        k=k,
        axis=node.integer("axis", -1),
        ascending=not node.integer("largest", 1),
    )
    for position, found in enumerate((values, indices)):
        if emission.wants(position):
            emission.give(found, position)


@emits("OneHot", (9, 11, 28), dtypes=ARITHMETIC)
def one_hot(emission: Emission) -> None:
    """A new axis that holds one value at the index and another elsewhere."""
    depth = int(emission.known(1, "depth").reshape(-1)[0])
    off, on = emission.known(2, "values").reshape(-1)
    rank = emission.result().rank
    axis = emission.node.integer("axis", -1) % rank
    indices = emission.variable(0)
    if emission.type().dtype.kind == "f":
        indices = emission.op("cast", x=indices, dtype="int32")
    shape = emission.shape()
    lifted = emission.reshape(indices, (*shape[:axis], 1, *shape[axis:]))
    lifted = _positive(emission, lifted, np.asarray(depth))
    emission.give(_switched(emission, lifted, depth, axis, off, on))


def _switched(
    emission: Emission, indices: Value, depth: int, axis: int, off: float, on: float
) -> Value:
    """`on` where the place along the axis is the index, else `off`."""
    rank = len(indices.shape)
    places = np.arange(depth, dtype=np.int32).reshape([-1 if i == axis else 1 for i in range(rank)])
    hit = emission.op("equal", x=indices, y=places)
    kind = emission.result().dtype
    name = "fp32" if kind.kind == "f" else "int32"
    if kind.name not in ARITHMETIC:
        emission.refuse(f"it gives {kind.name}, which cannot be expressed")
    switched = emission.op("cast", x=hit, dtype=name)
    low, step = (emission.narrowed(np.asarray(v, kind)) for v in (off, on - off))
    if step != 1:
        switched = emission.op("mul", x=switched, y=step)
    return emission.op("add", x=switched, y=low) if low != 0 else switched


@emits("Hardmax", (1, 11, 13))
def hardmax(emission: Emission) -> None:
    """One at the first largest element along an axis, zero elsewhere."""
    node, shape = emission.node, emission.shape()
    if not shape:
        emission.refuse("a scalar has no axis")
    axis = node.integer("axis", -1 if node.version >= 13 else 1)
    x = emission.value()
    if node.version < 13:
        cut = axis if axis == len(shape) else axis % len(shape)
        x, axis = emission.reshape(x, (prod(shape[:cut]), prod(shape[cut:]))), 1
    axis %= len(x.shape)
    found = emission.op("reduce_argmax", x=x, axis=axis, keep_dims=True)
    result = _switched(emission, found, x.shape[axis], axis, 0.0, 1.0)
    emission.give(emission.reshape(result, shape))


@emits("ReverseSequence", (10, 28), dtypes=ARITHMETIC)
def reverse_sequence(emission: Emission) -> None:
    """Turns the first elements of each sequence round, by its length."""
    emission.give(
        emission.op(
            "reverse_sequence",
            x=emission.variable(0),
            lengths=emission.value(1),
            seq_axis=emission.node.integer("time_axis", 0),
            batch_axis=emission.node.integer("batch_axis", 1),
        )
    )
