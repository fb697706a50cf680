"""Where operations on the fleet are recorded; the composition root hands in the audit log."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class OperationRecord(Protocol):
    """An operation whose `before` record is written; the `after` record follows at the end."""

    def add_resources(self, *resources: str) -> None:
        """Name further things that the operation touched."""


class Journal(Protocol):
    """Records each operation before and after it (audit.log.AuditLog fits)."""

    def operation(
        self,
        operation: str,
        *,
        user: str,
        command: str = "",
        resources: Sequence[str] = (),
        change_ticket: str | None = None,
        rollback_available: bool = False,
        model: tuple[str, str] | None = None,
        detail: str | None = None,
    ) -> AbstractContextManager[OperationRecord]:
        """Record before, and after with outcome, error and duration; errors pass through."""
