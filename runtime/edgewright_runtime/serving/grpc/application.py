"""Methods to answers: the Open Inference Protocol, and what tritonclient calls beside it."""

from collections.abc import Callable, Iterable, Mapping

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import (
    InferenceFailed,
    InvalidInput,
    ModelUnknown,
    RuntimeFault,
)
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration
from edgewright_runtime.serving.grpc import wire
from edgewright_runtime.serving.grpc.infer import (
    ResponseWriter,
    read_inputs,
    read_request,
    timeout_s,
    wanted_outputs,
)
from edgewright_runtime.serving.grpc.messages import (
    CONFIG_TYPES,
    Message,
    MessageClass,
    build_messages,
)
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused
from edgewright_runtime.serving.grpc.stream import Answer, Cancel
from edgewright_runtime.serving.inference import describe
from edgewright_runtime.serving.repository import Repository, ServedModel

_SERVICE = b"/inference.GRPCInferenceService/"
_HEALTH = b"/grpc.health.v1.Health/"
_INFER = _SERVICE + b"ModelInfer"
_SERVING, _NOT_SERVING = 1, 2
_NO_STREAMS = "this server answers unary calls only; use ModelInfer, or several at a time"
_NO_LOADING = (
    "models are not loaded or unloaded over gRPC; start the server with --model, or roll a "
    "release out to this device"
)
_NO_MEMORY = "this server offers no shared memory over gRPC; send tensors in the message"
_NOT_OFFERED: Mapping[bytes, str] = {
    _SERVICE + b"ModelStreamInfer": _NO_STREAMS,
    _SERVICE + b"RepositoryModelLoad": _NO_LOADING,
    _SERVICE + b"RepositoryModelUnload": _NO_LOADING,
    **{
        _SERVICE + kind + b"SharedMemory" + act: _NO_MEMORY
        for kind in (b"System", b"Cuda")
        for act in (b"Status", b"Register", b"Unregister")
    },
    _SERVICE + b"TraceSetting": "this server keeps no trace settings",
    _SERVICE + b"LogSettings": "the log's level is set when the server starts",
    _HEALTH + b"Watch": _NO_STREAMS,
}

_Method = tuple[MessageClass, Callable[[Message], Message]]


class OpenInferenceCalls:
    """Answers calls from a repository."""

    def __init__(self, repository: Repository, *, timeout_s: float) -> None:
        self._repository = repository
        self._timeout_s = timeout_s
        made = self._messages = build_messages()
        self._infer_request = made["ModelInferRequest"]
        self._responses = ResponseWriter(made["ModelInferResponse"])
        self._methods: dict[bytes, _Method] = {
            _SERVICE + name.encode(): (made[f"{name}Request"], method)
            for name, method in {
                "ServerLive": lambda _: made["ServerLiveResponse"](live=True),
                "ServerReady": self._server_ready,
                "ModelReady": self._model_ready,
                "ServerMetadata": self._server_metadata,
                "ModelMetadata": self._model_metadata,
                "ModelConfig": self._model_config,
                "ModelStatistics": self._model_statistics,
                "RepositoryIndex": self._repository_index,
            }.items()
        }
        self._methods[_HEALTH + b"Check"] = (made["HealthCheckRequest"], self._health)

    def __call__(
        self, path: bytes, message: Buffer, timeout_s: float | None, answer: Answer
    ) -> Cancel | None:
        """See `Application`."""
        try:
            if path == _INFER:
                return self._infer(message, timeout_s, answer)
            request_class, method = self._methods[path]
            reply = method(wire.parse(request_class, message))
        except RuntimeFault as error:
            answer(error)
        else:
            answer((reply.SerializeToString(),))
        return None

    def unanswerable(self, path: bytes) -> RuntimeFault | None:
        """See `Application`: a stream, whose end may never come, is refused at once."""
        if path == _INFER or path in self._methods:
            return None
        shown = path[:200].decode("utf-8", "backslashreplace")
        reason = _NOT_OFFERED.get(path, "there is no such method")
        return GrpcRefused(Code.UNIMPLEMENTED, f"{shown}: {reason}")

    def _infer(self, data: Buffer, left_s: float | None, answer: Answer) -> Cancel | None:
        request = read_request(data, self._infer_request)
        model, active = self._serving(request.model, request.version)
        try:
            inputs = read_inputs(request)
            wanted = wanted_outputs(request, active.signature)
            wait_s = timeout_s(request) or self._timeout_s
        except InvalidInput:
            model.invalid += 1
            raise

        def done(attempt: Attempt) -> None:
            if attempt.outputs is None:
                answer(attempt.error or InferenceFailed("the engine gave no answer"))
                return
            version = attempt.answered_by.artifact.version
            answer(self._responses.write(request, wanted, attempt.outputs, version=version))

        if left_s is not None:
            wait_s = min(wait_s, left_s)
        return model.infer(inputs, deadline_s=wait_s, done=done)

    def _serving(self, name: str, version: str | None) -> tuple[ServedModel, LoadedGeneration]:
        model = self._repository.model(name)
        if model.active is None:
            raise GrpcRefused(Code.UNAVAILABLE, f"model '{name}' is loaded but does not serve yet")
        if version is not None and version != model.active.artifact.version:
            raise ModelUnknown(
                f"model '{name}' has no version '{version}'; "
                f"it serves '{model.active.artifact.version}'"
            )
        return model, model.active

    def _of_model(self, request: Message) -> tuple[str, LoadedGeneration]:
        return request.name, self._serving(request.name, request.version or None)[1]

    def _is_ready(self) -> bool:
        return all(model.active is not None for model in self._repository.models.values())

    def _server_ready(self, _: Message) -> Message:
        return self._messages["ServerReadyResponse"](ready=self._is_ready())

    def _model_ready(self, request: Message) -> Message:
        try:
            self._of_model(request)
        except (ModelUnknown, GrpcRefused):
            return self._messages["ModelReadyResponse"](ready=False)
        return self._messages["ModelReadyResponse"](ready=True)

    def _server_metadata(self, _: Message) -> Message:
        return self._messages["ServerMetadataResponse"](**describe.server_metadata())

    def _model_metadata(self, request: Message) -> Message:
        document = describe.model_metadata(*self._of_model(request))
        del document["parameters"]  # the message has no place for them
        return self._messages["ModelMetadataResponse"](**document)

    def _model_config(self, request: Message) -> Message:
        name, generation = self._of_model(request)
        document = describe.model_config(name, generation)
        for side, specs in (
            ("input", generation.signature.inputs),
            ("output", generation.signature.outputs),
        ):
            for entry, spec in zip(document[side], specs, strict=True):
                entry["data_type"] = CONFIG_TYPES[spec.datatype]
        return self._messages["ModelConfigResponse"](config=document)

    def _model_statistics(self, request: Message) -> Message:
        """What we count: `success` and `compute_infer` are engine time, without the queue."""
        models: Iterable[ServedModel] = self._repository.models.values()
        if request.name:
            models = [self._serving(request.name, request.version or None)[0]]
        return self._messages["ModelStatisticsResponse"](
            model_stats=[_statistics(model) for model in models]
        )

    def _repository_index(self, request: Message) -> Message:
        models = [
            entry
            for entry in describe.repository_index(self._repository)
            if entry["state"] == "READY" or not request.ready
        ]
        return self._messages["RepositoryIndexResponse"](models=models)

    def _health(self, request: Message) -> Message:
        status = _SERVING if self._is_ready() else _NOT_SERVING
        if request.service not in ("", "inference.GRPCInferenceService"):
            raise GrpcRefused(Code.NOT_FOUND, f"no service '{request.service}' is here")
        return self._messages["HealthCheckResponse"](status=status)


def _statistics(model: ServedModel) -> dict[str, object]:
    figures = model.figures
    engine = {"count": figures.latencies.count, "ns": int(figures.latencies.sum_s * 1e9)}
    return {
        "name": model.name,
        "version": model.active.artifact.version if model.active is not None else "",
        "inference_count": figures.latencies.count,
        "execution_count": figures.latencies.count,
        "inference_stats": {
            "success": engine,
            "fail": {"count": figures.errors},
            "compute_infer": engine,
        },
    }
