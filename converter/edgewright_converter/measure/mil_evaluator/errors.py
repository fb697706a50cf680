"""What the evaluator raises."""

from edgewright_converter.errors import ConverterError


class PackageDamaged(ConverterError):
    """The package is no ML Program that can be read; `str()` says what is wrong with it."""


class OperationUnknown(ConverterError):
    """The program uses an operation, or a form of one, that the evaluator does not know."""

    def __init__(self, operation: str, reason: str) -> None:
        self.operation = operation
        super().__init__(f"the MIL evaluator cannot run {operation}: {reason}")
