"""The streams of a model that remembers: a state each, from one request to the next."""

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import Cancelled, DeadlineExceeded, InvalidInput, Overloaded
from edgewright_runtime.model_settings import SequenceSettings
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt
from edgewright_runtime.serving.request_options import SequenceId, SequenceStep
from edgewright_runtime.serving.scheduling.ticket import Run
from edgewright_runtime.serving.state_tensors import carried, with_states


class Sequence:
    """One stream. Its requests run one after the other, so that nothing here needs a lock."""

    __slots__ = ("id", "last_s", "states")

    def __init__(self, identifier: SequenceId) -> None:
        self.id = identifier
        self.states: Mapping[str, RawTensor] | None = None
        """By the input's name; None before the first request has run."""
        self.last_s = 0.0
        """When it was last asked for, by the keeper's clock."""


class Sequences:
    """All streams of one model. Any thread may ask."""

    def __init__(
        self, model: str, settings: SequenceSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._open: OrderedDict[SequenceId, Sequence] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, step: SequenceStep | None) -> tuple[Run, Hashable, Callable[[], None]]:
        """How to run a request of this step, whose line it stands in, and what undoes the step
        where it is not run.

        Raises InvalidInput for a request without a sequence, or of one that was not started;
        Overloaded when there are too many.
        """
        if step is None or not step.id:
            raise InvalidInput(
                f"inference request to model '{self._model}' must specify a non-zero or "
                "non-empty correlation ID (parameter sequence_id)"
            )
        with self._lock:
            now = self._clock()
            self._expire(now)
            before = self._open.get(step.id)
            if step.start:
                if before is None and len(self._open) >= self._settings.limit:
                    raise Overloaded(
                        f"model '{self._model}' has {len(self._open)} sequences, its limit; end "
                        "one, or try again later"
                    )
                sequence = Sequence(step.id)
            elif before is None:
                raise InvalidInput(
                    f"inference request for sequence {step.id} to model '{self._model}' must "
                    "specify the START flag on the first request of the sequence"
                )
            else:
                sequence = before
            sequence.last_s = now
            if step.end:
                self._open.pop(step.id, None)
            else:
                self._open[step.id] = sequence
                self._open.move_to_end(step.id)

        def undo() -> None:
            with self._lock:
                if self._open.get(step.id) in (sequence, None):
                    self._open.pop(step.id, None)
                    if before is not None:
                        self._open[step.id] = before

        return functools.partial(self._run, sequence), ("sequence", step.id), undo

    def _run(
        self,
        sequence: Sequence,
        active: LoadedGeneration,
        fallback: LoadedGeneration | None,
        inputs: Mapping[str, RawTensor],
    ) -> Attempt:
        settings = self._settings
        try:
            whole = with_states(settings, active.session.signature, inputs, sequence.states)
        except InvalidInput as error:
            return Attempt(None, error, active, 0.0)
        made = attempt(active, fallback, whole)
        if made.outputs is not None:
            sequence.states = carried(settings, made.outputs)
        return made

    def _expire(self, now: float) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.last_s <= self._settings.idle_s:
                return
            del self._open[oldest.id]


def was_not_run(made: Attempt) -> bool:
    """Whether a request came to no engine, so that its step of a sequence has not happened."""
    return isinstance(made.error, Cancelled | DeadlineExceeded | Overloaded)
