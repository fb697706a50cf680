"""Quick requests that came in the same turn of the event loop, run together at its end."""

import asyncio
from collections.abc import Mapping

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import InferenceFailed
from edgewright_runtime.serving import batching
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt
from edgewright_runtime.serving.scheduling.ticket import Done, attempt_batch

_LONELY = 4
"""Turns with one request each after which we stop waiting for the turn's end: it costs a lone
client 15 microseconds."""
_DIRECT = 16
"""Requests that then run at once, until the next look whether others have come."""
_Entry = tuple[LoadedGeneration, Mapping[str, RawTensor], Done]


class Gathering:
    """On the event loop only; for models whose batches pay."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._lonely = 0
        self._direct = 0

    def add(self, active: LoadedGeneration, inputs: Mapping[str, RawTensor], done: Done) -> None:
        """Answer with `done` before the loop waits again."""
        if self._direct:
            self._direct -= 1
            done(attempt(active, None, inputs))
            return
        self._entries.append((active, inputs, done))
        if len(self._entries) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        entries, self._entries = self._entries, []
        if len(entries) == 1:
            self._lonely += 1
            if self._lonely >= _LONELY:
                self._direct = _DIRECT
            active, inputs, done = entries[0]
            done(attempt(active, None, inputs))
            return
        self._lonely = 0
        for batch in _batches(entries):
            _run(batch)


def _batches(entries: list[_Entry]) -> list[list[_Entry]]:
    """Those that can be joined, no more than the model takes at once."""
    made: list[list[_Entry]] = []
    filling: dict[object, tuple[list[_Entry], int]] = {}
    for entry in entries:
        active, inputs, _ = entry
        count = batching.rows(inputs)
        key = (id(active), batching.kind(inputs))
        batch, size = filling.get(key, ([], 0))
        if not batch or not count or size + count > active.batch.max_items:
            batch, size = [], 0
            made.append(batch)
        batch.append(entry)
        if count:
            filling[key] = batch, size + count
    return made


def _run(batch: list[_Entry]) -> None:
    active = batch[0][0]
    made: list[Attempt] = []
    try:
        made = attempt_batch(active, [inputs for _, inputs, _ in batch])
    finally:
        # Without attempts an engine raised what none is known to raise; that goes on to the loop.
        problem = InferenceFailed("the engine failed in a way that is not its own")
        for index, (_, _, done) in enumerate(batch):
            done(made[index] if made else Attempt(None, problem, active, 0.0, active_failed=True))
