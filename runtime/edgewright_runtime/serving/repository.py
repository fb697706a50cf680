"""Which models are loaded, in which generations, and which of them answers."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import Cancelled, DeadlineExceeded, ModelUnknown, Overloaded
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, load_generation
from edgewright_runtime.serving.models.loader import Loader, give_back_memory
from edgewright_runtime.serving.scheduler import Done, Scheduler

_log = logging.getLogger(__name__)

Work = Callable[[LoadedGeneration, LoadedGeneration | None], Attempt]
"""Runs the active generation, or on probation the fallback in its stead."""

Role = Literal["active", "fallback", "standby"]


class ServedModel:
    """One model: its generations, its queue, and its counts over all generations."""

    def __init__(self, name: str, scheduler: Scheduler) -> None:
        self.name = name
        self.scheduler = scheduler
        self.active: LoadedGeneration | None = None
        self.fallback: LoadedGeneration | None = None
        self.generations: dict[str, LoadedGeneration] = {}
        self.figures = Figures()
        self.invalid = 0
        """Requests that did not fit the model: the caller's fault, not counted as errors."""
        self.refused = 0
        """Requests that found the queue full, or waited for too long."""
        self.cancelled = 0
        """Requests that their callers took back before they began."""
        self.lock = threading.Lock()
        """Held to change or to take active and fallback together, and to count."""

    def role(self, generation: LoadedGeneration) -> Role:
        """What a generation is to this model."""
        if generation is self.active:
            return "active"
        return "fallback" if generation is self.fallback else "standby"

    def serving(self) -> LoadedGeneration:
        """The generation that answers. Raises ModelUnknown while none does."""
        if self.active is None:
            raise ModelUnknown(f"model '{self.name}' is loaded but does not serve yet")
        return self.active

    def infer(
        self, inputs: Mapping[str, RawTensor], *, deadline_s: float, done: Done
    ) -> Callable[[], object] | None:
        """Answer with `done`; on the event loop only. Raises ModelUnknown, Overloaded.

        Returns what takes the request back while it waits, if it does.
        """
        active, fallback = self._hold()

        def finish(attempt: Attempt) -> None:
            self._release(active, fallback)
            self._count(active, attempt)
            done(attempt)

        try:
            return self.scheduler.submit(
                active, fallback, inputs, deadline_s=deadline_s, done=finish
            )
        except Overloaded:
            self._refuse()
            self._release(active, fallback)
            raise

    def answer(self, work: Work, *, deadline_s: float, done: Done) -> None:
        """Answer in a thread of the door's own: `work` runs when it is this request's turn.

        `done` gets the attempt before it is counted. Raises ModelUnknown, Overloaded,
        DeadlineExceeded.
        """
        active, fallback = self._hold()
        asked = time.perf_counter()
        try:
            try:
                self.scheduler.enter(deadline_s)
            except (Overloaded, DeadlineExceeded):
                self._refuse()
                raise
            waited_s = time.perf_counter() - asked
            try:
                attempt = work(active, fallback)
            finally:
                self.scheduler.leave()
            attempt.waited_s = waited_s
            done(attempt)
            self._count(active, attempt)
        finally:
            self._release(active, fallback)

    def _hold(self) -> tuple[LoadedGeneration, LoadedGeneration | None]:
        # One step with the change of the two: what is held here is never freed meanwhile.
        with self.lock:
            active, fallback = self.serving(), self.fallback
            active.hold()
            if fallback is not None:
                fallback.hold()
        return active, fallback

    def _release(self, active: LoadedGeneration, fallback: LoadedGeneration | None) -> None:
        active.release()
        if fallback is not None:
            fallback.release()

    def _refuse(self) -> None:
        with self.lock:
            self.refused += 1

    def _count(self, active: LoadedGeneration, attempt: Attempt) -> None:
        with self.lock:
            self._add(active, attempt)

    def _add(self, active: LoadedGeneration, attempt: Attempt) -> None:
        if attempt.active_failed:
            active.figures.failed(attempt.engine_s if attempt.outputs is None else 0.0)
        if attempt.error is None:
            answering = attempt.answered_by.figures
            answering.succeeded(attempt.engine_s, attempt.waited_s)
            answering.last_s = time.time()
            self.figures.succeeded(attempt.engine_s, attempt.waited_s)
        elif attempt.active_failed:
            self.figures.failed(attempt.engine_s)
        elif isinstance(attempt.error, DeadlineExceeded):
            self.refused += 1
        elif isinstance(attempt.error, Cancelled):
            self.cancelled += 1
        else:
            self.invalid += 1


class Repository:
    """Loads, switches and unloads; one such change at a time, requests go on meanwhile."""

    def __init__(self, *, threads: int, queue_limit: int, workers: int) -> None:
        self._threads = threads
        self._queue_limit = queue_limit
        self._workers = workers
        self._models: dict[str, ServedModel] = {}
        self._changing = asyncio.Lock()
        self._loader = Loader()

    @property
    def models(self) -> Mapping[str, ServedModel]:
        """The models by name; a generation that is loading is not in it yet."""
        return self._models

    def model(self, name: str) -> ServedModel:
        """The model of that name. Raises ModelUnknown."""
        found = self._models.get(name)
        if found is None:
            known = ", ".join(f"'{other}'" for other in self._models) or "none"
            raise ModelUnknown(f"no model '{name}' is loaded; loaded: {known}")
        return found

    def generation(self, model: str, name: str) -> LoadedGeneration:
        """A loaded generation. Raises ModelUnknown."""
        found = self.model(model).generations.get(name)
        if found is None:
            raise ModelUnknown(f"model '{model}' has no generation '{name}' loaded")
        return found

    async def load(self, model: str, name: str, find: Callable[[], Artifact]) -> None:
        """Load and warm beside what is serving; nothing to do when it is loaded already.

        `find` reads what to load from disk. Raises what it raises, and BackendUnavailable,
        ModelRejected.
        """
        async with self._changing:
            served = self._models.get(model)
            if served is not None and name in served.generations:
                return
            artifact = await self._loader.run(find)
            generation = await self._loader.run(
                lambda: load_generation(name, artifact, threads=self._threads),
                starts_threads=self._threads > 1 or artifact.target != "onnx",
            )
            if served is None:
                scheduler = Scheduler(model, queue_limit=self._queue_limit, workers=self._workers)
                served = self._models[model] = ServedModel(model, scheduler)
            served.generations[name] = generation
            _log.info(
                "generation loaded model=%s generation=%s variant=%s placement=%s",
                model, name, generation.artifact.variant, generation.session.placement,
            )  # fmt: skip  # fields in one line

    async def switch(self, model: str, name: str, *, keep_previous: bool) -> None:
        """Let `name` answer from the next request on.

        The one that answered until now becomes the fallback, or is drained and unloaded;
        so is any other fallback. Idempotent. Raises ModelUnknown.
        """
        async with self._changing:
            served, chosen = self.model(model), self.generation(model, name)
            previous, older = served.active, served.fallback
            if chosen is not previous:
                chosen.figures = Figures()
            # Asked for twice, as after an agent's restart, it must not lose the fallback.
            stands_in = older if previous is chosen else previous
            with served.lock:
                served.active = chosen
                served.fallback = stands_in if keep_previous else None
            _log.info(
                "generation switched model=%s generation=%s previous=%s probation=%s",
                model, name, previous.name if previous else "-", served.fallback is not None,
            )  # fmt: skip  # fields in one line
            for generation in {previous, older} - {None, chosen, served.fallback}:
                if generation is not None:
                    await self._retire(served, generation)

    async def unload(self, model: str, name: str) -> None:
        """Let requests in flight finish, then free; nothing to do when it is not loaded."""
        async with self._changing:
            served = self._models.get(model)
            generation = served.generations.get(name) if served is not None else None
            if served is not None and generation is not None:
                with served.lock:
                    if served.active is generation:
                        served.active = None
                    if served.fallback is generation:
                        served.fallback = None
                await self._retire(served, generation)

    async def close(self) -> None:
        """Drain and free everything."""
        async with self._changing:
            for served in list(self._models.values()):
                with served.lock:
                    served.active = served.fallback = None
                for generation in list(served.generations.values()):
                    await self._retire(served, generation)
        self._loader.close()

    async def _retire(self, served: ServedModel, generation: LoadedGeneration) -> None:
        # Requests that hold it are bounded by the queue, and each by its deadline.
        await generation.drained()
        del served.generations[generation.name]
        if not served.generations:
            served.scheduler.close()
            del self._models[served.name]
        await self._loader.run(lambda: _free(generation))
        _log.info("generation unloaded model=%s generation=%s", served.name, generation.name)


def _free(generation: LoadedGeneration) -> None:
    generation.session.close()
    give_back_memory()
