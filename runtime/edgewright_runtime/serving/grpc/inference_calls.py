"""ModelInfer: from a message to its answer."""

import time
from collections.abc import Hashable, Mapping

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import InferenceFailed, InvalidInput, ModelUnknown, RuntimeFault
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration
from edgewright_runtime.serving.grpc.infer import (
    InferRequest,
    read_inputs,
    read_message,
    wanted_outputs,
)
from edgewright_runtime.serving.grpc.messages import MessageClass
from edgewright_runtime.serving.grpc.response import ResponseWriter
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused
from edgewright_runtime.serving.grpc.stream import Answer, Cancel
from edgewright_runtime.serving.grpc.template import Templates
from edgewright_runtime.serving.inference.failures import Failures
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from edgewright_runtime.serving.inference.tracing import Tracing
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.served_model import ServedModel


class InferenceCalls:
    """Reads requests, runs them, writes responses."""

    def __init__(
        self,
        repository: Repository,
        memory: SharedMemory,
        messages: Mapping[str, MessageClass],
        *,
        timeout_s: float,
        tracing: Tracing | None = None,
    ) -> None:
        self._repository = repository
        self._memory = memory
        self._request_class = messages["ModelInferRequest"]
        self._responses = ResponseWriter(messages["ModelInferResponse"], memory)
        self._templates = Templates()
        self._timeout_s = timeout_s
        self._tracing = tracing
        self._failures = Failures("grpc")

    @property
    def responses(self) -> ResponseWriter:
        """What writes responses."""
        return self._responses

    def infer(
        self,
        data: Buffer,
        left_s: float | None,
        client: Hashable,
        answer: Answer,
        traceparent: bytes | None = None,
    ) -> Cancel | None:
        """Answer one request with one response. Raises RuntimeFault instead."""
        started = time.perf_counter()
        request = self.read(data)
        model, active = self.serving(request)
        if model.settings.decoupled:
            raise GrpcRefused(
                Code.UNIMPLEMENTED,
                f"model '{model.name}' answers a request many times; ask it by ModelStreamInfer",
            )
        return self.run(
            request, model, active, left_s, client, answer,
            started=started, traceparent=traceparent,
        )  # fmt: skip  # what runs, then how

    def read(self, data: Buffer) -> InferRequest:
        """The request in a message. Raises InvalidInput, RegionUnknown."""
        known = self._templates.read(data)
        if known is not None:
            return known
        described, message, raw = read_message(data, self._request_class)
        try:
            inputs = read_inputs(message, raw, self._memory)
        except InvalidInput:
            served = self._repository.models.get(described.model)
            if served is None:
                self._repository.model(described.model)  # that it is unknown matters more
            else:
                served.note_invalid()
            raise
        request = InferRequest(described, message.id, inputs)
        self._templates.keep(request, data, len(raw))
        return request

    def identifier(self, data: Buffer) -> str:
        """The id in a message, of which no more may be readable; else an empty one."""
        try:
            return str(read_message(data, self._request_class)[1].id)
        except InvalidInput:
            return ""

    def serving(self, request: InferRequest) -> tuple[ServedModel, LoadedGeneration]:
        """The model that a request is for. Raises ModelUnknown, GrpcRefused."""
        described = request.described
        return serving(self._repository, described.model, described.version)

    def run(
        self,
        request: InferRequest,
        model: ServedModel,
        active: LoadedGeneration,
        left_s: float | None,
        client: Hashable,
        answer: Answer,
        *,
        started: float,
        is_final: bool | None = None,
        traceparent: bytes | None = None,
    ) -> Cancel | None:
        """Run the model once. Raises RuntimeFault."""
        described = request.described
        try:
            wanted = wanted_outputs(described, active.signature, self._memory)
        except InvalidInput:
            model.note_invalid()
            raise
        input_s = time.perf_counter() - started

        over = None
        if self._tracing is not None:
            over = self._tracing.begin(
                "grpc", model.name, request.id, traceparent, started, input_s
            )

        def done(attempt: Attempt) -> None:
            if over is not None:
                over(attempt)
            outputs = attempt.outputs
            if outputs is None:
                self._failures.note(model.name, request.id, attempt.error)
                answer(attempt.error or InferenceFailed("the engine gave no answer"))
                return
            written = time.perf_counter()
            by = attempt.answered_by
            version = by.artifact.version
            try:
                parts = self._responses.write(
                    request, wanted, outputs, version=version, is_final=is_final
                )
            except RuntimeFault as error:
                answer(error)
                return
            by.figures.converted(input_s, time.perf_counter() - written)
            answer(parts)

        options = described.options
        wait_s = options.timeout_s or self._timeout_s
        if left_s is not None and left_s < wait_s:
            wait_s = left_s
        return model.infer(
            request.inputs, deadline_s=wait_s, done=done, options=options, client=client
        )


def serving(
    repository: Repository, name: str, version: str | None
) -> tuple[ServedModel, LoadedGeneration]:
    """The model of that name and version. Raises ModelUnknown, GrpcRefused, ModelLoading."""
    model = repository.model(name)
    active = model.active
    if active is None:
        raise GrpcRefused(Code.UNAVAILABLE, f"model '{name}' is loaded but does not serve yet")
    if version is not None and version != active.artifact.version:
        raise ModelUnknown(
            f"model '{name}' has no version '{version}'; it serves '{active.artifact.version}'"
        )
    return model, active
