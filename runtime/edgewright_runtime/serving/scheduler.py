"""One model's queue and worker: bounded, first come first served, quick models inline."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from edgewright_runtime.engine.tensors import Tensor
from edgewright_runtime.errors import DeadlineExceeded, InferenceFailed, Overloaded, one_line
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt

Done = Callable[[Attempt], None]


class Scheduler:
    """Takes requests on the event loop and answers them there; engines run in its worker."""

    def __init__(self, model: str, *, queue_limit: int, workers: int) -> None:
        self._model = model
        self._queue_limit = queue_limit
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix=f"engine-{model}")
        self.waiting = 0
        """Requests that are queued or running in the worker."""

    def submit(
        self,
        active: LoadedGeneration,
        fallback: LoadedGeneration | None,
        inputs: Mapping[str, Tensor],
        *,
        deadline_s: float,
        done: Done,
    ) -> None:
        """Answer with `done(attempt)`, at once for a quick model, else later on this loop.

        `deadline_s` is how long the request may wait for its turn. Raises Overloaded.
        """
        if active.is_quick(inputs) and not self.waiting:
            done(attempt(active, fallback, inputs))
            return
        if self.waiting >= self._queue_limit:
            raise Overloaded(
                f"model '{self._model}' has {self.waiting} requests waiting, its limit; "
                "try again later"
            )
        loop = asyncio.get_running_loop()
        self.waiting += 1
        expires = time.monotonic() + deadline_s
        future = self._workers.submit(_attempt_in_time, expires, active, fallback, inputs)

        def finish(finished: Future[Attempt]) -> None:
            self.waiting -= 1
            done(_outcome(finished, active))

        future.add_done_callback(lambda finished: loop.call_soon_threadsafe(finish, finished))

    def close(self) -> None:
        """Stop the worker after what it is running."""
        self._workers.shutdown(wait=False, cancel_futures=True)


def _attempt_in_time(
    expires: float,
    active: LoadedGeneration,
    fallback: LoadedGeneration | None,
    inputs: Mapping[str, Tensor],
) -> Attempt:
    if time.monotonic() > expires:
        late = DeadlineExceeded("the request waited for longer than its time-out; try again later")
        return Attempt(None, late, active, 0.0)
    return attempt(active, fallback, inputs)


def _outcome(finished: Future[Attempt], active: LoadedGeneration) -> Attempt:
    if finished.cancelled():
        stopped = InferenceFailed("the server is shutting down")
        return Attempt(None, stopped, active, 0.0)
    error = finished.exception()
    if error is None:
        return finished.result()
    # No error that an engine is known to raise: the request fails, the server goes on.
    problem = InferenceFailed(f"the engine failed: {type(error).__name__}: {one_line(error)}")
    return Attempt(None, problem, active, 0.0, active_failed=True)
