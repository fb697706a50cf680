"""The blocking client: a connection to the local door, and the models behind it."""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgewright_manifests.signature import DYNAMIC, TensorSpec

from edgewright_runtime.client.buffers import Given, Tensor, copy_of, find_numpy
from edgewright_runtime.client.slot import Slot, can_share_memory
from edgewright_runtime.client.wire import Wire
from edgewright_runtime.errors import InvalidInput, LocalFault, ServerGone
from edgewright_runtime.local_protocol import (
    Describe,
    Described,
    Infer,
    Inline,
    Outputs,
    Plan,
    Planned,
    tensor_size,
)

Way = Literal["eventfd", "socket", "inline"]
"""How tensors go and runs are asked for: shared memory with an eventfd or with the socket as
the bell, or everything through the socket."""

Shapes = tuple[tuple[int, ...], ...]
_KEPT = 8
"""Slots of one model that `infer` keeps."""


@dataclass(frozen=True, slots=True)
class Step:
    """Of a sequence: its number or name, and whether this request begins or ends it."""

    id: int | str | None
    start: bool = False
    end: bool = False


class Client:
    """A connection to the local door at `path`; a context manager. Threads may share it."""

    def __init__(
        self, path: str | os.PathLike[str], *, timeout_s: float = 30.0, way: Way | None = None
    ) -> None:
        """`way` None takes the quickest that both sides have. Raises ServerGone, LocalFault."""
        self._path = Path(path)
        self._timeout_s = timeout_s
        self._asked_way = way
        self._lock = threading.Lock()
        self.numpy: Any = find_numpy()
        self._wire = Wire(self._path, timeout_s=timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._wire.close()

    @property
    def wire(self) -> Wire:
        """The connection; made anew when the last one has ended. Raises ServerGone."""
        with self._lock:
            if self._wire.gone:
                self._wire = Wire(self._path, timeout_s=self._timeout_s)
            return self._wire

    @property
    def way(self) -> Way:
        """How this client and this server talk."""
        bells = self._wire.welcome.bells
        if self._asked_way is not None:
            return self._asked_way
        if not can_share_memory():
            return "inline"
        return "eventfd" if "eventfd" in bells and hasattr(os, "eventfd") else "socket"

    def model(self, name: str) -> "Model":
        """The model of that name. Raises ModelUnknown, ServerGone."""
        return Model(self, self.wire.ask(Describe(name), Described))


class Model:
    """One model of the server, whatever release of it serves."""

    def __init__(self, client: Client, described: Described) -> None:
        self._client = client
        self.described = described
        """The release that served when the model was asked for."""
        self.name = described.model
        self.inputs = described.inputs
        self.outputs = described.outputs
        self._lock = threading.Lock()
        self._idle: dict[Shapes, list[Slot]] = {}

    def infer(
        self,
        inputs: Mapping[str, Tensor],
        *,
        priority: int = 0,
        sequence: Step | None = None,
    ) -> dict[str, Tensor]:
        """One inference; the outputs are the caller's own.

        `priority` 1 is served first, 0 is the model's usual one. `sequence` is for a model that
        keeps state: which stream this is of, and whether its first or last. Either sends the
        tensors through the socket. A server that was restarted is asked once more over a new
        connection, unless in a sequence, whose state went with it. Raises InvalidInput,
        InferenceFailed, ModelUnknown, Overloaded, DeadlineExceeded, ServerGone.
        """
        given = self.given(inputs)
        if sequence is not None or priority:
            return self.infer_inline(given, priority=priority, sequence=sequence)
        try:
            return self._infer(given)
        except ServerGone:
            return self._infer(given)

    def slot(
        self,
        *,
        batch: int | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        outputs: Mapping[str, Sequence[int]] | None = None,
    ) -> Slot:
        """Memory shared with the server for one size of inputs.

        `batch` is the size of every free first dimension; `shapes` gives whole shapes by
        input name. `outputs` gives shapes that are large enough, where the sizes depend on
        the inputs' values. Raises InvalidInput for shapes that do not fit or BYTES tensors,
        LocalFault where memory cannot be shared, ModelUnknown, ServerGone.
        """
        if self._client.way == "inline":
            raise LocalFault("this machine cannot share memory; use infer()")
        chosen = {
            spec.name: tuple((shapes or {}).get(spec.name, _with_batch(spec, batch)))
            for spec in self.inputs
        }
        return self._open(chosen, outputs or {})

    def given(self, inputs: Mapping[str, Tensor]) -> dict[str, Given]:
        """The inputs' bytes and shapes. Raises InvalidInput."""
        if inputs.keys() != {spec.name for spec in self.inputs}:
            raise InvalidInput(
                f"model '{self.name}' takes {[spec.name for spec in self.inputs]}, "
                f"not {list(inputs)}"
            )
        found = {spec.name: Given(spec, inputs[spec.name]) for spec in self.inputs}
        for spec in self.inputs:
            if not spec.accepts(found[spec.name].shape):
                raise InvalidInput(
                    f"input '{spec.name}' has shape {list(found[spec.name].shape)}, the model "
                    f"takes {list(spec.shape)}"
                )
        return found

    @property
    def can_share(self) -> bool:
        """Whether this model's tensors can lie in memory that the server sees too."""
        strings = any(spec.datatype == "BYTES" for spec in (*self.inputs, *self.outputs))
        return self._client.way != "inline" and not strings

    def take(self, given: Mapping[str, Given]) -> Slot:
        """A slot with these inputs in it, for this caller alone; it must be `give`n back."""
        shapes = tuple(given[spec.name].shape for spec in self.inputs)
        with self._lock:
            idle = self._idle.get(shapes)
            slot = idle.pop() if idle else None
            stale = [] if slot is not None else self._take_stale()
        for old in stale:
            old.close()
        if slot is None:
            slot = self._open({name: each.shape for name, each in given.items()}, {})
        for name, each in given.items():
            slot.write(name, each.data)
        return slot

    def give(self, slot: Slot) -> None:
        """Keep the slot for the next caller, unless its connection has ended."""
        if slot.is_broken:
            slot.close()
            return
        with self._lock:
            self._idle.setdefault(slot.shapes, []).append(slot)

    def copies(self, slot: Slot) -> dict[str, Tensor]:
        """The outputs of a slot's last run, as the caller's own."""
        return {
            spec.name: copy_of(memory, spec.datatype, shape, self._client.numpy)
            for spec, (memory, shape) in zip(self.outputs, slot.results(), strict=True)
        }

    def infer_inline(
        self, given: Mapping[str, Given], *, priority: int = 0, sequence: Step | None = None
    ) -> dict[str, Tensor]:
        """One inference with all tensors through the socket."""
        inputs = tuple(
            Inline(spec.name, spec.datatype, each.shape, len(each.data))
            for spec, each in ((spec, given[spec.name]) for spec in self.inputs)
        )
        pieces = [given[spec.name].data for spec in self.inputs]
        step = sequence or Step(None)
        question = Infer(
            self.name,
            inputs,
            priority=priority,
            sequence_id=step.id,
            sequence_start=step.start,
            sequence_end=step.end,
        )
        answer, tensors, _ = self._client.wire.exchange(question, pieces)
        if not isinstance(answer, Outputs):
            raise LocalFault(f"a {type(answer).__name__} is no answer to an inference")
        found: dict[str, Tensor] = {}
        position = 0
        for each in answer.outputs:
            memory = tensors[position : position + each.size_bytes]
            found[each.name] = copy_of(memory, each.datatype, each.shape, self._client.numpy)
            position += each.size_bytes
        return found

    def _infer(self, given: Mapping[str, Given]) -> dict[str, Tensor]:
        if not self.can_share:
            return self.infer_inline(given)
        slot = self.take(given)
        try:
            slot.run()
            return self.copies(slot)
        finally:
            self.give(slot)

    def _open(
        self, shapes: Mapping[str, tuple[int, ...]], outputs: Mapping[str, Sequence[int]]
    ) -> Slot:
        wire, way = self._client.wire, self._client.way
        inputs = tuple(TensorSpec(s.name, s.datatype, shapes[s.name]) for s in self.inputs)
        for spec in inputs:
            tensor_size(spec.name, spec.datatype, spec.shape)
        if all(spec.name in outputs for spec in self.outputs):
            sized = tuple(
                TensorSpec(s.name, s.datatype, tuple(outputs[s.name])) for s in self.outputs
            )
        else:
            sized = wire.ask(Plan(self.name, dict(shapes)), Planned).outputs
            sized = tuple(
                TensorSpec(s.name, s.datatype, tuple(outputs.get(s.name, s.shape))) for s in sized
            )
        bell: Literal["eventfd", "socket"] = "socket" if way == "socket" else "eventfd"
        return Slot(wire, self.name, inputs, sized, bell, self._client.numpy)

    def _take_stale(self) -> list[Slot]:
        """Slots to close before a new one is opened: broken ones, and beyond _KEPT the oldest."""
        every = [slot for idle in self._idle.values() for slot in idle]
        stale = [slot for slot in every if slot.is_broken]
        stale += [slot for slot in every if slot not in stale][: max(0, len(every) - _KEPT + 1)]
        kept = {shapes: [s for s in idle if s not in stale] for shapes, idle in self._idle.items()}
        self._idle = {shapes: idle for shapes, idle in kept.items() if idle}
        return stale


def _with_batch(spec: TensorSpec, batch: int | None) -> tuple[int, ...]:
    shape = spec.shape
    if batch is not None and shape and shape[0] == DYNAMIC:
        shape = (batch, *shape[1:])
    return shape
