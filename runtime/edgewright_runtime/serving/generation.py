"""One loaded release of a model, and one attempt to answer a request with it."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgewright_manifests.signature import DYNAMIC, ModelSignature

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.elements import all_finite
from edgewright_runtime.engine.providers import Wanted
from edgewright_runtime.engine.raw_inference import RawInference, raw_inference
from edgewright_runtime.engine.raw_tensor import RawTensor, example_raw_inputs
from edgewright_runtime.engine.session import Session, StaysDown
from edgewright_runtime.errors import InferenceFailed, InvalidInput, ModelRejected, RuntimeFault
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.batching import UNBATCHED, BatchPlan, plan_batches
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.state_tensors import visible

INLINE_S = 100e-6
"""Models quicker than this run on the event loop: a worker thread costs 40 microseconds more."""
_WARM_RUNS = 5
_WARM_LIMIT_S = 0.5


class LoadedGeneration:
    """A warm engine session with its figures. Any thread may hold and release it."""

    def __init__(
        self,
        name: str,
        artifact: Artifact,
        session: Session,
        quick_bytes: int,
        *,
        batch: BatchPlan = UNBATCHED,
        settings: ModelSettings | None = None,
    ) -> None:
        """Raises InvalidInput when the model does not have the states of its settings."""
        self.name = name
        self.artifact = artifact
        self.session = session
        self.settings = settings or ModelSettings()
        self.infer: RawInference = raw_inference(session)
        self.signature: ModelSignature = visible(session.signature, self.settings.sequence)
        """What callers give and get; `session.signature` has the states too."""
        self.batch = batch
        self.figures = Figures()
        self._lock = threading.Lock()
        self._held = 0
        self._unheld: Callable[[], object] | None = None
        self._quick_bytes = quick_bytes
        self.kept_bytes = 0
        """What loading it took for good, as measured."""
        self._loaded_s = time.time()

    @property
    def used_s(self) -> float:
        """When it last answered, or was loaded; seconds of Unix time."""
        return max(self._loaded_s, self.figures.last_s)

    @property
    def pid(self) -> int | None:
        """Of the process that runs it, where it has one of its own."""
        return self.session.pid if isinstance(self.session, StaysDown) else None

    @property
    def problem(self) -> str | None:
        """Why its engine stays down, if it does."""
        return self.session.problem if isinstance(self.session, StaysDown) else None

    def hold(self) -> None:
        """One more request is in flight."""
        with self._lock:
            self._held += 1

    def release(self) -> None:
        """One request less is in flight."""
        with self._lock:
            self._held -= 1
            if not self._held and self._unheld is not None:
                self._unheld()

    async def drained(self) -> None:
        """Return when no request is in flight."""
        loop, empty = asyncio.get_running_loop(), asyncio.Event()
        while True:
            empty.clear()
            with self._lock:
                if not self._held:
                    self._unheld = None
                    return
                self._unheld = partial(loop.call_soon_threadsafe, empty.set)
            await empty.wait()

    def is_quick(self, inputs: Mapping[str, RawTensor]) -> bool:
        """Whether these inputs may run on the event loop: no larger than what ran quickly."""
        return sum(tensor.nbytes for tensor in inputs.values()) <= self._quick_bytes


def load_generation(
    name: str,
    artifact: Artifact,
    *,
    threads: int,
    settings: ModelSettings | None = None,
    remembered: Callable[[Callable[[], BatchPlan]], BatchPlan] | None = None,
) -> LoadedGeneration:
    """Open, warm, and measure what batches bring; takes long, so not for the event loop.

    `remembered` may give what batches brought before. Raises BackendUnavailable; ModelRejected
    for a damaged model, for one that cannot even answer zeros of its own shape, or that does not
    have the states of its settings.
    """
    settings = settings or ModelSettings()
    if settings.providers:
        cache = Path(settings.provider_cache) if settings.provider_cache else None
        artifact = replace(artifact, wanted=Wanted(settings.providers, cache))
    isolated = settings.isolation == "process"
    session = artifact.open(threads=threads, isolated=isolated)
    example = example_raw_inputs(session.signature)
    try:
        quickest_s = _warm(session, example)
    except InferenceFailed as error:
        if not _shape_is_free(session.signature):
            session.close()
            raise ModelRejected(artifact.path, f"fails its first inference: {error}") from error
        # A size of 1 in a free dimension is our guess, which the model need not like.
        quickest_s = INLINE_S
    size = sum(tensor.nbytes for tensor in example.values())
    batches = settings.batching == "auto" and settings.sequence is None
    most = settings.max_batch if batches else 1

    def measure() -> BatchPlan:
        return plan_batches(raw_inference(session), session.signature, most)

    try:
        return LoadedGeneration(
            name,
            artifact,
            session,
            size if quickest_s < INLINE_S and not isolated else -1,
            batch=measure() if remembered is None else remembered(measure),
            settings=settings,
        )
    except InvalidInput as error:
        session.close()
        raise ModelRejected(artifact.path, str(error)) from error


def _warm(session: Session, example: Mapping[str, RawTensor]) -> float:
    infer = raw_inference(session)
    infer(example)
    taken: list[float] = []
    while len(taken) < _WARM_RUNS and sum(taken) < _WARM_LIMIT_S:
        started = time.perf_counter()
        infer(example)
        taken.append(time.perf_counter() - started)
    return min(taken)  # what the model takes; the rest is what else the machine does meanwhile


def _shape_is_free(signature: ModelSignature) -> bool:
    return any(DYNAMIC in spec.shape[1:] for spec in signature.inputs)


@dataclass(slots=True)
class Attempt:
    """What became of one request: outputs by name, or the error for the caller."""

    outputs: Mapping[str, RawTensor] | None
    error: RuntimeFault | None
    answered_by: LoadedGeneration
    engine_s: float
    """Engine time of the generation that answered."""
    waited_s: float = 0.0
    """Time in the queue."""
    batch: int = 1
    """Requests that ran in the same inference."""
    executions: int = 1
    """0 where another request of the same inference counts for it."""
    active_failed: bool = False
    """The active generation failed, or gave NaN or infinity where the fallback did not."""


def attempt(
    active: LoadedGeneration, fallback: LoadedGeneration | None, inputs: Mapping[str, RawTensor]
) -> Attempt:
    """Run `active`; on probation let `fallback` answer what `active` fails."""
    if fallback is not None and fallback.signature != active.signature:
        fallback = None  # a release with other tensors cannot stand in
    started = time.perf_counter()
    try:
        outputs = active.infer(inputs)
    except InvalidInput as error:
        return Attempt(None, error, active, 0.0)
    except InferenceFailed as error:
        failed = Attempt(None, error, active, time.perf_counter() - started, active_failed=True)
        return failed if fallback is None else _fall_back(fallback, inputs) or failed
    taken_s = time.perf_counter() - started
    if fallback is not None and not all_finite(active.signature, outputs):
        instead = _fall_back(fallback, inputs)
        # When the previous release gives no number either, it is the input's doing.
        if instead is not None and all_finite(fallback.signature, instead.outputs or {}):
            return instead
    return Attempt(outputs, None, active, taken_s)


def _fall_back(fallback: LoadedGeneration, inputs: Mapping[str, RawTensor]) -> Attempt | None:
    started = time.perf_counter()
    try:
        outputs = fallback.infer(inputs)
    except (InvalidInput, InferenceFailed):
        return None
    return Attempt(outputs, None, fallback, time.perf_counter() - started, active_failed=True)
