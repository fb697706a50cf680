"""One slot: a model's tensors in a client's memory, bound to the generation that serves."""

import contextlib
import mmap
import struct
import time
from collections.abc import Callable, Hashable, Mapping
from weakref import ref

from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.binding import OutputsDiffer, Run, bind, store
from edgewright_runtime.engine.describing import names
from edgewright_runtime.engine.elements import truth_bytes
from edgewright_runtime.engine.raw_tensor import RawTensor, check_raw_inputs
from edgewright_runtime.errors import InferenceFailed, InvalidInput, LocalFault, RuntimeFault
from edgewright_runtime.local_protocol import (
    MESSAGE_OFFSET,
    SIZES_OFFSET,
    STATUS,
    STATUS_BYTES,
    Open,
    Placed,
    State,
    code_of,
    tensor_size,
)
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.request_options import read_timeout_s

_STAGED: frozenset[DataType] = frozenset({"BOOL", "INT32", "INT64"})
"""Copied, never bound. Engines check indices (INT32, INT64) and then use them, and take any
bool for 0 or 1: a client that writes meanwhile would have them read or write anywhere. What
other types hold can make a result wrong, but cannot lead astray."""
_MESSAGE_BYTES = STATUS_BYTES - MESSAGE_OFFSET
_DONE = STATUS.pack(State.DONE, 0, 0)


class LocalSlot:
    """Runs one model over one client's memory; one thread at a time."""

    def __init__(
        self,
        repository: Repository,
        document: Open,
        memory: mmap.mmap,
        *,
        timeout_s: float,
        client: Hashable = None,
    ) -> None:
        """Raises ModelUnknown; InvalidInput when the tensors are not the model's, or the time-out
        is none.
        """
        self._repository = repository
        self._model = document.model
        self._memory = memory
        self._client = client
        self._deadline_s = read_timeout_s(document.timeout_us) or timeout_s
        self._inputs = _views(memory, document.inputs)
        self._outputs = _views(memory, document.outputs)
        self._stages_inputs = any(each.datatype in _STAGED for each in document.inputs)
        self._stages_outputs = any(each.datatype in _STAGED for each in document.outputs)
        model = repository.model(document.model)
        signature = model.serving().signature
        if model.sequences is not None:
            raise InvalidInput(f"model '{model.name}' keeps state: it has no slots; use INFER")
        check_raw_inputs(signature, self._inputs)
        given = [(each.name, each.datatype, len(each.shape)) for each in document.outputs]
        if given != [(each.name, each.datatype, len(each.shape)) for each in signature.outputs]:
            raise InvalidInput(
                f"a slot has room for all outputs in order: {names(signature.outputs)}"
            )
        self._run: Run | None = None
        self._run_of: Callable[[], LoadedGeneration | None] = lambda: None
        self._answer: Callable[[], object] = _nothing

    def run(self, answer: Callable[[], object]) -> None:
        """One inference; the status is written before `answer` is called.

        Raises only what `answer` raises: LocalFault, when the client does not take it.
        """
        self._answer = answer
        try:
            self._repository.model(self._model).answer(
                self._work, deadline_s=self._deadline_s, done=self._finish, client=self._client
            )
        except LocalFault:
            raise  # of `answer`, which is not tried again
        except RuntimeFault as error:
            self._fail(error)
            answer()

    def close(self) -> None:
        """Let go of the memory."""
        self._run = None
        self._run_of = lambda: None
        self._inputs, self._outputs = {}, {}
        with contextlib.suppress(BufferError):
            # An engine that still looks at it lets go later, and with it the mapping.
            self._memory.close()

    def _work(self, active: LoadedGeneration, fallback: LoadedGeneration | None) -> Attempt:
        if fallback is not None:
            # On probation the outputs are looked at before anybody sees them.
            return attempt(active, fallback, self._given())
        run = self._run
        if run is None or self._run_of() is not active:
            return self._rebind(active)
        started = time.perf_counter()
        try:
            run()
        except (InferenceFailed, OutputsDiffer):
            # Sizes that depend on the values, or a failure: what of the two, it shows unbound.
            self._run = None
            return attempt(active, None, self._given())
        return Attempt(None, None, active, time.perf_counter() - started)

    def _rebind(self, active: LoadedGeneration) -> Attempt:
        """The first run on a generation: unbound, which also tells what sizes it gives."""
        self._run = None
        self._run_of = lambda: None
        found = attempt(active, None, self._given())
        outputs = found.outputs
        if outputs is not None and all(
            outputs[name].shape == room.shape and outputs[name].datatype == room.datatype
            for name, room in self._outputs.items()
        ):
            self._run = self._bound(active)
            # Weak: a slot that waits must not keep an unloaded model in memory.
            self._run_of = ref(active)
        return found

    def _bound(self, active: LoadedGeneration) -> Run:
        inputs, outputs = self._given(), self._outputs
        if self._stages_outputs:
            outputs = {
                name: _private(room) if _is_staged(room) else room for name, room in outputs.items()
            }
        run = bind(active.session, inputs, outputs)
        if not self._stages_inputs and not self._stages_outputs:
            return run

        def staged() -> None:
            for name, tensor in inputs.items():
                if _is_staged(tensor):
                    _copy_in(tensor, self._inputs[name])
            run()
            for name, tensor in outputs.items():
                if _is_staged(tensor):
                    memoryview(self._outputs[name].data)[:] = tensor.data

        return staged

    def _given(self) -> Mapping[str, RawTensor]:
        """The inputs, with copies of those that must not change while an engine runs."""
        if not self._stages_inputs:
            return self._inputs
        given: dict[str, RawTensor] = {}
        for name, tensor in self._inputs.items():
            given[name] = tensor
            if _is_staged(tensor):
                given[name] = _private(tensor)
                _copy_in(given[name], tensor)
        return given

    def _finish(self, found: Attempt) -> None:
        try:
            if found.error is not None:
                self._fail(found.error)
            elif found.outputs is None:
                self._memory[: STATUS.size] = _DONE
            else:
                self._store(found.outputs)
        except InvalidInput as error:
            self._fail(error)
        self._answer()

    def _store(self, outputs: Mapping[str, RawTensor]) -> None:
        """What an engine gave outside of the memory goes there, with its sizes if others."""
        try:
            store(outputs, self._outputs)
        except OutputsDiffer:
            for name, room in self._outputs.items():
                if outputs[name].nbytes > room.nbytes:
                    raise InvalidInput(
                        f"output '{name}' has shape {list(outputs[name].shape)}, which the "
                        f"slot's {room.nbytes} bytes for it do not hold; open a larger one"
                    ) from None
            sizes: list[int] = []
            for name, room in self._outputs.items():
                found = outputs[name]
                memoryview(room.data)[: found.nbytes] = found.data
                sizes += found.shape
            struct.pack_into(f"<{len(sizes)}q", self._memory, SIZES_OFFSET, *sizes)
            self._memory[: STATUS.size] = STATUS.pack(State.RESHAPED, 0, 0)
        else:
            self._memory[: STATUS.size] = _DONE

    def _fail(self, error: RuntimeFault) -> None:
        text = str(error).encode("utf-8")[:_MESSAGE_BYTES].decode("utf-8", "ignore").encode()
        self._memory[MESSAGE_OFFSET : MESSAGE_OFFSET + len(text)] = text
        self._memory[: STATUS.size] = STATUS.pack(State.FAILED, code_of(error), len(text))


def _views(memory: mmap.mmap, tensors: tuple[Placed, ...]) -> dict[str, RawTensor]:
    whole = memoryview(memory)
    found = {}
    for each in tensors:
        size = tensor_size(each.name, each.datatype, each.shape)
        data = whole[each.offset : each.offset + size]
        found[each.name] = RawTensor(each.datatype, each.shape, data)
    return found


def _is_staged(tensor: RawTensor) -> bool:
    return tensor.datatype in _STAGED


def _private(tensor: RawTensor) -> RawTensor:
    return RawTensor(tensor.datatype, tensor.shape, bytearray(tensor.nbytes))


def _copy_in(private: RawTensor, shared: RawTensor) -> None:
    is_truth = shared.datatype == "BOOL"
    memoryview(private.data)[:] = truth_bytes(shared.data) if is_truth else shared.data


def _nothing() -> None:
    return None
