"""Which function computes which MIL operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.errors import OperationUnknown
from edgewright_converter.measure.mil_evaluator.program import Constant


class Arguments:
    """The inputs of one operation by MIL's names; floats are float32 whatever they are stored as.

    What is never asked for is an error (`finish`): a parameter that the evaluator ignores would
    make its figures worthless.
    """

    def __init__(self, kind: str, given: dict[str, list[Constant]]) -> None:
        self.kind = kind
        self._given = given
        self._asked: set[str] = set()

    def refuse(self, reason: str) -> OperationUnknown:
        """The error for a form that is not known."""
        return OperationUnknown(self.kind, reason)

    def has(self, name: str) -> bool:
        """Whether an optional input is given."""
        self._asked.add(name)
        return name in self._given

    def tensors(self, name: str) -> list[Array]:
        """A variadic input."""
        self._asked.add(name)
        found = []
        for value in self._given[name]:
            if isinstance(value, str):
                raise self.refuse(f"{name} is a string")
            found.append(value.astype(np.float32) if value.dtype == np.float16 else value)
        return found

    def tensor(self, name: str) -> Array:
        """An input that must be given."""
        return self.tensors(name)[0]

    def optional(self, name: str) -> Array | None:
        """An input that may be absent."""
        return self.tensor(name) if self.has(name) else None

    def number(self, name: str, default: float | None = None) -> float:
        """A scalar."""
        if not self.has(name) and default is not None:
            return default
        return float(self.tensor(name).reshape(()))

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        if not self.has(name) and default is not None:
            return default
        return int(self.tensor(name).reshape(()))

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A vector of whole numbers."""
        if not self.has(name) and default is not None:
            return list(default)
        return [int(value) for value in self.tensor(name).reshape(-1)]

    def flag(self, name: str, *, default: bool) -> bool:
        """A truth value."""
        return bool(self.tensor(name).reshape(())) if self.has(name) else default

    def flags(self, name: str, size: int) -> list[bool]:
        """A vector of truth values, all false where it is absent."""
        if not self.has(name):
            return [False] * size
        return [bool(value) for value in self.tensor(name).reshape(-1)]

    def text(self, name: str, default: str) -> str:
        """A string."""
        if not self.has(name):
            return default
        value = self._given[name][0]
        if not isinstance(value, str):
            raise self.refuse(f"{name} is no string")
        return value

    def finish(self) -> None:
        """Raises OperationUnknown when an input was not looked at."""
        ignored = sorted(self._given.keys() - self._asked)
        if ignored:
            raise self.refuse(f"its inputs {', '.join(ignored)} are not known")


Computation = Callable[[Arguments], Array | list[Array]]


def evaluates(*kinds: str) -> Callable[[Computation], Computation]:
    """Marks a function as computing these operations; `catalogue` collects the marks."""

    def mark(compute: Computation) -> Computation:
        compute.__dict__["kinds"] = kinds
        return compute

    return mark
