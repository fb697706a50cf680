"""One model's queue and engines: bounded, quick models inline, others in a worker.

A door with threads of its own takes a turn in the same queue, and runs where it is.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    one_line,
)
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt

Done = Callable[[Attempt], None]


class Scheduler:
    """Takes requests on the event loop and answers them there; engines run in its worker."""

    def __init__(self, model: str, *, queue_limit: int, workers: int) -> None:
        self._model = model
        self._queue_limit = queue_limit
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix=f"engine-{model}")
        # A lock is a third of a semaphore's cost.
        self._engines: threading.Lock | threading.Semaphore = (
            threading.Lock() if workers == 1 else threading.Semaphore(workers)
        )
        self._counting = threading.Lock()
        self.waiting = 0
        """Requests that are queued or running in a worker or in a door's thread."""

    def submit(
        self,
        active: LoadedGeneration,
        fallback: LoadedGeneration | None,
        inputs: Mapping[str, RawTensor],
        *,
        deadline_s: float,
        done: Done,
    ) -> Callable[[], object] | None:
        """Answer with `done(attempt)`, at once for a quick model, else later on this loop.

        `deadline_s` is how long the request may wait for its turn. Returns what takes the
        request back while it waits for it (`done` then gets the error Cancelled). Raises
        Overloaded.
        """
        if active.is_quick(inputs) and not self.waiting:
            done(attempt(active, fallback, inputs))
            return None
        self._queue()
        loop = asyncio.get_running_loop()
        future = self._workers.submit(
            _attempt_in_time, self._engines, time.monotonic(), deadline_s, active, fallback, inputs
        )

        def finish(finished: Future[Attempt]) -> None:
            with self._counting:
                self.waiting -= 1
            done(_outcome(finished, active))

        future.add_done_callback(lambda finished: loop.call_soon_threadsafe(finish, finished))
        return future.cancel

    def enter(self, deadline_s: float) -> None:
        """Wait in this thread for the turn; then it may run the engine, and must `leave`.

        Raises Overloaded, DeadlineExceeded.
        """
        self._queue()
        if not self._engines.acquire(timeout=min(deadline_s, threading.TIMEOUT_MAX)):
            with self._counting:
                self.waiting -= 1
            raise _late()

    def leave(self) -> None:
        """The turn of `enter` is over."""
        self._engines.release()
        with self._counting:
            self.waiting -= 1

    def _queue(self) -> None:
        with self._counting:
            if self.waiting >= self._queue_limit:
                raise Overloaded(
                    f"model '{self._model}' has {self.waiting} requests waiting, its limit; "
                    "try again later"
                )
            self.waiting += 1

    def close(self) -> None:
        """Stop the worker after what it is running."""
        self._workers.shutdown(wait=False, cancel_futures=True)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the request waited for longer than its time-out; try again later")


def _attempt_in_time(
    engines: "threading.Lock | threading.Semaphore",
    asked: float,
    deadline_s: float,
    active: LoadedGeneration,
    fallback: LoadedGeneration | None,
    inputs: Mapping[str, RawTensor],
) -> Attempt:
    left_s = asked + deadline_s - time.monotonic()
    if left_s < 0 or not engines.acquire(timeout=min(left_s, threading.TIMEOUT_MAX)):
        return Attempt(None, _late(), active, 0.0)
    waited_s = time.monotonic() - asked
    try:
        made = attempt(active, fallback, inputs)
    finally:
        engines.release()
    made.waited_s = waited_s
    return made


def _outcome(finished: Future[Attempt], active: LoadedGeneration) -> Attempt:
    if finished.cancelled():
        return Attempt(None, Cancelled("the request was taken back"), active, 0.0)
    error = finished.exception()
    if error is None:
        return finished.result()
    # No error that an engine is known to raise: the request fails, the server goes on.
    problem = InferenceFailed(f"the engine failed: {type(error).__name__}: {one_line(error)}")
    return Attempt(None, problem, active, 0.0, active_failed=True)
