"""Calls beside inference: what the server and its models are, and Triton's extensions."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from edgewright_runtime.errors import InvalidInput, RegionUnknown, RuntimeFault
from edgewright_runtime.serving.grpc.inference_calls import serving
from edgewright_runtime.serving.grpc.messages import Message, MessageClass, from_document
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused
from edgewright_runtime.serving.inference import describe
from edgewright_runtime.serving.inference.extensions import Extensions
from edgewright_runtime.serving.inference.statistics import statistics
from edgewright_runtime.serving.repository import Repository

Method = Callable[[Message], Message]
Later = Callable[[Message], Coroutine[Any, Any, Message]]
_SERVING, _NOT_SERVING = 1, 2


class ControlCalls:
    """Methods by the name of their RPC; `later` has those that take time."""

    def __init__(
        self,
        repository: Repository,
        extensions: Extensions,
        messages: Mapping[str, MessageClass],
    ) -> None:
        self._repository = repository
        self._extensions = extensions
        self._made = messages
        self.methods: Mapping[str, Method] = {
            "ServerLive": lambda _: self._reply("ServerLive", live=True),
            "ServerReady": lambda _: self._reply("ServerReady", ready=self._is_ready()),
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _: self._reply("ServerMetadata", **describe.server_metadata()),
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "SystemSharedMemoryStatus": self._memory_status,
            "SystemSharedMemoryRegister": self._register,
            "SystemSharedMemoryUnregister": self._unregister,
            "CudaSharedMemoryStatus": self._cuda_status,
            "CudaSharedMemoryRegister": self._cuda_register,
            "CudaSharedMemoryUnregister": lambda _: self._reply("CudaSharedMemoryUnregister"),
            "TraceSetting": self._traces,
            "LogSettings": self._log,
        }
        self.later: Mapping[str, Later] = {
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }

    def health(self, request: Message) -> Message:
        """grpc.health.v1.Health/Check. Raises GrpcRefused."""
        status = _SERVING if self._is_ready() else _NOT_SERVING
        if request.service not in ("", "inference.GRPCInferenceService"):
            raise GrpcRefused(Code.NOT_FOUND, f"no service '{request.service}' is here")
        return self._made["HealthCheckResponse"](status=status)

    def _reply(self, method: str, **fields: object) -> Message:
        return self._made[f"{method}Response"](**fields)

    def _is_ready(self) -> bool:
        return not self._repository.waiting()

    def _model_ready(self, request: Message) -> Message:
        try:
            serving(self._repository, request.name, request.version or None)
        except RuntimeFault:
            return self._reply("ModelReady", ready=False)
        return self._reply("ModelReady", ready=True)

    def _model_metadata(self, request: Message) -> Message:
        found = serving(self._repository, request.name, request.version or None)[1]
        document = describe.model_metadata(request.name, found)
        del document["parameters"]  # the message has no place for them
        return self._reply("ModelMetadata", **document)

    def _model_config(self, request: Message) -> Message:
        model, found = serving(self._repository, request.name, request.version or None)
        document = describe.whole_config(request.name, found)
        document["model_transaction_policy"] = {"decoupled": model.settings.decoupled}
        return from_document(self._made["ModelConfigResponse"], {"config": document})

    def _model_statistics(self, request: Message) -> Message:
        document = statistics(self._repository, request.name or None, request.version or None)
        return from_document(self._made["ModelStatisticsResponse"], document)

    def _repository_index(self, request: Message) -> Message:
        models = self._extensions.loading.index(only_ready=request.ready)
        return self._reply("RepositoryIndex", models=models)

    async def _load(self, request: Message) -> Message:
        parameters = _chosen(request.parameters)
        await self._extensions.loading.load(request.model_name, parameters)
        return self._reply("RepositoryModelLoad")

    async def _unload(self, request: Message) -> Message:
        await self._extensions.loading.unload(request.model_name)
        return self._reply("RepositoryModelUnload")

    def _memory_status(self, request: Message) -> Message:
        regions = [
            {"key": region["name"], "value": region}
            for region in self._extensions.memory.status(request.name or None)
        ]
        return self._reply("SystemSharedMemoryStatus", regions=regions)

    def _register(self, request: Message) -> Message:
        name, key, memory = request.name, request.key, self._extensions.memory
        if any(region["name"] == name for region in memory.status(None)):
            raise GrpcRefused(Code.ALREADY_EXISTS, f"region '{name}' is registered already")
        memory.register(name, key, request.offset, request.byte_size)
        return self._reply("SystemSharedMemoryRegister")

    def _unregister(self, request: Message) -> Message:
        self._extensions.memory.unregister(request.name or None)
        return self._reply("SystemSharedMemoryUnregister")

    def _cuda_status(self, request: Message) -> Message:
        if request.name:
            raise RegionUnknown(f"no CUDA shared memory region '{request.name}' is registered")
        return self._reply("CudaSharedMemoryStatus")

    def _cuda_register(self, _: Message) -> Message:
        raise InvalidInput(
            "this server takes no CUDA shared memory; use system shared memory, or the local door"
        )

    def _traces(self, request: Message) -> Message:
        model = request.model_name or None
        if model is not None:
            self._repository.model(model)
        changes: dict[str, Any] = {  # Any: as `TraceSettings` checks
            entry.key: list(entry.value.value) or None for entry in request.settings
        }
        traces = self._extensions.traces
        shown = traces.update(changes, model) if changes else traces.shown(model)
        settings = [
            {"key": word, "value": {"value": value if isinstance(value, list) else [value]}}
            for word, value in shown.items()
        ]
        return self._reply("TraceSetting", settings=settings)

    def _log(self, request: Message) -> Message:
        changes = _chosen(request.settings)
        log = self._extensions.log
        changes = {word: value for word, value in changes.items() if value is not None}
        shown = log.update(changes) if changes else log.shown()
        settings = [
            {"key": word, "value": {_parameter(value): value}} for word, value in shown.items()
        ]
        return self._reply("LogSettings", settings=settings)


def _chosen(entries: Message) -> dict[str, Any]:
    """A map of values of which one kind each is set; None where none is."""
    found: dict[str, Any] = {}  # Any: bool, int, text or bytes
    for entry in entries:
        choice = entry.value.WhichOneof("parameter_choice")
        found[entry.key] = None if choice is None else getattr(entry.value, choice)
    return found


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return "bool_param"
    return "uint32_param" if isinstance(value, int) else "string_param"
