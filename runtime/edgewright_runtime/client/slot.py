"""A slot: a model's tensors in memory that the server sees too. Nothing is copied."""

import contextlib
import fcntl
import mmap
import os
import select
import struct
import weakref
from collections.abc import Mapping
from typing import Any

from edgewright_manifests.signature import TensorSpec

from edgewright_runtime import local_protocol as protocol
from edgewright_runtime.client.buffers import Tensor, view_of
from edgewright_runtime.client.wire import HANG_UP, Wire, close_all
from edgewright_runtime.errors import LocalFault, ServerGone
from edgewright_runtime.local_protocol import (
    MESSAGE_OFFSET,
    SIZES_OFFSET,
    STATUS,
    Bell,
    Kind,
    Open,
    Opened,
    Placed,
    State,
)

# linux/fcntl.h; the module has these names on Linux only.
_F_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4
"""F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW."""
_MFD_ALLOW_SEALING = 0x2


class Slot:
    """Write `inputs`, `run`, read `outputs`. One thread at a time; a context manager."""

    def __init__(
        self,
        wire: Wire,
        model: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        bell: Bell,
        numpy: Any,
    ) -> None:
        """`inputs`, `outputs`: with all sizes known. Raises as `Model.slot` does."""
        self._wire = wire
        self._numpy = numpy
        placed_inputs, self._placed, size = protocol.place(inputs, outputs)
        descriptor = os.memfd_create(
            f"edgewright-{model}"[:100], os.MFD_CLOEXEC | _MFD_ALLOW_SEALING
        )
        try:
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEALS)
            self._memory = mmap.mmap(descriptor, size)
            question = Open(model, placed_inputs, self._placed, bell)
            answer, _, descriptors = wire.exchange(question, (), descriptor=descriptor)
        finally:
            os.close(descriptor)
        assert isinstance(answer, Opened)
        self._number = answer.slot
        self._bells = tuple(descriptors)
        # A slot that is dropped without `close` must not keep its descriptors.
        self._closing = weakref.finalize(self, close_all, self._bells)
        if len(self._bells) != (2 if bell == "eventfd" else 0):
            raise LocalFault("the server did not send the slot's two eventfds")
        self._abandoned = False
        self._timeout_ms = wire.timeout_s * 1000
        self._poll = select.poll()
        if self._bells:
            self._poll.register(self._bells[1], select.POLLIN)
            self._poll.register(wire.socket, HANG_UP)
        self.shapes = tuple(spec.shape for spec in inputs)
        """Of the inputs, in order."""
        self._places = {each.name: each.offset for each in placed_inputs}
        self._view = memoryview(self._memory)
        self.inputs: Mapping[str, Tensor] = self._views(placed_inputs)
        """Write the tensors here: arrays, or flat memoryviews without numpy."""
        self._planned: Mapping[str, Tensor] = self._views(self._placed)
        self.outputs: Mapping[str, Tensor] = self._planned
        """Read the last run's results here."""

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def answer_descriptor(self) -> int | None:
        """The eventfd that is rung when `ring` is answered; None when the bell is the socket."""
        return self._bells[1] if self._bells else None

    def run(self) -> None:
        """One inference.

        Raises what a model raises (InvalidInput, InferenceFailed, ModelUnknown, Overloaded,
        DeadlineExceeded), and ServerGone.
        """
        bells = self._bells
        if self.is_broken or self._number < 0:
            raise ServerGone("this slot's connection or last run has ended; open another slot")
        if not bells:
            self._wire.signal(Kind.RUN, self._number, Kind.RAN)
        else:
            os.eventfd_write(bells[0], 1)
            found = self._poll.poll(self._timeout_ms)
            if len(found) != 1 or found[0][0] != bells[1]:
                self._look(found, late=True)
            os.eventfd_read(bells[1])
        self.settle()

    @property
    def is_broken(self) -> bool:
        """Whether its connection has ended, and with it the slot, or a run was abandoned."""
        return self._wire.gone or self._abandoned

    @property
    def timeout_s(self) -> float:
        """How long a run may take before the server is taken for gone."""
        return self._wire.timeout_s

    def abandon(self) -> None:
        """Do not wait for the answer to `ring`; the slot can only be closed then."""
        self._abandoned = True

    def check(self, *, late: bool) -> None:
        """Raise ServerGone when the server has gone, or is `late` and has not answered."""
        self._look(self._poll.poll(0), late=late)

    def write(self, name: str, data: memoryview) -> None:
        """An input's bytes, row-major; as many as it has."""
        offset = self._places[name]
        self._view[offset : offset + len(data)] = data

    def results(self) -> list[tuple[memoryview, tuple[int, ...]]]:
        """Each output's memory and shape after the last run, in order."""
        found: list[tuple[memoryview, tuple[int, ...]]] = []
        for each, shape in zip(self._placed, self._sizes(), strict=True):
            size = protocol.tensor_size(each.name, each.datatype, shape)
            found.append((self._view[each.offset : each.offset + size], shape))
        return found

    def ring(self) -> None:
        """Begin a run that `answer_descriptor` and then `settle` end; only with an eventfd."""
        if self.is_broken or self._number < 0:
            raise ServerGone("this slot's connection or last run has ended; open another slot")
        os.eventfd_write(self._bells[0], 1)

    def take_answer(self) -> None:
        """Make `answer_descriptor` quiet again, once it is readable."""
        os.eventfd_read(self._bells[1])

    def settle(self) -> None:
        """After a run was answered: see to the outputs, or raise what became of it."""
        state, code, size = STATUS.unpack_from(self._memory)
        if state == State.DONE:
            if self.outputs is not self._planned:
                self.outputs = self._planned
        elif state == State.RESHAPED:
            self.outputs = self._reshaped()
        else:
            text = self._memory[MESSAGE_OFFSET : MESSAGE_OFFSET + size]
            raise protocol.error_of(code, text.decode("utf-8", "replace"))

    def close(self) -> None:
        """Give the memory back. The tensors must not be used afterwards. Idempotent."""
        if self._number < 0:
            return
        number, self._number = self._number, -1
        self.inputs = self.outputs = self._planned = {}
        self._bells = ()
        self._closing()
        if not self._wire.gone:
            # A server that has gone has freed the slot with the connection.
            with contextlib.suppress(ServerGone):
                self._wire.signal(Kind.CLOSE, number, Kind.CLOSED)

    def _look(self, found: list[tuple[int, int]], *, late: bool) -> None:
        if any(descriptor == self._bells[1] for descriptor, _ in found):
            return
        if found:
            raise self._wire.broken("the server has gone")
        if late:
            raise self._wire.broken(f"the server did not answer within {self.timeout_s:g} s")

    def _views(self, placed: tuple[Placed, ...]) -> Mapping[str, Tensor]:
        return {each.name: self._at(each, each.shape) for each in placed}

    def _reshaped(self) -> Mapping[str, Tensor]:
        return {
            each.name: self._at(each, shape)
            for each, shape in zip(self._placed, self._sizes(), strict=True)
        }

    def _sizes(self) -> list[tuple[int, ...]]:
        if STATUS.unpack_from(self._memory)[0] != State.RESHAPED:
            return [each.shape for each in self._placed]
        found: list[tuple[int, ...]] = []
        offset = SIZES_OFFSET
        for each in self._placed:
            found.append(struct.unpack_from(f"<{len(each.shape)}q", self._memory, offset))
            offset += 8 * len(each.shape)
        return found

    def _at(self, each: Placed, shape: tuple[int, ...]) -> Tensor:
        size = protocol.tensor_size(each.name, each.datatype, shape)
        memory = self._view[each.offset : each.offset + size]
        return view_of(memory, each.datatype, shape, self._numpy)


def can_share_memory() -> bool:
    """Whether this machine has sealed memory to share (Linux)."""
    return hasattr(os, "memfd_create")
