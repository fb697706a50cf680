"""One model: its generations, which of them answers, its queue and its counts."""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Literal

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    ModelUnknown,
    Overloaded,
)
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.generation import (
    Attempt,
    LoadedGeneration,
    attempt,
)
from edgewright_runtime.serving.models.shadow import Shadow
from edgewright_runtime.serving.models.split import Split
from edgewright_runtime.serving.request_options import PLAIN, RequestOptions, SequenceStep
from edgewright_runtime.serving.scheduling.scheduler import Scheduler
from edgewright_runtime.serving.scheduling.sequences import Sequences, was_not_run
from edgewright_runtime.serving.scheduling.ticket import Done, Run

Work = Callable[[LoadedGeneration, LoadedGeneration | None], Attempt]
"""Runs the active generation, or on probation the fallback in its stead."""

Role = Literal["active", "fallback", "standby", "shadow", "split"]


_AT_ONCE_S = 50e-6
"""A turn that was free is taken in less; what takes longer has waited."""


class ServedModel:
    """One model: its generations, its queue, and its counts over all generations."""

    def __init__(
        self, name: str, scheduler: Scheduler, settings: ModelSettings | None = None
    ) -> None:
        self.name = name
        self.scheduler = scheduler
        self.settings = settings or ModelSettings()
        sequence = self.settings.sequence
        self.sequences = Sequences(name, sequence) if sequence is not None else None
        """The streams of a model that keeps state."""
        self.active: LoadedGeneration | None = None
        self.fallback: LoadedGeneration | None = None
        self.generations: dict[str, LoadedGeneration] = {}
        self.shadow: Shadow | None = None
        self.split: Split | None = None
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
        if self.shadow is not None and generation is self.shadow.generation:
            return "shadow"
        if self.split is not None and generation is self.split.generation:
            return "split"
        return "fallback" if generation is self.fallback else "standby"

    def serving(self) -> LoadedGeneration:
        """The generation that answers. Raises ModelUnknown while none does."""
        if self.active is None:
            raise ModelUnknown(f"model '{self.name}' is loaded but does not serve yet")
        return self.active

    def infer(
        self,
        inputs: Mapping[str, RawTensor],
        *,
        deadline_s: float,
        done: Done,
        options: RequestOptions = PLAIN,
        client: Hashable = None,
    ) -> Callable[[], object] | None:
        """Answer with `done`; on the event loop only. `client` is whose turn it takes.

        Returns what takes the request back while it waits, if it does. Raises ModelUnknown,
        Overloaded; of a model with sequences InvalidInput.
        """
        if self.sequences is not None:
            return self._infer_in_sequence(
                self.sequences, options.sequence, inputs, deadline_s=deadline_s, done=done
            )
        active, fallback = self._hold(options.key)

        def finish(attempt: Attempt) -> None:
            self._release(active, fallback)
            self._count(active, attempt)
            done(attempt)
            if self.shadow is not None:
                self.shadow.offer(inputs, attempt)

        try:
            return self.scheduler.submit(
                active, fallback, inputs, deadline_s=deadline_s, done=finish,
                priority=options.priority, client=client,
            )  # fmt: skip  # what runs, then when
        except Overloaded:
            self._refuse()
            self._release(active, fallback)
            raise

    def _infer_in_sequence(
        self,
        sequences: Sequences,
        step: SequenceStep | None,
        inputs: Mapping[str, RawTensor],
        *,
        deadline_s: float,
        done: Done,
    ) -> Callable[[], object] | None:
        active, fallback = self._hold()
        try:
            run, line, undo = self._admit(sequences, step)
        except (InvalidInput, Overloaded):
            self._release(active, fallback)
            raise

        def finish(attempt: Attempt) -> None:
            if was_not_run(attempt):
                undo()
            self._release(active, fallback)
            self._count(active, attempt)
            done(attempt)

        try:
            return self.scheduler.submit_in_order(
                active, fallback, inputs, deadline_s=deadline_s, done=finish, run=run, line=line
            )
        except Overloaded:
            undo()
            self._refuse()
            self._release(active, fallback)
            raise

    def _admit(
        self, sequences: Sequences, step: SequenceStep | None
    ) -> tuple[Run, Hashable, Callable[[], None]]:
        try:
            return sequences.admit(step)
        except InvalidInput:
            self.note_invalid()
            raise
        except Overloaded:
            self._refuse()
            raise

    def infer_here(
        self,
        inputs: Mapping[str, RawTensor],
        *,
        deadline_s: float,
        options: RequestOptions = PLAIN,
        client: Hashable = None,
    ) -> Attempt:
        """The attempt, made in this thread, which is a door's own, when it is its turn.

        Raises ModelUnknown, Overloaded, DeadlineExceeded; of a model with sequences InvalidInput.
        """
        answers: list[Attempt] = []
        sequences = self.sequences
        if sequences is None:
            self.answer(
                lambda active, fallback: attempt(active, fallback, inputs),
                deadline_s=deadline_s, done=answers.append,
                priority=options.priority, client=client, key=options.key,
            )  # fmt: skip  # what runs, then when
            shadow = self.shadow  # read once: the event loop may take it away meanwhile
            if shadow is not None:
                shadow.offer(inputs, answers[0])
            return answers[0]
        run, line, undo = self._admit(sequences, options.sequence)
        try:
            self.answer(
                lambda active, fallback: run(active, fallback, inputs),
                deadline_s=deadline_s, done=answers.append, client=line, in_order=True,
            )  # fmt: skip  # what runs, then when
        except (Overloaded, DeadlineExceeded, ModelUnknown):
            undo()
            raise
        return answers[0]

    def answer(
        self,
        work: Work,
        *,
        deadline_s: float,
        done: Done,
        priority: int = 0,
        client: Hashable = None,
        in_order: bool = False,
        key: str | None = None,
    ) -> None:
        """Answer in a thread of the door's own: `work` runs when it is this request's turn.

        With `in_order` the client's requests run one after the other. `done` gets the attempt
        after the turn, and before it is counted. Raises ModelUnknown, Overloaded,
        DeadlineExceeded, and what `done` raises.
        """
        active, fallback = self._hold(key)
        asked = time.perf_counter()
        try:
            try:
                self.scheduler.enter(
                    deadline_s, priority=priority, client=client, in_order=in_order
                )
            except (Overloaded, DeadlineExceeded):
                self._refuse()
                raise
            waited_s = time.perf_counter() - asked
            try:
                attempt = work(active, fallback)
            finally:
                self.scheduler.leave(client if in_order else None)
            # After the turn: a client that does not take its answer stops nobody else.
            done(attempt)
            if waited_s > _AT_ONCE_S:
                attempt.waited_s = waited_s
            self._count(active, attempt)
        finally:
            self._release(active, fallback)

    def _hold(self, key: str | None = None) -> tuple[LoadedGeneration, LoadedGeneration | None]:
        # One step with the change of the two: what is held here is never freed meanwhile.
        with self.lock:
            active, fallback = self.serving(), self.fallback
            if key is not None and self.split is not None and self.split.takes(self.name, key):
                active, fallback = self.split.generation, None
            active.hold()
            if fallback is not None:
                fallback.hold()
        return active, fallback

    def _release(self, active: LoadedGeneration, fallback: LoadedGeneration | None) -> None:
        active.release()
        if fallback is not None:
            fallback.release()

    def note_invalid(self) -> None:
        """A request did not fit the model, as its door found."""
        with self.lock:
            self.invalid += 1

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
            if attempt.batch > 1:
                answering.joined(attempt.batch, attempt.engine_s, attempt.executions)
                self.figures.joined(attempt.batch, attempt.engine_s, attempt.executions)
            self.figures.succeeded(attempt.engine_s, attempt.waited_s)
        elif attempt.active_failed:
            self.figures.failed(attempt.engine_s)
        elif isinstance(attempt.error, DeadlineExceeded | Overloaded):
            self.refused += 1
        elif isinstance(attempt.error, Cancelled):
            self.cancelled += 1
        else:
            self.invalid += 1
