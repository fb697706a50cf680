"""One model's queue and engines: bounded, quick models inline, others in a worker.

A door with threads of its own takes a turn in the same queue, and runs where it is. Whose turn
is next the FairQueue says. What waits and can be joined runs together, with nothing waited for.
"""

import asyncio
import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    one_line,
)
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt
from edgewright_runtime.serving.scheduling.fair_queue import FairQueue
from edgewright_runtime.serving.scheduling.gathering import Gathering
from edgewright_runtime.serving.scheduling.ticket import Done, Run, Ticket, run_together

_LONGEST_S = 86_400.0
"""Of a timer: a request may ask for more, and is looked at again then."""


class Scheduler:
    """Takes requests on the event loop and answers them there; engines run in its worker."""

    def __init__(
        self,
        model: str,
        *,
        queue_limit: int,
        workers: int,
        settings: ModelSettings | None = None,
    ) -> None:
        settings = settings or ModelSettings()
        self._model = model
        self._queue_limit = queue_limit
        self._levels = settings.priority_levels
        self._usual = settings.usual_priority
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix=f"engine-{model}")
        self._lock = threading.Lock()
        self._queue: FairQueue[Ticket] = FairQueue()
        self._turns = workers
        """Engines that are free."""
        self._busy: set[Hashable] = set()
        """Clients whose requests run one after the other, and of whom one runs now."""
        self._gathering = Gathering()
        self._timer: asyncio.TimerHandle | None = None
        self.waiting = 0
        """Requests that are queued or running in a worker or in a door's thread."""
        self.refused: Counter[int] = Counter()
        """By priority: requests that found the queue full, or waited for too long."""

    def submit(
        self,
        active: LoadedGeneration,
        fallback: LoadedGeneration | None,
        inputs: Mapping[str, RawTensor],
        *,
        deadline_s: float,
        done: Done,
        priority: int = 0,
        client: Hashable = None,
    ) -> Callable[[], object] | None:
        """Answer with `done(attempt)`, at once for a quick model, else later on this loop.

        `deadline_s` is how long the request may wait for its turn; clients take turns. Returns
        what takes the request back while it waits for it (`done` then gets the error
        Cancelled). Raises Overloaded.
        """
        if active.is_quick(inputs) and not self.waiting:
            if active.batch.max_items > 1 and fallback is None:
                self._gathering.add(active, inputs, done)
            else:
                done(attempt(active, fallback, inputs))
            return None
        level = self._level(priority)
        return self._submit(Ticket(active, fallback, inputs, done, deadline_s, level, client))

    def submit_in_order(
        self,
        active: LoadedGeneration,
        fallback: LoadedGeneration | None,
        inputs: Mapping[str, RawTensor],
        *,
        deadline_s: float,
        done: Done,
        run: Run,
        line: Hashable,
    ) -> Callable[[], object] | None:
        """As `submit`, with `run` for the attempt: requests of one line run one after the other.

        All have the usual priority, or they would overtake each other.
        """
        if active.is_quick(inputs) and self._take_idle_turn(line):
            try:
                made = run(active, fallback, inputs)
            finally:
                self.leave(line)
            done(made)
            return None
        ticket = Ticket(active, fallback, inputs, done, deadline_s, self._usual, line)
        ticket.run, ticket.is_ordered = run, True
        return self._submit(ticket)

    def enter(
        self,
        deadline_s: float,
        *,
        priority: int = 0,
        client: Hashable = None,
        in_order: bool = False,
    ) -> None:
        """Wait in this thread for the turn; then it may run the engine, and must `leave`.

        Raises Overloaded, DeadlineExceeded.
        """
        if self._take_turn(client if in_order else None):
            return
        level = self._usual if in_order else self._level(priority)
        ticket = Ticket(None, None, {}, None, deadline_s, level, client)
        ticket.is_ordered = in_order
        ticket.granted = granted = threading.Lock()
        granted.acquire()
        self._admit(ticket)
        if not granted.acquire(timeout=min(deadline_s, threading.TIMEOUT_MAX)):
            with self._lock:
                if self._queue.remove(ticket):
                    self.waiting -= 1
                    self.refused[level] += 1
                    raise _late()
            granted.acquire()  # the turn came while we looked
        if ticket.is_displaced:
            raise self._displaced()

    def leave(self, line: Hashable = None) -> None:
        """The turn of `enter` is over; `line` is its client where it asked for order."""
        with self._lock:
            self._turns += 1
            self.waiting -= 1
            if line is not None:
                self._busy.discard(line)
            jobs = self._grant() if self._queue else None
        if jobs:
            self._start(jobs)

    def close(self) -> None:
        """Stop the worker after what it is running."""
        if self._timer is not None:
            self._timer.cancel()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _level(self, priority: int) -> int:
        return priority if 0 < priority <= self._levels else self._usual

    def _submit(self, ticket: Ticket) -> Callable[[], object]:
        ticket.loop = loop = asyncio.get_running_loop()
        self._admit(ticket)
        if not ticket.is_started and (
            self._timer is None or loop.time() + ticket.left_s() < self._timer.when()
        ):
            self._set_timer(loop, ticket.left_s())

        def cancel() -> None:
            with self._lock:
                if not self._queue.remove(ticket):
                    return
                self.waiting -= 1
            ticket.tell(Cancelled("the request was taken back"))

        return cancel

    def _take_turn(self, line: Hashable) -> bool:
        """A turn without waiting, where an engine is free and nobody waits."""
        with self._lock:
            if not self._turns or self._queue or self.waiting >= self._queue_limit:
                return False
            if line is not None:
                if line in self._busy:
                    return False
                self._busy.add(line)
            self._turns -= 1
            self.waiting += 1
            return True

    def _take_idle_turn(self, line: Hashable) -> bool:
        """A turn where nothing waits or runs at all."""
        with self._lock:
            if self.waiting or not self._turns:
                return False
            self._busy.add(line)
            self._turns -= 1
            self.waiting += 1
            return True

    def _admit(self, ticket: Ticket) -> None:
        """Into the queue, and on to an engine if one is free. Raises Overloaded."""
        with self._lock:
            if self.waiting >= self._queue_limit:
                victim = self._queue.victim(ticket)
                if victim is None:
                    self.refused[ticket.priority] += 1
                    raise Overloaded(
                        f"model '{self._model}' has {self.waiting} requests waiting, its limit; "
                        "try again later"
                    )
                self._queue.remove(victim)
                self.waiting -= 1
                self.refused[victim.priority] += 1
                victim.is_displaced = True
                victim.tell(self._displaced())
            self.waiting += 1
            is_plain = ticket.granted is None and not ticket.is_ordered
            if is_plain and self._turns and not self._queue:
                # The usual case, without a detour through the queue.
                self._turns -= 1
                ticket.is_started = True
                jobs = [[ticket]]
            else:
                self._queue.push(ticket)
                jobs = self._grant()
        self._start(jobs)

    def _grant(self) -> list[list[Ticket]]:
        """Give free engines to those whose turn it is; gives what is for workers. Locked."""
        jobs: list[list[Ticket]] = []
        while self._turns:
            ticket = self._queue.pop(self._busy)
            if ticket is None:
                break
            self._turns -= 1
            if ticket.is_ordered:
                self._busy.add(ticket.client)
            if ticket.granted is not None:
                ticket.granted.release()
                continue
            job = [ticket]
            if self._queue and ticket.is_joinable():
                room = ticket.room()
                while room > 0 and (other := self._queue.pop(fits=ticket.fits(room))) is not None:
                    room -= other.row_count()
                    job.append(other)
            for each in job:
                each.is_started = True
            jobs.append(job)
        return jobs

    def _start(self, jobs: Sequence[list[Ticket]]) -> None:
        for job in jobs:
            future = self._workers.submit(_run, job)
            future.add_done_callback(functools.partial(self._ended, job))

    def _ended(self, job: Sequence[Ticket], ended: Future[list[Attempt]]) -> None:
        """In the worker: the next may begin before these are answered."""
        with self._lock:
            self._turns += 1
            self.waiting -= len(job)
            if job[0].is_ordered:
                self._busy.discard(job[0].client)
            jobs = self._grant() if self._queue else []
        self._start(jobs)
        assert job[0].loop is not None  # jobs are the loop's; doors' threads run their own
        job[0].loop.call_soon_threadsafe(self._answer, job, ended)

    def _answer(self, job: Sequence[Ticket], ended: Future[list[Attempt]]) -> None:
        for ticket, made in zip(job, _outcome(ended, job), strict=True):
            if isinstance(made.error, DeadlineExceeded):
                self.refused[ticket.priority] += 1
            ticket.answer(made)

    def _set_timer(self, loop: asyncio.AbstractEventLoop, left_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(min(left_s, _LONGEST_S), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer those that have waited for too long, and look again when the next will have."""
        self._timer = None
        with self._lock:
            waiting = [ticket for ticket in self._queue if ticket.granted is None]
            late = [ticket for ticket in waiting if ticket.left_s() <= 0]
            for ticket in late:
                self._queue.remove(ticket)
                self.waiting -= 1
                self.refused[ticket.priority] += 1
        if len(waiting) > len(late):
            left_s = min(ticket.left_s() for ticket in waiting if ticket not in late)
            self._set_timer(loop, max(left_s, 0.0))
        for ticket in late:
            ticket.tell(_late())

    def _displaced(self) -> Overloaded:
        return Overloaded(
            f"model '{self._model}' has {self._queue_limit} requests waiting, its limit, and this "
            "one gave way to another client's or a more urgent one; try again later"
        )


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the request waited for longer than its time-out; try again later")


def _run(job: Sequence[Ticket]) -> list[Attempt]:
    """In a worker: all of the job that are still in time."""
    now = time.monotonic()
    if len(job) == 1 and job[0].left_s(now) >= 0:
        (alone,) = run_together(job)
        alone.waited_s = now - job[0].asked
        return [alone]
    made = [ticket.failed(_late()) if ticket.left_s(now) < 0 else None for ticket in job]
    live = [ticket for ticket, late in zip(job, made, strict=True) if late is None]
    ran = iter(run_together(live))
    found = [next(ran) if late is None else late for late in made]
    for ticket, each in zip(job, found, strict=True):
        each.waited_s = now - ticket.asked
    return found


def _outcome(ended: Future[list[Attempt]], job: Sequence[Ticket]) -> list[Attempt]:
    if ended.cancelled():
        return [ticket.failed(Cancelled("the request was taken back")) for ticket in job]
    error = ended.exception()
    if error is None:
        return ended.result()
    # No error that an engine is known to raise: the requests fail, the server goes on.
    problem = InferenceFailed(f"the engine failed: {type(error).__name__}: {one_line(error)}")
    return [ticket.failed(problem, active_failed=True) for ticket in job]
