"""SPACE_TO_BATCH_ND, BATCH_TO_SPACE_ND: how TensorFlow writes dilated convolutions.

Both by Reshape and Transpose, so the sizes of the blocked axes must be known; the batch need not.
"""

from __future__ import annotations

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.order import FILE
from edgewright_converter.frontend.tflite.registry import reads


def _blocks(call: Call, what: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The block's sizes, and what is added or cut before and after each blocked axis."""
    blocks, numbers = call.integers(1, "block"), call.integers(2, what)
    rank = call.tensor().rank
    if not blocks or min(blocks) < 1 or len(blocks) >= rank or len(numbers) != 2 * len(blocks):
        call.refuse(f"its block {blocks} and {what} {numbers} are none for {rank} axes")
    if min(numbers) < 0:
        call.refuse(f"its {what} are {numbers}")
    return blocks, list(zip(numbers[::2], numbers[1::2], strict=True))


def _sizes(call: Call) -> list[int]:
    """All sizes but the batch."""
    sizes = [size for size in call.tensor().shape[1:] if size is not None]
    if len(sizes) != call.tensor().rank - 1:
        call.refuse("the sizes of its input must be known")
    return sizes


@reads("SPACE_TO_BATCH_ND", 4, place=FILE)
def space_to_batch(call: Call) -> None:
    """Every offset within a block of pixels becomes a batch of its own, offsets outermost."""
    (blocks, pads), sizes = _blocks(call, "paddings"), _sizes(call)
    count, rank = len(blocks), call.tensor().rank
    value = call.value()
    if any(begin or end for begin, end in pads):
        zeros = [0] * (rank - count - 1)
        begins, ends = zip(*pads, strict=True)
        both = [0, *begins, *zeros, 0, *ends, *zeros]
        value = call.node("Pad", [value, call.ints(both)])
    split, whole = [-1], [-1]
    for axis, (block, (begin, end)) in enumerate(zip(blocks, pads, strict=True)):
        size = sizes[axis] + begin + end
        if size % block:
            call.refuse(f"{size} pixels are no blocks of {block}")
        split += [size // block, block]
        whole.append(size // block)
    rest = sizes[count:]
    order = [2 + 2 * axis for axis in range(count)]
    order += [0, *(1 + 2 * axis for axis in range(count))]
    order += range(1 + 2 * count, 1 + 2 * count + len(rest))
    value = call.node("Reshape", [value, call.ints([*split, *rest])])
    value = call.node("Transpose", [value], perm=order)
    call.give(call.node("Reshape", [value, call.ints([*whole, *rest])]))


@reads("BATCH_TO_SPACE_ND", 4, place=FILE)
def batch_to_space(call: Call) -> None:
    """The way back, with a margin cut off."""
    (blocks, crops), sizes = _blocks(call, "crops"), _sizes(call)
    count = len(blocks)
    rest = sizes[count:]
    value = call.node("Reshape", [call.value(), call.ints([*blocks, -1, *sizes])])
    order = [count]
    for axis in range(count):
        order += [count + 1 + axis, axis]
    order += range(2 * count + 1, 2 * count + 1 + len(rest))
    value = call.node("Transpose", [value], perm=order)
    joined = [size * block for size, block in zip(sizes, blocks, strict=False)]
    value = call.node("Reshape", [value, call.ints([-1, *joined, *rest])])
    if any(begin or end for begin, end in crops):
        ends = [size - end for size, (_, end) in zip(joined, crops, strict=True)]
        bounds = [[begin for begin, _ in crops], ends, list(range(1, count + 1))]
        value = call.node("Slice", [value, *(call.ints(numbers) for numbers in bounds)])
    call.give(value)
