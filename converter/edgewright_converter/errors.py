"""Errors of the converter.

EdgewrightError
└── ConverterError
    ├── ModelFileError         the file is no model that can be converted
    ├── SampleError            calibration or evaluation samples do not fit the model
    ├── TargetRefused          one target cannot be made; others may
    │   └── UnsupportedOperator    the target cannot express an operator of the model
    ├── RecipeFailed           one way to quantize gave nothing; other recipes may
    ├── ChildFailed            a child process died, hung or went wrong over one piece of work
    │   └── Unexpected             it met an error that nobody foresaw
    ├── crate.CrateDamaged     a file between two processes, or of the cache, is no whole crate
    ├── jobs.opening.Unusable  an engine refuses an artifact, or its answers cannot be judged
    └── measure.mil_evaluator  PackageDamaged, OperationUnknown: it cannot run a Core ML package
"""

from pathlib import Path
from typing import Self

from edgewright_manifests.errors import EdgewrightError


class ConverterError(EdgewrightError):
    """A model cannot be converted as asked; `str()` says what, where and what to do."""

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross from child processes whole, whatever their constructors take."""
        return restore, (type(self), str(self), self.__dict__)

    @classmethod
    def _restored(cls, message: str, fields: dict[str, object]) -> Self:
        error = cls.__new__(cls, message)
        error.__dict__.update(fields)
        return error


def restore(kind: type[ConverterError], message: str, fields: dict[str, object]) -> ConverterError:
    """The error that was pickled."""
    return kind._restored(message, fields)


class ModelFileError(ConverterError):
    """The file is no model that can be converted; nothing was written."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}; {remedy}")


class SampleError(ConverterError):
    """Calibration or evaluation samples do not fit the model; nothing was written."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}; {remedy}")


class TargetRefused(ConverterError):
    """One target cannot be made from this model; `reason` is the line for the table."""

    def __init__(self, target: str, reason: str) -> None:
        self.target = target
        self.reason = reason
        super().__init__(f"{target}: {reason}")


class UnsupportedOperator(TargetRefused):
    """A target cannot express an operator, or an attribute of it."""

    def __init__(self, *, target: str, operator: str, node: str, reason: str) -> None:
        self.operator = operator
        self.node = node
        super().__init__(
            target,
            f"{operator} node {node!r}: {reason}; "
            f"leave the target {target} out, or export the model without this",
        )


class RecipeFailed(ConverterError):
    """One way to quantize gave no artifact; `reason` is the library's own."""

    def __init__(self, recipe: str, reason: str) -> None:
        self.recipe = recipe
        self.reason = reason
        super().__init__(f"{recipe}: {reason}")


class ChildFailed(ConverterError):
    """A child process gave no result; `reason` is a clause for the caller's own line."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Unexpected(ChildFailed):
    """A library raised something that nobody foresaw, or we are wrong."""

    def __init__(self, error: Exception) -> None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        super().__init__(f"{type(error).__name__}: {lines[0] if lines else 'no more is known'}")
