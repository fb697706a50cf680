"""ModelStreamInfer: many requests over one call, answered in the order in which they came.

A model whose settings say `decoupled` answers each item of its inputs' first axis by itself, as
soon as it is ready: 0 to n responses to one request, whose tensors have the size 1 there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Hashable, Sequence
from functools import partial

from edgewright_runtime.engine.raw_tensor import Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput, RuntimeFault
from edgewright_runtime.serving.generation import LoadedGeneration
from edgewright_runtime.serving.grpc.infer import InferRequest
from edgewright_runtime.serving.grpc.inference_calls import InferenceCalls
from edgewright_runtime.serving.grpc.messages import MessageClass
from edgewright_runtime.serving.grpc.status import GrpcRefused, code_of
from edgewright_runtime.serving.grpc.stream import Cancel, Peer
from edgewright_runtime.serving.grpc.wire import bytes_field
from edgewright_runtime.serving.served_model import ServedModel

WANTS_FINAL = "triton_enable_empty_final_response"
_RESPONSE = 2
_NO_ITEM = "a decoupled model needs inputs with the same first axis, which its items lie along"


class _Turn:
    """One request, and its answers that wait for those before it."""

    __slots__ = ("answers", "cancel", "is_done", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.answers: list[Sequence[Buffer] | RuntimeFault] = []
        self.is_done = False
        self.cancel: Cancel | None = None


class StreamInfer:
    """One call; see `Exchange`."""

    def __init__(
        self,
        calls: InferenceCalls,
        response_class: MessageClass,
        peer: Peer,
        *,
        client: Hashable,
        wants_status: bool,
    ) -> None:
        self._calls = calls
        self._response_class = response_class
        self._peer = peer
        self._client = client
        self._wants_status = wants_status
        self._turns: deque[_Turn] = deque()
        self._is_ended = False
        self._end: RuntimeFault | None = None
        self._is_writing = False

    def take(self, message: Buffer) -> None:
        """See `Exchange`."""
        turn = _Turn(len(message))
        self._turns.append(turn)
        identifier = ""
        try:
            started = time.perf_counter()
            request = self._calls.read(message)
            identifier = request.id
            model, active = self._calls.serving(request)
            if model.settings.decoupled:
                self._begin_items(turn, request, model, active)
                return
            answer = partial(self._answered, turn, identifier, True)
            turn.cancel = self._calls.run(
                request, model, active, None, self._client, answer,
                started=started, is_final=True,
            )  # fmt: skip  # what runs, then how
        except RuntimeFault as error:
            identifier = identifier or self._calls.identifier(message)
            self._answered(turn, identifier, True, error)

    def end(self, error: RuntimeFault | None = None) -> None:
        """See `Exchange`."""
        self._is_ended, self._end = True, error
        self._write()

    def forget(self) -> None:
        """See `Exchange`."""
        turns, self._turns = self._turns, deque()
        for turn in turns:
            turn.is_done = True
            if turn.cancel is not None:
                turn.cancel()

    def _begin_items(
        self, turn: _Turn, request: InferRequest, model: ServedModel, active: LoadedGeneration
    ) -> None:
        items = _items(request.inputs)
        wants_final = request.described.parameters.get(WANTS_FINAL) is True
        loop = asyncio.get_running_loop()

        def next_item() -> None:
            if turn.is_done:
                return
            inputs = next(items, None)
            if inputs is None:
                if wants_final:
                    version = active.artifact.version
                    turn.answers.append((self._calls.responses.write_empty(request, version),))
                turn.is_done = True
                self._write()
                return
            one = InferRequest(request.described, request.id, inputs)
            try:
                turn.cancel = self._calls.run(
                    one, model, active, None, self._client, answered,
                    started=time.perf_counter(), is_final=False,
                )  # fmt: skip  # what runs, then how
            except RuntimeFault as error:
                self._answered(turn, request.id, True, error)

        def answered(reply: Sequence[Buffer] | RuntimeFault) -> None:
            is_last = isinstance(reply, RuntimeFault)
            self._answered(turn, request.id, is_last, reply)
            if not is_last:
                loop.call_soon(next_item)  # not deeper and deeper, where models are quick

        next_item()

    def _answered(
        self,
        turn: _Turn,
        identifier: str,
        is_last: bool,
        reply: Sequence[Buffer] | RuntimeFault,
    ) -> None:
        if turn.is_done:
            return  # nobody waits any more
        turn.is_done = is_last
        if isinstance(reply, RuntimeFault):
            reply = self._refused(identifier, reply)
        turn.answers.append(reply)
        self._write()

    def _refused(self, identifier: str, error: RuntimeFault) -> Sequence[Buffer] | RuntimeFault:
        if self._wants_status:
            return GrpcRefused(code_of(error), str(error))
        message = self._response_class(
            error_message=str(error) or "the request failed", infer_response={"id": identifier}
        )
        return _Whole((message.SerializeToString(),))

    def _write(self) -> None:
        """What the first request has been answered; then the next one, when it is done."""
        if self._is_writing:
            return
        self._is_writing = True
        while self._turns:
            turn = self._turns[0]
            answers, turn.answers = turn.answers, []
            for answer in answers:
                if isinstance(answer, RuntimeFault):
                    self._is_writing = False
                    self._peer.close(answer)
                    return
                self._peer.send(answer if isinstance(answer, _Whole) else _response(answer))
            if not turn.is_done:
                break
            if self._turns and self._turns[0] is turn:
                self._turns.popleft()
            self._peer.release(turn.size)
        self._is_writing = False
        if self._is_ended and not self._turns:
            self._is_ended = False
            self._peer.close(self._end)


class _Whole(tuple[Buffer, ...]):
    """A ModelStreamInferResponse, not a ModelInferResponse that one is still to be put around."""


def _response(parts: Sequence[Buffer]) -> Sequence[Buffer]:
    return (bytes_field(_RESPONSE, sum(map(len, parts))), *parts)


def _items(inputs: dict[str, RawTensor]) -> "_Items":
    counts = {tensor.shape[0] if tensor.shape else -1 for tensor in inputs.values()}
    if len(counts) != 1 or -1 in counts:
        raise InvalidInput(_NO_ITEM)
    return _Items(inputs, counts.pop())


class _Items:
    """The items of tensors along their first axis, one after the other, without a copy."""

    def __init__(self, inputs: dict[str, RawTensor], count: int) -> None:
        self._inputs = inputs
        self._count = count
        self._at = 0

    def __iter__(self) -> "_Items":
        return self

    def __next__(self) -> dict[str, RawTensor]:
        if self._at >= self._count:
            raise StopIteration
        at, self._at = self._at, self._at + 1
        return {name: self._item(tensor, at) for name, tensor in self._inputs.items()}

    def _item(self, tensor: RawTensor, at: int) -> RawTensor:
        shape = (1, *tensor.shape[1:])
        if tensor.elements is not None:
            size = len(tensor.elements) // self._count
            return RawTensor(
                tensor.datatype, shape, elements=tensor.elements[at * size : (at + 1) * size]
            )
        size = memoryview(tensor.data).nbytes // self._count
        return RawTensor(
            tensor.datatype, shape, memoryview(tensor.data)[at * size : (at + 1) * size]
        )
