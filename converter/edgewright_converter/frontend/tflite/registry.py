"""Which function reads which operator, found by name and version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgewright_converter.emit.registration import mark
from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.order import FREE, Orders

Reader = Callable[[Call], None]
OrderRule = Callable[[Call], Orders]


@dataclass(frozen=True, slots=True)
class Registration:
    """One operator in the versions that `read` honours."""

    operator: str
    versions: tuple[int, ...]
    place: OrderRule
    read: Reader


def reads(
    operator: str, up_to: int, *, place: Orders | OrderRule = FREE
) -> Callable[[Reader], Reader]:
    """Marks a function as the reader of an operator's versions 1 to `up_to`.

    A version says that a kernel learnt more (an element type, an option); files name the lowest
    that they need.
    """

    def fixed(_: Call) -> Orders:
        assert isinstance(place, Orders)
        return place

    rule = fixed if isinstance(place, Orders) else place

    def register(read: Reader) -> Reader:
        return mark(read, Registration(operator, tuple(range(1, up_to + 1)), rule, read))

    return register
