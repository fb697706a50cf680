"""Which function writes which operator, found by name and by the opset that defined its form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

from edgewright_converter.emit.coreml.emission import Emission

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


class Registry:
    """All registrations by (operator, version)."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self._entries: dict[tuple[str, int], Registration] = {}
        for registration in registrations:
            for version in registration.versions:
                key = (registration.operator, version)
                if key in self._entries:
                    raise ValueError(f"{key[0]} of opset {version} is registered twice")
                self._entries[key] = registration

    def find(self, operator: str, version: int) -> Registration | None:
        """The registration of the operator's form that appeared in opset `version`."""
        return self._entries.get((operator, version))

    def versions(self, operator: str) -> list[int]:
        """The forms of an operator that are known."""
        return sorted(version for name, version in self._entries if name == operator)

    def operators(self) -> list[str]:
        """The names of all operators known."""
        return sorted({name for name, _ in self._entries})


def emits(
    operator: str, versions: Sequence[int], *, dtypes: Sequence[str] = FLOAT
) -> Callable[[Emitter], Emitter]:
    """Marks a function as the writer of an operator's forms; `catalogue` collects the marks."""

    def mark(emit: Emitter) -> Emitter:
        marks = [*registrations_of(emit)]
        marks.append(Registration(operator, tuple(versions), tuple(dtypes), emit))
        emit.__dict__["registrations"] = tuple(marks)
        return emit

    return mark


def registrations_of(emit: object) -> tuple[Registration, ...]:
    """The marks that `emits` left on a function."""
    marks = getattr(emit, "registrations", ())
    return marks if isinstance(marks, tuple) else ()


def collect(modules: Iterable[ModuleType]) -> Registry:
    """The registry of everything marked in these modules."""
    return Registry(
        registration
        for module in modules
        for value in vars(module).values()
        if getattr(value, "__module__", None) == module.__name__
        for registration in registrations_of(value)
    )
