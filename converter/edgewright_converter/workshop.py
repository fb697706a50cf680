"""Where jobs are done: by children, or by the cache when they were done before."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_manifests.variant import Target

from edgewright_converter.cache import Key, Store
from edgewright_converter.candidate import Failure, Latency
from edgewright_converter.children import Crew, Order
from edgewright_converter.crate import CrateDamaged, read_crate
from edgewright_converter.errors import ConverterError
from edgewright_converter.jobs import (
    FloatJob,
    LatencyJob,
    PrepareJob,
    RankJob,
    ReadJob,
    RecipeJob,
    SaliencyJob,
)
from edgewright_converter.jobs.sign import Job
from edgewright_converter.progress import Progress

FIRST_LOOK_S = 120.0
"""Longest time to load a model and run it once: what takes longer serves no device."""

_Cached = PrepareJob | FloatJob | RankJob | RecipeJob | SaliencyJob
_OF_THIS_MACHINE = re.compile(r"alloc|memory|\b(time|space)", re.IGNORECASE)
"""What runs out on one machine or at one time. The last two are beginnings of words, or every
RuntimeError would be meant."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one job: the crate with its result, or the error."""

    path: Path | None
    error: ConverterError | None

    @property
    def crate(self) -> Path:
        """The crate; only after value() gave something."""
        assert self.path is not None
        return self.path

    def value(self) -> Any:  # the job's own type; whoever ordered it knows
        """What the job returned. Raises what it raised."""
        if self.error is not None:
            raise self.error
        return read_crate(self.crate)


def may_be_chance(reason: str) -> bool:
    """Whether a failure for this reason may not happen again, and so must not be remembered."""
    return _OF_THIS_MACHINE.search(reason) is not None


class Workshop:
    """Does jobs of one conversion; `folder` is scratch space that outlives them all."""

    def __init__(self, crew: Crew, store: Store | None, progress: Progress, folder: Path) -> None:
        self._crew = crew
        self._store = store
        self._progress = progress
        self._folder = folder

    def read(self, job: ReadJob) -> Made:
        """Look at the model for the first time; never from the cache, as files change."""
        (made,) = self._run([("reading", job)], FIRST_LOOK_S)
        return made

    def make(self, wanted: Sequence[tuple[str, _Cached]], key: Key) -> list[Made]:
        """All of `wanted`, several at a time, in its order; `key` is what all depend on."""
        keys = [key.with_parts(*job.identity) for _, job in wanted]
        made: dict[int, Made] = {}
        for index, one in enumerate(keys):
            if (hit := self._fetch(one)) is not None:
                made[index] = hit
                self._progress.reused(wanted[index][0])
        missing = [index for index in range(len(wanted)) if index not in made]
        for index, found in zip(missing, self._run([wanted[i] for i in missing]), strict=True):
            made[index] = found
            self._keep(keys[index], found)
        return [made[index] for index in range(len(wanted))]

    def measure(self, target: Target, job: LatencyJob | None) -> Sequence[Latency] | None:
        """Time the candidates of one target while nothing else runs, and never from the cache.

        Another day's latency would decide by another day's load; measuring takes two seconds.
        """
        if job is None:
            return None
        (made,) = self._run([(f"{target}: latency of {len(job.trials)} candidates", job)])
        found: tuple[Latency, ...] = made.value()
        return found

    def _run(self, wanted: Sequence[tuple[str, Job]], silence_s: float | None = None) -> list[Made]:
        orders = [Order(name, job, silence_s) for name, job in wanted]
        made: dict[int, Made] = {}
        progress = self._progress
        progress.expect([order.name for order in orders], together=self._crew.slots)
        for index, outcome in self._crew.run(orders, told=progress.told, tick=progress.tick):
            made[index] = Made(outcome.result, outcome.error)
            self._progress.ended(orders[index].name)
        return [made[index] for index in range(len(orders))]

    def _fetch(self, key: Key) -> Made | None:
        if self._store is None:
            return None
        path = self._folder / f"{key.name}.crate"
        if not self._store.fetch(key, path):
            return None
        try:
            read_crate(path)
        except (CrateDamaged, OSError):
            path.unlink(missing_ok=True)
            self._store.drop(key)
            return None
        return Made(path, None)

    def _keep(self, key: Key, made: Made) -> None:
        if self._store is None or made.error is not None:
            return
        value = made.value()
        if isinstance(value, Failure) and may_be_chance(value.reason):
            return
        self._store.keep(key, made.crate)
