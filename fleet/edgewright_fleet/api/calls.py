"""Operations that change the fleet: in a worker thread, recorded before and after."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from aiohttp import web

from edgewright_fleet.api.auth import CALLER, Caller
from edgewright_fleet.journal import Journal

T = TypeVar("T")


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
