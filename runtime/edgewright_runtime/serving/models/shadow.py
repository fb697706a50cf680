"""A second release gets a copy of live requests; its answers are compared and thrown away."""

import threading
import time
from collections.abc import Mapping
from queue import Full, Queue

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration
from edgewright_runtime.serving.models.comparison import Disagreement
from edgewright_runtime.serving.models.loader import stand_back

_WAITING = 1
"""Copies that may wait: one is enough to keep the thread busy, more would only be older."""
_Copy = tuple[dict[str, RawTensor], Mapping[str, RawTensor]]
"""Inputs, and the outputs that were answered."""


class Shadow:
    """Never delays an answer: what finds it busy is dropped, and its thread stands back."""

    def __init__(self, generation: LoadedGeneration, share: float) -> None:
        """`share` (0..1) of the requests are copied at most."""
        self.generation = generation
        self.share = share
        self.disagreement = Disagreement()
        self.seen = 0
        """Requests that it was offered."""
        self.dropped = 0
        """Requests that it should have had, and was too busy for."""
        self._owed = 0.0
        self._queue: Queue[_Copy | None] = Queue(_WAITING)
        self._thread = threading.Thread(
            target=self._work, name=f"shadow-{generation.name}", daemon=True
        )
        self._thread.start()

    def offer(self, inputs: Mapping[str, RawTensor], attempt: Attempt) -> None:
        """A request that was answered; any thread."""
        if attempt.outputs is None:
            return
        self.seen += 1
        self._owed = min(self._owed + self.share, 1.0)
        if self._owed < 1.0:
            return
        self._owed -= 1.0
        if self._queue.full():
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(
                ({name: _own(tensor) for name, tensor in inputs.items()}, attempt.outputs)
            )
        except Full:
            self.dropped += 1

    def stop(self) -> None:
        """Compare no more; waits for what runs, so not for the event loop."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        stand_back()
        while (copy := self._queue.get()) is not None:
            self._compare(*copy)

    def _compare(self, inputs: dict[str, RawTensor], outputs: Mapping[str, RawTensor]) -> None:
        started = time.perf_counter()
        figures = self.generation.figures
        try:
            found = self.generation.infer(inputs)
        except RuntimeFault:
            figures.failed(time.perf_counter() - started)
            self.disagreement.misfits += 1
            return
        figures.succeeded(time.perf_counter() - started)
        self.disagreement.add(outputs, found)


def _own(tensor: RawTensor) -> RawTensor:
    """A copy: the caller's memory may be another request's by the time it is read."""
    data = tensor.data if isinstance(tensor.data, bytes) else bytes(tensor.data)
    return RawTensor(tensor.datatype, tensor.shape, data, tensor.elements)
