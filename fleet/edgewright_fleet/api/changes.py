"""Tells listening consoles that something changed; they ask for the news themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

Topic = Literal["devices", "releases", "rollouts", "groups", "audit"]

_PAUSE_S = 0.2
"""Changes within it become one notice: a fleet that updates must not drown its console."""
_HEARTBEAT_S = 15.0


class Changes:
    """A notice board: `notify` from any thread, `listen` in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: set[asyncio.Event] = set()
        self._fresh: dict[asyncio.Event, set[Topic]] = {}
        self._closed = False

    def notify(self, *topics: Topic) -> None:
        """Something about these changed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify, topics)

    def close(self) -> None:
        """End every `listen`."""
        self._closed = True
        for bell in self._waiting:
            bell.set()

    async def listen(self) -> AsyncIterator[list[Topic]]:
        """Yields the topics that changed; an empty list now and then to keep the line alive."""
        bell = asyncio.Event()
        self._waiting.add(bell)
        self._fresh[bell] = set()
        try:
            yield []
            while not self._closed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), _HEARTBEAT_S)
                    await asyncio.sleep(_PAUSE_S)
                bell.clear()
                fresh, self._fresh[bell] = sorted(self._fresh[bell]), set()
                yield fresh
        finally:
            self._waiting.discard(bell)
            self._fresh.pop(bell, None)

    def _notify(self, topics: tuple[Topic, ...]) -> None:
        for bell in self._waiting:
            self._fresh[bell].update(topics)
            bell.set()
