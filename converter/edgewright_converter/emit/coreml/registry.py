"""Which function writes which operator, found by name and by the opset that defined its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright_converter.emit.coreml.emission import Emission
from edgewright_converter.emit.registration import mark

Emitter = Callable[[Emission], None]
FLOAT = ("float32",)
ARITHMETIC = ("float32", "int32", "int64")
ANY = ("float32", "int32", "int64", "bool")


@dataclass(frozen=True, slots=True)
class Registration:
    """One operator in some of its forms.

    `versions` are the opsets that gave the operator a form which `emit` honours; `dtypes` the
    element types of its first input that MIL's operators take (int64 is held as int32).
    """

    operator: str
    versions: tuple[int, ...]
    dtypes: tuple[str, ...]
    emit: Emitter


def emits(
    operator: str, versions: Sequence[int], *, dtypes: Sequence[str] = FLOAT
) -> Callable[[Emitter], Emitter]:
    """Marks a function as the writer of an operator's forms; `catalogue` collects the marks."""

    def register(emit: Emitter) -> Emitter:
        return mark(emit, Registration(operator, tuple(versions), tuple(dtypes), emit))

    return register
