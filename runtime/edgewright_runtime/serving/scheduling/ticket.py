"""One waiting request, and how those that were taken together are run."""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence

from edgewright_runtime.engine.raw_tensor import RawTensor, check_raw_inputs
from edgewright_runtime.errors import InferenceFailed, InvalidInput, RuntimeFault
from edgewright_runtime.serving import batching
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt

Inputs = Mapping[str, RawTensor]
Done = Callable[[Attempt], None]
Run = Callable[[LoadedGeneration, LoadedGeneration | None, Inputs], Attempt]


class Ticket:
    """A place in the queue: of a request to run in a worker, or of a door's thread."""

    __slots__ = (
        "_kind", "active", "asked", "client", "deadline_s", "done", "fallback", "granted",
        "inputs", "is_displaced", "is_ordered", "is_started", "loop", "priority", "run",
    )  # fmt: skip  # a list of names

    def __init__(
        self,
        active: LoadedGeneration | None,
        fallback: LoadedGeneration | None,
        inputs: Inputs,
        done: Done | None,
        deadline_s: float,
        priority: int,
        client: Hashable,
    ) -> None:
        self.active = active
        self.fallback = fallback
        self.inputs = inputs
        self.done = done
        self.deadline_s = deadline_s
        self.priority = priority
        self.client = client
        self.asked = time.monotonic()
        self.run: Run = attempt
        self.loop: asyncio.AbstractEventLoop | None = None
        self.granted: threading.Lock | None = None
        """Of a door's thread, which waits until it can take this lock."""
        self.is_ordered = False
        """Its client's requests run one after the other."""
        self.is_displaced = False
        self.is_started = False
        self._kind: object = None

    def left_s(self, now: float | None = None) -> float:
        """How long it may still wait."""
        return self.asked + self.deadline_s - (time.monotonic() if now is None else now)

    def tell(self, error: RuntimeFault) -> None:
        """It will not run: answer so, from any thread and later."""
        if self.granted is not None:
            self.granted.release()
        elif self.loop is not None:
            self.loop.call_soon_threadsafe(self.answer, self.failed(error))

    def answer(self, made: Attempt) -> None:
        """On the event loop."""
        if self.done is not None:
            self.done(made)

    def failed(self, error: RuntimeFault, *, active_failed: bool = False) -> Attempt:
        """An attempt that came to nothing."""
        assert self.active is not None  # a door's thread makes its own attempts
        return Attempt(None, error, self.active, 0.0, active_failed=active_failed)

    def is_joinable(self) -> bool:
        """Whether others may run together with it."""
        active = self.active
        return (
            active is not None
            and active.batch.max_items > 1
            and self.fallback is None
            and not self.is_ordered
            and 0 < self.row_count() < active.batch.max_items
        )

    def row_count(self) -> int:
        """Its items; 0 where its inputs do not agree."""
        return batching.rows(self.inputs)

    def room(self) -> int:
        """How many items may join it."""
        assert self.active is not None
        return self.active.batch.max_items - self.row_count()

    def fits(self, room: int) -> Callable[["Ticket"], bool]:
        """Whether another may join it, where there is room for so many items."""

        def fits(other: Ticket) -> bool:
            return (
                other.active is self.active
                and other.is_joinable()
                and other.row_count() <= room
                and other.kind() == self.kind()
            )

        return fits

    def kind(self) -> object:
        """Equal for requests that can be joined."""
        if self._kind is None:
            self._kind = batching.kind(self.inputs)
        return self._kind


def run_together(tickets: Sequence[Ticket]) -> list[Attempt]:
    """An attempt for each."""
    if len(tickets) < 2:
        return [_run(ticket) for ticket in tickets]
    active = tickets[0].active
    assert active is not None
    return attempt_batch(active, [ticket.inputs for ticket in tickets])


def attempt_batch(active: LoadedGeneration, requests: Sequence[Inputs]) -> list[Attempt]:
    """All in one inference; what does not fit is refused before, and no failure is shared."""
    found: list[Attempt | None] = [_misfit(active, inputs) for inputs in requests]
    fitting = [inputs for inputs, error in zip(requests, found, strict=True) if error is None]
    ran = iter(_attempt_joined(active, fitting))
    return [next(ran) if made is None else made for made in found]


def _attempt_joined(active: LoadedGeneration, requests: Sequence[Inputs]) -> list[Attempt]:
    if len(requests) < 2:
        return [attempt(active, None, inputs) for inputs in requests]
    started = time.perf_counter()
    try:
        joined = active.infer(batching.join(requests))
        parts = batching.split(joined, [batching.rows(inputs) for inputs in requests])
    except (InvalidInput, InferenceFailed, batching.NotDivisible):
        # Whose fault it is shows when each runs alone; the others never notice.
        return [attempt(active, None, inputs) for inputs in requests]
    taken_s = time.perf_counter() - started
    made = [
        Attempt(outputs, None, active, taken_s, batch=len(requests), executions=0)
        for outputs in parts
    ]
    made[0].executions = 1
    return made


def _misfit(active: LoadedGeneration, inputs: Inputs) -> Attempt | None:
    try:
        check_raw_inputs(active.signature, inputs)
    except InvalidInput as error:
        return Attempt(None, error, active, 0.0)
    return None


def _run(ticket: Ticket) -> Attempt:
    assert ticket.active is not None
    return ticket.run(ticket.active, ticket.fallback, ticket.inputs)
