"""Paths to methods: the Open Inference Protocol with Triton's extensions, and gRPC's health."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any

from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import InvalidInput, ModelLoading, RuntimeFault, one_line
from edgewright_runtime.serving.grpc import wire
from edgewright_runtime.serving.grpc.control_calls import ControlCalls
from edgewright_runtime.serving.grpc.inference_calls import InferenceCalls
from edgewright_runtime.serving.grpc.messages import Message, MessageClass, build_messages
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused
from edgewright_runtime.serving.grpc.stream import Answer, Cancel, Exchange, Peer
from edgewright_runtime.serving.grpc.stream_infer import StreamInfer
from edgewright_runtime.serving.inference.extensions import Extensions
from edgewright_runtime.serving.models.absent import within
from edgewright_runtime.serving.repository import Repository

_SERVICE = b"/inference.GRPCInferenceService/"
_HEALTH = b"/grpc.health.v1.Health/"
_INFER = _SERVICE + b"ModelInfer"
_STREAM_INFER = _SERVICE + b"ModelStreamInfer"

_Method = tuple[MessageClass, Callable[[Message], Message]]
_Later = tuple[MessageClass, Callable[[Message], Coroutine[Any, Any, Message]]]


class OpenInferenceCalls:
    """Answers calls from a repository."""

    streamed = frozenset({_STREAM_INFER})
    """See `Application`."""

    def __init__(self, repository: Repository, extensions: Extensions, *, timeout_s: float) -> None:
        made = build_messages()
        self._timeout_s = timeout_s
        self._inference = InferenceCalls(
            repository, extensions.memory, made, timeout_s=timeout_s, tracing=extensions.tracing
        )
        self.traceparent: bytes | None = None
        """See `Application`."""
        self._infer = self._inference.infer
        self._stream_response = made["ModelStreamInferResponse"]
        control = ControlCalls(repository, extensions, made)
        self._methods: dict[bytes, _Method] = {
            _SERVICE + name.encode(): (made[f"{name}Request"], method)
            for name, method in control.methods.items()
        }
        self._later: dict[bytes, _Later] = {
            _SERVICE + name.encode(): (made[f"{name}Request"], method)
            for name, method in control.later.items()
        }
        self._methods[_HEALTH + b"Check"] = (made["HealthCheckRequest"], control.health)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(
        self,
        path: bytes,
        message: Buffer,
        timeout_s: float | None,
        client: Hashable,
        answer: Answer,
    ) -> Cancel | None:
        """See `Application`."""
        try:
            if path == _INFER:
                return self._infer(message, timeout_s, client, answer, self.traceparent)
            later = self._later.get(path)
            if later is not None:
                self._begin(later[1](wire.parse(later[0], message)), answer)
                return None
            request_class, method = self._methods[path]
            reply = method(wire.parse(request_class, message))
        except ModelLoading as error:
            if path == _INFER and error.wake is not None:
                return self._infer_when_loaded(
                    error.wake(), bytes(message), timeout_s, client, answer
                )
            answer(error)
        except RuntimeFault as error:
            answer(error)
        else:
            answer((reply.SerializeToString(),))
        return None

    def _infer_when_loaded(
        self,
        waking: Awaitable[None],
        message: bytes,
        timeout_s: float | None,
        client: Hashable,
        answer: Answer,
    ) -> Cancel:
        """Of a model that was unloaded for want of memory: when it is back, or is not."""

        async def infer() -> None:
            await within(waking, timeout_s or self._timeout_s)
            try:
                self._infer(message, timeout_s, client, answer, None)
            except RuntimeFault as error:
                answer(error)

        task = asyncio.get_running_loop().create_task(infer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    def open(self, path: bytes, peer: Peer, client: Hashable, *, wants_status: bool) -> Exchange:
        """See `Application`."""
        return StreamInfer(
            self._inference, self._stream_response, peer, client=client, wants_status=wants_status
        )

    def unanswerable(self, path: bytes) -> RuntimeFault | None:
        """See `Application`: a stream, whose end may never come, is refused at once."""
        if path in (_INFER, _STREAM_INFER) or path in self._methods or path in self._later:
            return None
        shown = path[:200].decode("utf-8", "backslashreplace")
        reason = "there is no such method"
        if path == _HEALTH + b"Watch":
            reason = "this server does not push its health; ask Check"
        return GrpcRefused(Code.UNIMPLEMENTED, f"{shown}: {reason}")

    def _begin(self, act: Coroutine[Any, Any, Message], answer: Answer) -> None:
        task = asyncio.get_running_loop().create_task(_answered(act, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _answered(act: Coroutine[Any, Any, Message], answer: Answer) -> None:
    try:
        reply = await act
    except RuntimeFault as error:
        answer(error)
    except EdgewrightError as error:
        answer(InvalidInput(one_line(error)))
    except OSError as error:
        answer(RuntimeFault(f"the model is not loaded: {one_line(error)}"))
    else:
        answer((reply.SerializeToString(),))
