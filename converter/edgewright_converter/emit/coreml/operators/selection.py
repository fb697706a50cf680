"""Concat, Split, Slice, Gather, Pad.

Honoured of the ONNX specification: attributes that became inputs (split, pads, starts, ends),
negative axes, indices and steps, num_outputs of Split-18, Pad's modes constant, reflect, edge and
wrap. Refused: computed bounds and pads, negative pads.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import ANY, ARITHMETIC, emits


@emits("Concat", (4, 11, 13), dtypes=ANY)
def concat(emission: Emission) -> None:
    """Joins along one axis what has elements."""
    axis = emission.node.integer("axis", 1)
    filled = [at for at in range(len(emission.node.inputs)) if 0 not in emission.shape(at)]
    if len(filled) == 1:
        emission.give(emission.op("identity", x=emission.variable(filled[0])))
        return
    values = [emission.value(position) for position in filled]
    emission.give(emission.op("concat", values=values, axis=axis))


@emits("Split", (2, 11, 13, 18), dtypes=ANY)
def split(emission: Emission) -> None:
    """Cuts along one axis into pieces whose sizes the inferred shapes give."""
    count = len(emission.node.outputs)
    axis = emission.node.integer("axis", 0) % emission.type().rank
    if count == 1:
        emission.give(emission.op("identity", x=emission.value()))
        return
    sizes = [emission.result(position).sample[axis] for position in range(count)]
    if 0 in sizes:
        emission.refuse("a piece has no elements")
    pieces = emission.op("split", x=emission.value(), split_sizes=sizes, axis=axis)
    for position, piece in enumerate(pieces):
        emission.give(piece, position)


@emits("Slice", (1, 10, 11, 13), dtypes=ANY)
def slice_(emission: Emission) -> None:
    """A part of each axis, with steps of either sign."""
    shape = emission.shape()
    rank = len(shape)
    starts, ends = emission.integers("starts", 1), emission.integers("ends", 2)
    if starts is None or ends is None:
        emission.refuse("its starts and ends must be constant for this target")
    axes = emission.integers("axes", 3) or tuple(range(len(starts)))
    steps = emission.integers("steps", 4) or (1,) * len(starts)
    begin, end, stride = [0] * rank, list(shape), [1] * rank
    whole = [False] * rank  # the part of this axis goes to its end
    for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True):
        place = axis % rank
        begin[place], end[place], stride[place] = slice(start, stop, step).indices(shape[place])
        whole[place] = step < 0 and end[place] < 0
    if 0 in emission.result().sample:
        emission.refuse("its result has no elements")
    emission.give(
        emission.op(
            "slice_by_index",
            x=emission.value(),
            begin=begin,
            end=[0 if all_ else stop for all_, stop in zip(whole, end, strict=True)],
            stride=stride,
            end_mask=whole,
        )
    )


@emits("Gather", (1, 11, 13), dtypes=ARITHMETIC)
def gather(emission: Emission) -> None:
    """Picks along one axis by an index tensor; negative indices count from the end."""
    shape = emission.shape()
    axis = emission.node.integer("axis", 0) % len(shape)
    known = emission.constant(1)
    if known is None:
        indices = emission.value(1)
        if not indices.shape:
            indices = emission.reshape(indices, (1,))
    else:
        indices = np.where(known < 0, known + shape[axis], known).astype(np.int32).reshape(-1)
    picked = emission.op("gather", x=emission.value(), indices=indices, axis=axis)
    emission.give(emission.reshape(picked, emission.result().sample))


@emits("Pad", (2, 11, 13, 18, 19, 21, 23, 24, 25))
def pad(emission: Emission) -> None:
    """Constants, mirrored or repeated elements around the axes."""
    node, rank = emission.node, emission.type().rank
    pads = emission.integers("pads", 1)
    if pads is None:
        emission.refuse("its pads must be constant for this target")
    if min(pads, default=0) < 0:
        emission.refuse("negative pads cannot be expressed")
    axes = tuple(range(rank))
    if emission.has(3):
        axes = tuple(int(axis) % rank for axis in emission.known(3, "axes").reshape(-1))
    around = [(0, 0)] * rank
    for position, axis in enumerate(axes):
        around[axis] = (pads[position], pads[position + len(axes)])
    mode = node.text("mode", "constant")
    if mode == "constant":
        value = node.number("value", 0.0)
        if emission.has(2):
            value = float(emission.known(2, "fill value").reshape(()))
        flat = [size for pair in around for size in pair]
        emission.give(
            emission.op("pad", x=emission.value(), pad=flat, mode="constant", constant_val=value)
        )
    elif mode in ("reflect", "edge", "wrap"):
        emission.give(_repeated(emission, around, mode))
    else:
        emission.refuse(f"mode {mode} cannot be expressed")


_PAD_MODES = {"reflect": "reflect", "edge": "replicate"}


def _repeated(emission: Emission, around: list[tuple[int, int]], mode: str) -> Value:
    """Pads with elements of its own: by `pad` on the last two axes, which is all that Core ML
    mirrors, and by picking along each axis otherwise.
    """
    value, shape = emission.variable(), emission.shape()
    if mode == "reflect" and any(max(p) >= s for s, p in zip(shape, around, strict=True)):
        emission.refuse("pads as wide as the axis cannot be reflected")
    last_two = len(shape) >= 3 and not any(max(pair) for pair in around[:-2])
    if mode in _PAD_MODES and last_two:
        flat = [size for pair in around[-2:] for size in pair]
        return emission.op("pad", x=value, pad=flat, mode=_PAD_MODES[mode])
    for axis, (begin, end) in enumerate(around):
        if (begin, end) == (0, 0):
            continue
        size = shape[axis]
        places = np.arange(-begin, size + end)
        if mode == "edge":
            picks = np.clip(places, 0, size - 1)
        elif mode == "wrap":
            picks = places % size
        else:
            picks = size - 1 - np.abs(size - 1 - np.abs(places))
        value = emission.op("gather", x=value, indices=picks.astype(np.int32), axis=axis)
    return emission.op("identity", x=value) if not any(map(max, around)) else value
