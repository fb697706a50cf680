"""Counts and latencies of one model or generation, in bounded memory."""

import itertools
import math
from collections.abc import Sequence

_FIRST_S = 1e-6
_RATIO = 1.05
_BUCKETS = 380
"""1 microsecond to 112 seconds in steps of 5 %: the error of a percentile is below 5 %."""

BOUNDS_S: Sequence[float] = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip  # the metric's own table
"""Upper bounds of the histogram that /metrics shows, in seconds."""


class Latencies:
    """A histogram with logarithmic buckets; recording is one addition."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self._buckets = [0] * _BUCKETS

    def record(self, seconds: float) -> None:
        """Count one latency."""
        self.count += 1
        self.sum_s += seconds
        index = int(math.log(seconds / _FIRST_S) / _LOG_RATIO) if seconds > _FIRST_S else 0
        self._buckets[min(index, _BUCKETS - 1)] += 1

    def percentile_s(self, share: float) -> float | None:
        """The latency that `share` (0..1) of the records do not exceed; None without records."""
        if not self.count:
            return None
        wanted = max(1, math.ceil(self.count * share))
        seen = itertools.accumulate(self._buckets)
        index = next(index for index, count in enumerate(seen) if count >= wanted)
        return float(_FIRST_S * _RATIO ** (index + 0.5))

    def at_most(self, bounds_s: Sequence[float]) -> list[int]:
        """For each bound how many records lie at or below it (to a bucket's 5 %)."""
        found = [0] * len(bounds_s)
        for index, count in enumerate(self._buckets):
            if count:
                middle = _FIRST_S * _RATIO ** (index + 0.5)
                for position, bound in enumerate(bounds_s):
                    if middle <= bound:
                        found[position] += count
        return found


class Figures:
    """Requests, errors, and the time that requests spent in each stage."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.latencies = Latencies()
        """Engine time."""
        self.waits = Latencies()
        """Time in the queue, of the requests that had to wait in it."""
        self.failed_s = 0.0
        """Engine time of requests that failed."""
        self.input_s = 0.0
        """Time to turn answered requests into tensors; the local door has none to turn."""
        self.output_s = 0.0
        """Time to turn outputs into answers."""
        self.batches: dict[int, list[float]] = {}
        """By size, of requests that ran together: how many inferences, and their engine time."""
        self.last_s = 0.0
        """When the last request was answered, in seconds of Unix time; 0 before the first."""

    def succeeded(self, seconds: float, waited_s: float = 0.0) -> None:
        """One request was answered after this much engine time, and waiting before it."""
        self.requests += 1
        self.latencies.record(seconds)
        if waited_s:
            self.waits.record(waited_s)

    def failed(self, seconds: float = 0.0) -> None:
        """One request was not answered, or was answered wrongly."""
        self.requests += 1
        self.errors += 1
        self.failed_s += seconds

    def joined(self, size: int, seconds: float, executions: int) -> None:
        """One request ran with others; `executions` is 1 for one of them, else 0."""
        counts = self.batches.setdefault(size, [0, 0.0])
        counts[0] += executions
        counts[1] += seconds * executions

    @property
    def executions(self) -> int:
        """Inferences that the engine made for the answered requests."""
        batches = list(self.batches.items())
        together = sum(size * int(counts[0]) for size, counts in batches)
        return self.latencies.count - together + sum(int(counts[0]) for _, counts in batches)

    def converted(self, input_s: float, output_s: float) -> None:
        """An answered request took this long to read and to write. On the event loop only."""
        self.input_s += input_s
        self.output_s += output_s

    def percentile_ms(self, share: float) -> float | None:
        """A latency percentile in milliseconds."""
        seconds = self.latencies.percentile_s(share)
        return None if seconds is None else seconds * 1000


_LOG_RATIO = math.log(_RATIO)
