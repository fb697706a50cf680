"""The streams of a model that remembers: a state each, from one request to the next."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec

from edgewright_runtime.engine.raw_tensor import RawTensor, example_raw_inputs
from edgewright_runtime.errors import InvalidInput, Overloaded
from edgewright_runtime.model_settings import SequenceSettings, StateTensor

SequenceId = int | str


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """What a request says of its sequence, in the words of Triton's parameters."""

    id: SequenceId = 0
    start: bool = False
    end: bool = False


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

    def admit(self, step: SequenceStep | None) -> tuple[Sequence, Callable[[], None]]:
        """The sequence that a request belongs to, and what undoes the step if it is not carried out.

        Raises InvalidInput for a request without a sequence, or of one that was not started;
        Overloaded when there are too many.
        """
        if step is None or not step.id:
            raise InvalidInput(
                f"inference request to model '{self._model}' must specify a non-zero or non-empty "
                "correlation ID (parameter sequence_id)"
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

        return sequence, undo

    def _expire(self, now: float) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if now - oldest.last_s <= self._settings.idle_s:
                return
            del self._open[oldest.id]


def with_states(
    sequence: Sequence, model: str, settings: SequenceSettings, signature: ModelSignature,
    inputs: Mapping[str, RawTensor],
) -> dict[str, RawTensor]:  # fmt: skip  # what goes together in one line
    """The request's inputs and the sequence's states, zeros in its first request.

    `signature` is the whole model's. Raises InvalidInput when a release came in between that
    takes other states.
    """
    specs = {spec.name: spec for spec in signature.inputs}
    states = sequence.states
    if states is None:
        states = {
            state.input: zeros_of(state, specs[state.input]) for state in settings.states
        }
    for name, tensor in states.items():
        spec = specs.get(name)
        if spec is None or spec.datatype != tensor.datatype or not spec.accepts(tensor.shape):
            raise InvalidInput(
                f"sequence {sequence.id} of model '{model}' was begun with another release, whose "
                f"state '{name}' had shape {list(tensor.shape)}; start it again"
            )
    return {**inputs, **states}


def zeros_of(state: StateTensor, spec: TensorSpec) -> RawTensor:
    """What a sequence begins with."""
    shape = state.shape
    if shape is None:
        shape = tuple(1 if size == DYNAMIC else size for size in spec.shape)
    sized = TensorSpec(spec.name, spec.datatype, shape)
    return example_raw_inputs(ModelSignature((sized,), ()))[spec.name]


def visible(signature: ModelSignature, settings: SequenceSettings | None) -> ModelSignature:
    """What callers see of a model: its states are the server's own.

    Raises InvalidInput when the settings name states that the model does not have.
    """
    if settings is None:
        return signature
    inputs = {spec.name: spec for spec in signature.inputs}
    outputs = {spec.name: spec for spec in signature.outputs}
    for state in settings.states:
        source, sink = outputs.get(state.output), inputs.get(state.input)
        if source is None or sink is None or source.datatype != sink.datatype:
            raise InvalidInput(
                f"the settings carry output '{state.output}' over to input '{state.input}', but "
                f"the model gives {', '.join(outputs)} and takes {', '.join(inputs)}, of one type "
                "each; correct [models.NAME.sequence]"
            )
        if state.shape is not None and not sink.accepts(state.shape):
            raise InvalidInput(
                f"state '{state.input}' cannot begin with shape {list(state.shape)}: the model "
                f"takes {list(sink.shape)}"
            )
    taken = {state.input for state in settings.states}
    given = {state.output for state in settings.states}
    return ModelSignature(
        inputs=tuple(spec for spec in signature.inputs if spec.name not in taken),
        outputs=tuple(spec for spec in signature.outputs if spec.name not in given),
    )
