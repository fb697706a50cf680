"""Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Expand, Tile, DepthToSpace, SpaceToDepth.

Honoured of the ONNX specification: Reshape's 0, -1 and allowzero (through the inferred shape),
attributes that became inputs, both modes of DepthToSpace. Refused: more than five axes, which
Core ML does not have.
"""

from __future__ import annotations

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import ANY, emits

_NEWEST = (21, 23, 24, 25)


@emits("Reshape", (5, 13, 14, 19, *_NEWEST), dtypes=ANY)
@emits("Flatten", (1, 9, 11, 13, *_NEWEST), dtypes=ANY)
@emits("Squeeze", (1, 11, 13, *_NEWEST), dtypes=ANY)
@emits("Unsqueeze", (1, 11, 13, *_NEWEST), dtypes=ANY)
def reshape(emission: Emission) -> None:
    """The same elements under the shape that was inferred."""
    value = emission.variable()
    shaped = emission.reshape(value, emission.result().sample)
    emission.give(emission.op("identity", x=shaped) if shaped is value else shaped)


@emits("Transpose", (1, 13, *_NEWEST), dtypes=ANY)
def transpose(emission: Emission) -> None:
    """Axes in another order."""
    order = emission.node.integers("perm") or tuple(reversed(range(emission.type().rank)))
    emission.give(emission.op("transpose", x=emission.value(), perm=list(order)))


@emits("Expand", (8, 13), dtypes=ANY)
def expand(emission: Emission) -> None:
    """Broadcasts to a shape."""
    shape, value = emission.result().sample, emission.variable()
    lifted = (1,) * (len(shape) - len(value.shape)) + tuple(value.shape)
    reps = [new // old for new, old in zip(shape, lifted, strict=True)]
    emission.give(_tiled(emission, emission.reshape(value, lifted), reps))


@emits("Tile", (6, 13), dtypes=ANY)
def tile(emission: Emission) -> None:
    """Repeats each axis a number of times."""
    repeats = emission.known(1, "repeats").reshape(-1)
    emission.give(_tiled(emission, emission.variable(), [int(count) for count in repeats]))


def _tiled(emission: Emission, value: Value, reps: list[int]) -> Value:
    if all(count == 1 for count in reps):
        return emission.op("identity", x=value)
    if min(reps) < 1:
        emission.refuse("its result has no elements")
    return emission.op("tile", x=value, reps=reps)


@emits("DepthToSpace", (1, 11, 13, 28))
def depth_to_space(emission: Emission) -> None:
    """Blocks of channels become squares of pixels, in DCR or CRD order."""
    size = emission.node.integer("blocksize", 1)
    if emission.node.text("mode", "DCR") == "CRD":
        emission.give(emission.op("pixel_shuffle", x=emission.value(), upscale_factor=size))
    else:
        emission.give(emission.op("depth_to_space", x=emission.value(), block_size=size))


@emits("SpaceToDepth", (1, 13, 28))
def space_to_depth(emission: Emission) -> None:
    """Squares of pixels become blocks of channels, in DCR order."""
    if emission.node.text("mode", "DCR") != "DCR":
        emission.refuse("mode CRD cannot be expressed")
    size = emission.node.integer("blocksize", 1)
    emission.give(emission.op("space_to_depth", x=emission.value(), block_size=size))
