"""Models that are known but not in memory: what requests for them are told meanwhile."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from edgewright_runtime.errors import ModelLoading


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a known model is not in memory, and when to ask again."""

    reason: str
    until: float
    """Seconds of the monotonic clock."""
    wake: "Callable[[str], asyncio.Future[None]] | None" = None
    """Brings it back, on the event loop, where a request does that."""

    def error(self, model: str) -> ModelLoading:
        """What a request for it is told."""
        left_s = max(1.0, self.until - time.monotonic())
        error = ModelLoading(
            f"model '{model}' {self.reason}; try again in {left_s:.0f} s", retry_after_s=left_s
        )
        if self.wake is not None:
            error.wake = functools.partial(self.wake, model)
        return error


async def within(waking: Awaitable[None], limit_s: float) -> None:
    """Wait for a model that is being woken, but no longer; others may wait for it too."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waking), limit_s)
