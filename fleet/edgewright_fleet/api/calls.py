"""Operations that change the fleet: in a worker thread, recorded before and after."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from aiohttp import web

from edgewright_fleet.api.auth import CALLER, Caller

T = TypeVar("T")


class OperationRecord(Protocol):
    """An operation whose `before` record is written."""

    def add_resources(self, *resources: str) -> None:
        """Name further things that the operation touched."""


class Journal(Protocol):
    """The audit log, as far as the API writes to it."""

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


def caller_of(request: web.Request) -> Caller:
    """Who asks; the authentication has put it there."""
    return request[CALLER]


async def perform(
    request: web.Request,
    journal: Journal,
    operation: str,
    act: Callable[[], T],
    *,
    resources: Sequence[str],
    model: tuple[str, str] | None = None,
    rollback_available: bool = False,
) -> T:
    """Run `act` in a worker thread between its two records; errors pass through."""
    caller = caller_of(request)

    def recorded() -> T:
        with journal.operation(
            operation,
            user=caller.user,
            command=caller.command,
            resources=resources,
            change_ticket=caller.change_ticket,
            rollback_available=rollback_available,
            model=model,
        ):
            return act()

    return await asyncio.to_thread(recorded)
