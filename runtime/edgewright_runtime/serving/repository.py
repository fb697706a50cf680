"""Which models are loaded, in which generations, and which of them answers."""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping

from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.errors import InvalidInput, MemoryShort, ModelUnknown
from edgewright_runtime.model_settings import ModelSettings, settings_of
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.generation import LoadedGeneration
from edgewright_runtime.serving.models.absent import Absent
from edgewright_runtime.serving.models.budget import Held, fits_beside, victims
from edgewright_runtime.serving.models.loader import Loader
from edgewright_runtime.serving.models.memory import shown_bytes
from edgewright_runtime.serving.models.opening import close_and_free, open_measured
from edgewright_runtime.serving.models.policy import MemoryPolicy
from edgewright_runtime.serving.models.shadow import Shadow
from edgewright_runtime.serving.models.split import Split
from edgewright_runtime.serving.scheduling.scheduler import Scheduler
from edgewright_runtime.serving.served_model import ServedModel

_log = logging.getLogger(__name__)


class Repository:
    """Loads, switches and unloads; one such change at a time, requests go on meanwhile."""

    def __init__(
        self,
        *,
        threads: int,
        queue_limit: int,
        workers: int,
        settings: Mapping[str, ModelSettings] | None = None,
        memory: MemoryPolicy | None = None,
    ) -> None:
        """On the event loop that serves.

        `settings` by model, those of all others under "*"; the rest is for who says nothing.
        """
        self._settings = settings or {}
        self._threads = threads
        self._queue_limit = queue_limit
        self._workers = workers
        self._models: dict[str, ServedModel] = {}
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._changing = asyncio.Lock()
        self._loader = Loader()
        self._absent: dict[str, Absent] = {}
        self._evicted: dict[str, tuple[str, Artifact]] = {}
        self._waking: dict[str, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._memory = memory or MemoryPolicy()
        self.notices: dict[str, str] = {}
        """By model what its last load did to the requests meanwhile, when it did something."""

    @property
    def models(self) -> Mapping[str, ServedModel]:
        """The models by name; a generation that is loading is not in it yet."""
        return self._models

    def model(self, name: str) -> ServedModel:
        """The model of that name. Raises ModelUnknown; ModelLoading while it comes or goes."""
        found = self._models.get(name)
        if found is not None and found.active is not None:
            return found
        absent = self._absent.get(name)
        if absent is not None:
            if absent.wake is not None and threading.get_ident() != self._thread:
                # A door with threads of its own cannot wait for it; the next request finds it.
                self._loop.call_soon_threadsafe(absent.wake, name)
            raise absent.error(name)
        if found is None:
            known = ", ".join(f"'{other}'" for other in self._models) or "none"
            raise ModelUnknown(f"no model '{name}' is loaded; loaded: {known}")
        return found

    def _loaded(self, name: str) -> ServedModel:
        """The model, though it does not serve yet or any more. Raises as `model` does."""
        return self._models.get(name) or self.model(name)

    def expect(self, name: str, absent: Absent) -> None:
        """Until the model serves, requests for it are told to come again."""
        self._absent[name] = absent

    def expect_no_more(self, name: str) -> None:
        """The model serves, or is not on its way any more."""
        self._evicted.pop(name, None)
        self._absent.pop(name, None)

    def waiting(self) -> list[str]:
        """The models that are loaded or on their way, and do not serve yet."""
        idle = (model.name for model in self._models.values() if model.active is None)
        coming = (name for name in self._absent if name not in self._models)
        down = (m.name for m in self._models.values() if m.active and m.active.problem)
        return [*down, *(name for name in (*idle, *coming) if name not in self._evicted)]

    @property
    def absent(self) -> Mapping[str, Absent]:
        """Models that are known but not in memory."""
        return self._absent

    def generation(self, model: str, name: str) -> LoadedGeneration:
        """A loaded generation. Raises ModelUnknown."""
        found = self._loaded(model).generations.get(name)
        if found is None:
            raise ModelUnknown(f"model '{model}' has no generation '{name}' loaded")
        return found

    async def load(
        self, model: str, name: str, find: Callable[[], Artifact], *, may_unload: bool = True
    ) -> str | None:
        """Load and warm beside what is serving; nothing to do when it is loaded already.

        Where the memory does not hold both and `may_unload`, what serves is unloaded first, and
        the new one serves as soon as it is loaded; the notice that is given says so. `find`
        reads what to load from disk. Raises what it raises, MemoryShort, BackendUnavailable,
        ModelRejected.
        """
        async with self._changing:
            served = self._models.get(model)
            if served is not None and name in served.generations:
                return None
            artifact = await self._loader.run(find)
            notice = await self._make_room(model, artifact, may_unload=may_unload)
            if notice is None:
                await self._open(model, name, artifact)
                return None
            await self._replace(model, name, artifact)
            return notice

    async def _open(self, model: str, name: str, artifact: Artifact) -> LoadedGeneration:
        settings = settings_of(model, self._settings)
        threads = settings.threads or self._threads
        generation = await open_measured(
            self._loader, self._memory.footprints, model, name, artifact, settings, threads
        )
        served = self._models.get(model)
        if served is None:
            scheduler = Scheduler(
                model,
                queue_limit=settings.queue_limit or self._queue_limit,
                workers=settings.workers or self._workers,
                settings=settings,
            )
            served = self._models[model] = ServedModel(model, scheduler, settings)
        served.generations[name] = generation
        return generation

    async def _make_room(self, model: str, artifact: Artifact, *, may_unload: bool) -> str | None:
        """Unload the least recently used models that the budget has no room for.

        Gives why the model's own generations must go first, when they must. Raises MemoryShort.
        """
        footprint = await self._loader.run(lambda: self._memory.footprints.of(artifact))
        served = self._models.get(model)
        budget = self._memory.budget_bytes
        if budget is not None:
            chosen = victims(self._held(model), footprint.kept_bytes, budget)
            own = sum(each.kept_bytes for each in served.generations.values()) if served else 0
            if chosen is None and own:
                # For the time of a swap two of it count; after it one.
                chosen = victims(self._held(model), footprint.kept_bytes - own, budget)
            if chosen is None:
                raise MemoryShort(
                    f"model '{model}' takes {shown_bytes(footprint.kept_bytes)}, which the memory "
                    f"budget of {shown_bytes(budget)} does not hold beside the pinned models"
                )
            for other in chosen:
                await self._evict(other)
        available = await self._loader.run(self._memory.available)
        if fits_beside(footprint.peak_bytes, available) or available is None:
            return None
        if served is None or served.active is None:
            _log.warning(
                "memory is short model=%s needs_bytes=%d available_bytes=%d",
                model, footprint.peak_bytes, available,
            )  # fmt: skip  # fields in one line
            return None
        how = "measured" if footprint.measured else "estimated"
        notice = (
            f"model '{model}' is unloaded first: loading the next takes "
            f"{shown_bytes(footprint.peak_bytes)} ({how}), {shown_bytes(available)} are available; "
            f"no answers for about {max(footprint.load_s, 0.1):.1f} s"
        )
        if not may_unload:
            raise MemoryShort(
                notice.replace("is unloaded first", "would have to be unloaded first")
            )
        _log.warning("%s", notice)
        self.notices[model] = notice
        self._absent[model] = Absent(
            "is being replaced, and this device's memory holds one of it at a time",
            time.monotonic() + footprint.load_s,
        )
        return notice

    async def _replace(self, model: str, name: str, artifact: Artifact) -> None:
        served = self._models[model]
        previous = served.active
        await self._detach(served)
        with served.lock:
            served.active = served.fallback = None
        for generation in list(served.generations.values()):
            await self._retire(served, generation)
        try:
            chosen = await self._open(model, name, artifact)
        except EdgewrightError:
            # What served is still on disk.
            if previous is not None:
                self._activate(model, await self._open(model, previous.name, previous.artifact))
            raise
        finally:
            self._absent.pop(model, None)
        self._activate(model, chosen)

    def _activate(self, model: str, chosen: LoadedGeneration) -> None:
        served = self._models[model]
        with served.lock:
            served.active = chosen

    def _held(self, model: str) -> list[Held]:
        return [
            Held(
                served.name,
                sum(each.kept_bytes for each in served.generations.values()),
                max(each.used_s for each in served.generations.values()),
                may_go=served.name != model
                and not served.settings.pinned
                and len(served.generations) == 1
                and served.active is not None,
            )
            for served in self._models.values()
        ]

    async def _evict(self, model: str) -> None:
        served = self._models[model]
        generation = served.active
        assert generation is not None  # or it might not go
        self._evicted[model] = generation.name, generation.artifact
        reason = "was unloaded to stay within the memory budget and is being loaded again"
        self._absent[model] = Absent(reason, time.monotonic(), self._wake)
        with served.lock:
            served.active = None
        await self._retire(served, generation)
        _log.info("model evicted model=%s", model)

    def _wake(self, model: str) -> "asyncio.Future[None]":
        """Load an evicted model again; on the event loop. Done when it serves, or does not."""
        waking = self._waking.get(model)
        if waking is None:
            waking = self._waking[model] = asyncio.ensure_future(self._reload(model))
            waking.add_done_callback(lambda _: self._waking.pop(model, None))
        return waking

    async def _reload(self, model: str) -> None:
        try:
            async with self._changing:
                if model in self._models or model not in self._evicted:
                    return
                name, artifact = self._evicted[model]
                await self._make_room(model, artifact, may_unload=False)
                self._activate(model, await self._open(model, name, artifact))
                self.expect_no_more(model)
        except EdgewrightError as error:
            _log.error("evicted model does not load again model=%s reason=%s", model, error)

    async def switch(self, model: str, name: str, *, keep_previous: bool) -> None:
        """Let `name` answer from the next request on.

        The one that answered until now becomes the fallback, or is drained and unloaded;
        so is any other fallback. Idempotent. Raises ModelUnknown.
        """
        async with self._changing:
            served, chosen = self._loaded(model), self.generation(model, name)
            previous, older = served.active, served.fallback
            if chosen is not previous:
                chosen.figures = Figures()
            if chosen.signature != (previous or chosen).signature:
                await self._detach(served)
            # Asked for twice, as after an agent's restart, it must not lose the fallback.
            stands_in = older if previous is chosen else previous
            with served.lock:
                served.active = chosen
                served.fallback = stands_in if keep_previous else None
            self.expect_no_more(model)
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
            if self._evicted.get(model, ("",))[0] == name:
                self.expect_no_more(model)
            if served is not None and generation is not None:
                if served.role(generation) in ("active", "shadow", "split"):
                    await self._detach(served)
                with served.lock:
                    if served.active is generation:
                        served.active = None
                    if served.fallback is generation:
                        served.fallback = None
                if generation.name in served.generations:
                    await self._retire(served, generation)

    async def shade(self, model: str, find: Callable[[], Artifact] | None, share: float) -> None:
        """Let another release answer a copy of `share` of the requests; None takes it away.

        Raises ModelUnknown, InvalidInput, MemoryShort, and what loading raises.
        """
        async with self._changing:
            served = self.model(model)
            await self._detach_shadow(served)
            if find is not None:
                second = await self._second(served, find, share, "shadow")
                served.shadow = Shadow(second, share)

    async def divide(self, model: str, find: Callable[[], Artifact] | None, share: float) -> None:
        """Let another release answer `share` of the keys; None lets the active one answer all.

        Raises ModelUnknown, InvalidInput, MemoryShort, and what loading raises.
        """
        async with self._changing:
            served = self.model(model)
            await self._detach_split(served)
            if find is not None:
                second = await self._second(served, find, share, "split")
                with served.lock:
                    served.split = Split(second, share)

    async def _detach(self, served: ServedModel) -> None:
        await self._detach_shadow(served)
        await self._detach_split(served)

    async def _detach_shadow(self, served: ServedModel) -> None:
        shadow, served.shadow = served.shadow, None
        if shadow is not None:
            await self._loader.run(shadow.stop)
            await self._retire(served, shadow.generation)

    async def _detach_split(self, served: ServedModel) -> None:
        with served.lock:
            split, served.split = served.split, None
        if split is not None:
            await self._retire(served, split.generation)

    async def _second(
        self, served: ServedModel, find: Callable[[], Artifact], share: float, prefix: str
    ) -> LoadedGeneration:
        """A release beside the active one, of the same inputs and outputs."""
        if not 0 < share <= 1:
            raise InvalidInput(f"a share of {share:g}; give more than 0 and at most 1")
        if served.sequences is not None:
            raise InvalidInput(f"model '{served.name}' keeps state, which two cannot share")
        artifact = await self._loader.run(find)
        await self._make_room(served.name, artifact, may_unload=False)
        name = f"{prefix}-{next(self._numbers)}"
        second = await self._open(served.name, name, artifact)
        if second.signature != served.serving().signature:
            await self._retire(served, second)
            raise InvalidInput(
                f"it has other inputs or outputs than model '{served.name}', so that it cannot "
                "answer the same requests"
            )
        return second

    async def close(self) -> None:
        """Drain and free everything."""
        async with self._changing:
            for served in list(self._models.values()):
                await self._detach(served)
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
        await self._loader.run(lambda: close_and_free(generation))
        _log.info("generation unloaded model=%s generation=%s", served.name, generation.name)
