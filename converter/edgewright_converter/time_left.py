"""Estimates how long the jobs that are known will take, from those that have ended."""

import math
from collections.abc import Callable, Sequence

_FAMILY = ": "
"""`tflite: recipe`: jobs of one target take alike."""


class TimeLeft:
    """No figure before the first job has ended, and none for work that is not yet known."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: list[str] = []
        self._began: dict[str, float] = {}
        self._took_s: dict[str, list[float]] = {}
        self._total = 0
        self._done = 0
        self._together = 1

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the jobs that have begun and not ended, the oldest first."""
        return tuple(self._began)

    def expect(self, names: Sequence[str], *, together: int) -> None:
        """A round of jobs, `together` at a time; what was known before has ended."""
        self._waiting, self._total, self._done = list(names), len(names), 0
        self._began.clear()
        self._together = together

    def began(self, name: str) -> None:
        """A job of the round has begun."""
        if name in self._waiting:
            self._waiting.remove(name)
        self._began[name] = self._clock()

    def ended(self, name: str) -> None:
        """A job of the round has ended."""
        took_s = self._clock() - self._began.pop(name)
        self._took_s.setdefault(_family(name), []).append(took_s)
        self._done += 1

    def seconds(self) -> float | None:
        """Estimate for this round; None while no job of the conversion has ended."""
        if not self._took_s:
            return None
        now = self._clock()
        waiting_s = [self._expected_s(name) for name in self._waiting]
        running_s = [
            max(0.0, self._expected_s(name) - (now - began)) for name, began in self._began.items()
        ]
        longest_s = max([*waiting_s, *running_s], default=0.0)
        return max(longest_s, (sum(waiting_s) + sum(running_s)) / self._together)

    def told(self) -> str:
        """`3 of 12 done, about 40 s left`; "" for a round of one job."""
        if self._total < 2:
            return ""
        seconds = self.seconds()
        left = "" if seconds is None or not self._done else f", about {_rounded(seconds)} left"
        return f"{self._done} of {self._total} done{left}"

    def _expected_s(self, name: str) -> float:
        own = self._took_s.get(_family(name))
        every = [took_s for times in self._took_s.values() for took_s in times]
        times = own or every
        return sum(times) / len(times)


def _family(name: str) -> str:
    return name.partition(_FAMILY)[0]


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, 5 * math.ceil(seconds / 5)) if seconds >= 5 else math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min"
