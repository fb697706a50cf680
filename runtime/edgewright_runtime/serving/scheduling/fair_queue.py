"""The order of waiting requests: by priority, then in turn between clients. No threads, no clock.

Among the requests of one client the first come is the first served.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Container, Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What can wait here."""

    @property
    def priority(self) -> int:
        """1 is served first."""

    @property
    def client(self) -> Hashable:
        """Who asks; clients take turns."""


T = TypeVar("T", bound=Queued)
_Turns = OrderedDict[Hashable, deque[T]]


class FairQueue(Generic[T]):
    """Requests by priority level, and in each a line per client."""

    def __init__(self) -> None:
        self._levels: dict[int, _Turns[T]] = {}
        self._order: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """All that wait; in no order that means anything."""
        for level in self._order:
            for line in self._levels[level].values():
                yield from line

    def push(self, request: T) -> None:
        """Let it wait behind its client's others of the same priority."""
        turns = self._levels.get(request.priority)
        if turns is None:
            turns = self._levels[request.priority] = OrderedDict()
            self._order = sorted(self._levels)
        line = turns.get(request.client)
        if line is None:
            line = turns[request.client] = deque()
        line.append(request)
        self._length += 1

    def pop(
        self, busy: Container[Hashable] = (), fits: Callable[[T], bool] | None = None
    ) -> T | None:
        """The next in turn, if there is one; its client goes to the end of the round.

        Clients that are `busy` wait on. With `fits` only a request that it accepts is taken, and
        a client whose first does not fit is passed over.
        """
        for level in self._order:
            turns = self._levels[level]
            for client, line in turns.items():
                if client in busy or (fits is not None and not fits(line[0])):
                    continue
                found = line.popleft()
                self._length -= 1
                if line:
                    turns.move_to_end(client)
                else:
                    del turns[client]
                return found
        return None

    def remove(self, request: T) -> bool:
        """Take it out; whether it was still waiting."""
        turns = self._levels.get(request.priority)
        line = turns.get(request.client) if turns is not None else None
        if turns is None or line is None or request not in line:
            return False
        line.remove(request)
        self._length -= 1
        if not line:
            del turns[request.client]
        return True

    def victim(self, newcomer: T) -> T | None:
        """Whom the newcomer may displace when there is no room.

        The last come of the client with the most waiting: of a less urgent level, or of the same
        one where that client has at least two more waiting than the newcomer's.
        """
        for level in reversed(self._order):
            turns = self._levels[level]
            if level < newcomer.priority or not turns:
                continue
            greediest = max(turns, key=lambda client: len(turns[client]))
            line = turns[greediest]
            if level > newcomer.priority:
                return line[-1]
            own = len(turns.get(newcomer.client, ()))
            if len(line) >= own + 2:
                return line[-1]
        return None
