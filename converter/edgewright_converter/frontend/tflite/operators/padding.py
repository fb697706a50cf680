"""PAD, PADV2, MIRROR_PAD."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import MirrorPadOptions
from edgewright_converter.frontend.tflite.registry import reads


@reads("PAD", 4)
@reads("PADV2", 4)
def pad(call: Call) -> None:
    """A constant around; zero unless input 2 says otherwise."""
    inputs = [call.value(), _pads(call)]
    if call.operator.kind == "PADV2":
        filler = call.constant(2)
        if filler is None or filler.size != 1:
            call.refuse("what it pads with must be a constant number")
        inputs.append(call.composer.constant(filler.reshape(())))
    call.give(call.node("Pad", inputs))


@reads("MIRROR_PAD", 3)
def mirror_pad(call: Call) -> None:
    """The tensor itself around, without its edge (REFLECT) or with it (SYMMETRIC)."""
    pads = _both_ends(call)
    if call.options(MirrorPadOptions).mode == schema.MirrorPadMode.REFLECT:
        begins, ends = zip(*pads, strict=True)
        call.give(call.node("Pad", [call.value(), call.ints([*begins, *ends])], mode="reflect"))
        return
    value = call.value()
    for axis, (begin, end) in enumerate(pads):
        if begin or end:
            value = _mirrored(call, value, axis, begin, end)
    call.give(value)


def _mirrored(call: Call, value: str, axis: int, begin: int, end: int) -> str:
    """The first elements backwards in front, the last ones backwards behind.

    A Slice with step -1 from element b - 1 down to the end gives the first b backwards.
    """
    least = -(1 << 31)
    parts = [value]
    if begin:
        bounds = [call.ints([begin - 1]), call.ints([least]), call.ints([axis]), call.ints([-1])]
        parts.insert(0, call.node("Slice", [value, *bounds]))
    if end:
        bounds = [call.ints([-1]), call.ints([-end - 1]), call.ints([axis]), call.ints([-1])]
        parts.append(call.node("Slice", [value, *bounds]))
    return call.node("Concat", parts, axis=axis)


def _pads(call: Call) -> str:
    begins, ends = zip(*_both_ends(call), strict=True)
    return call.ints([*begins, *ends])


def _both_ends(call: Call) -> list[tuple[int, int]]:
    """Pads at the beginning and end of each axis, in the operator's order."""
    numbers, rank = call.integers(1, "paddings"), call.tensor().rank
    if len(numbers) != 2 * rank or rank == 0 or min(numbers) < 0:
        call.refuse(f"its paddings {numbers} are none for {rank} axes")
    return [(numbers[2 * axis], numbers[2 * axis + 1]) for axis in call.in_order.axes(rank)]
