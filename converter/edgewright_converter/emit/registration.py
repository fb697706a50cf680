"""Operators register themselves: a mark on each function, all marks of a package in one registry.

A form of an operator is named by the opset that introduced it (onnx's `since_version`).
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar


class Forms(Protocol):
    """What every target's registration says: which operator, in which of its forms."""

    @property
    def operator(self) -> str:
        """The ONNX operator's name."""

    @property
    def versions(self) -> tuple[int, ...]:
        """The opsets that gave it a form which is honoured."""


R = TypeVar("R", bound=Forms)
F = TypeVar("F", bound=Callable[..., None])


class Registry(Generic[R]):
    """All registrations by (operator, version)."""

    def __init__(self, registrations: Iterable[R]) -> None:
        self._entries: dict[tuple[str, int], R] = {}
        for registration in registrations:
            for version in registration.versions:
                key = (registration.operator, version)
                if key in self._entries:
                    raise ValueError(f"{key[0]} of opset {version} is registered twice")
                self._entries[key] = registration

    def find(self, operator: str, version: int) -> R | None:
        """The registration of the operator's form that appeared in opset `version`."""
        return self._entries.get((operator, version))

    def versions(self, operator: str) -> list[int]:
        """The forms of an operator that are known."""
        return sorted(version for name, version in self._entries if name == operator)

    def operators(self) -> list[str]:
        """The names of all operators known."""
        return sorted({name for name, _ in self._entries})


def mark(emit: F, registration: Forms) -> F:
    """Leave one more registration on a function; `collect` finds it."""
    emit.__dict__["registrations"] = (*emit.__dict__.get("registrations", ()), registration)
    return emit


def registrations_of(emit: object, kind: type[R]) -> tuple[R, ...]:
    """The registrations that were left on a function."""
    marks: Any = getattr(emit, "registrations", ())  # Any: whatever object a module may hold
    return tuple(m for m in marks if isinstance(m, kind)) if isinstance(marks, tuple) else ()


def collect(package: ModuleType, kind: type[R]) -> Registry[R]:
    """The registry of everything marked in the package's modules; each file is found by itself."""
    names = sorted(
        info.name for info in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
    )
    return Registry(
        registration
        for module in map(importlib.import_module, names)
        for value in vars(module).values()
        if getattr(value, "__module__", None) == module.__name__
        for registration in registrations_of(value, kind)
    )
