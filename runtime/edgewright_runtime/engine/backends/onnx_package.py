"""ONNX models on ONNX Runtime."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from edgewright_manifests.signature import DYNAMIC, DataType, ModelSignature, TensorSpec

from edgewright_runtime.engine.backends.onnx_binding import OnnxBinding
from edgewright_runtime.engine.providers import ANYWHERE, Wanted, registered
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.telemetry import forbid_telemetry
from edgewright_runtime.engine.tensors import Tensor, check_inputs, from_raw
from edgewright_runtime.errors import (
    BackendUnavailable,
    InferenceFailed,
    InvalidInput,
    ModelRejected,
    one_line,
)

_TYPES: Mapping[str, DataType] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_log = logging.getLogger(__name__)
_SILENT = 4  # ORT_LOGGING_LEVEL_FATAL: a failing model is one line of ours, not a page on stderr


class OnnxSession:
    """An ONNX Runtime session; ONNX Runtime itself allows concurrent runs."""

    def __init__(self, path: Path, runtime: Any, session: Any) -> None:  # Any: it ships no types
        self._errors = _library_errors(runtime)
        self._session = session
        self.signature = ModelSignature(
            inputs=tuple(_spec(path, tensor) for tensor in session.get_inputs()),
            outputs=tuple(_spec(path, tensor) for tensor in session.get_outputs()),
        )
        self.placement = _placement(session)
        self._outputs = [spec.name for spec in self.signature.outputs]
        self._input_bytes = [s.name for s in self.signature.inputs if s.datatype == "BYTES"]
        self._output_bytes = [s.name for s in self.signature.outputs if s.datatype == "BYTES"]
        self._bindings: WeakSet[OnnxBinding] = WeakSet()

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`."""
        check_inputs(self.signature, inputs)
        session = self._session
        if session is None:
            raise InferenceFailed("the model was unloaded")
        if self._input_bytes:
            inputs = {
                name: _to_text(name, array) if name in self._input_bytes else array
                for name, array in inputs.items()
            }
        try:
            found = session.run(self._outputs, inputs)
        except self._errors as error:
            raise InferenceFailed(f"onnxruntime: {one_line(error)}") from error
        outputs = dict(zip(self._outputs, found, strict=True))
        for name in self._output_bytes:
            outputs[name] = _to_bytes(outputs[name])
        return outputs

    def bind(
        self, inputs: Mapping[str, RawTensor], outputs: Mapping[str, RawTensor]
    ) -> OnnxBinding:
        """See `BindsInPlace.bind`. Raises InvalidInput for strings, which have no place."""
        session = self._session
        if session is None:
            raise InferenceFailed("the model was unloaded")
        if self._input_bytes or self._output_bytes:
            raise InvalidInput("BYTES tensors cannot be bound in place")
        try:
            binding = OnnxBinding(session, self._errors, _arrays(inputs), _arrays(outputs))
        except self._errors as error:
            raise InferenceFailed(f"onnxruntime: {one_line(error)}") from error
        self._bindings.add(binding)
        return binding

    def close(self) -> None:
        """See `Session.close`."""
        self._session = None
        # A binding that is kept for a next request would keep the whole model in memory.
        for binding in list(self._bindings):
            binding.release()


def open_artifact(path: Path, *, threads: int, wanted: Wanted = ANYWHERE) -> OnnxSession:
    """Load an `.onnx` file. Raises BackendUnavailable, ModelRejected."""
    forbid_telemetry()
    try:
        import onnxruntime as runtime
    except ImportError as error:
        raise BackendUnavailable(
            "onnx",
            f"onnxruntime cannot be imported ({one_line(error)})",
            "pip install 'edgewright-runtime[onnx]'",
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    # Spinning threads cost 30-50 times the CPU at 20 inferences a second for 8 % latency.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    providers: list[Any] = ["CPUExecutionProvider"]
    if not wanted.is_plain:
        providers = list(registered(wanted, runtime.get_available_providers(), threads))
        if wanted.cache is not None:
            for name in ("tensorrt", "openvino"):
                (wanted.cache / name).mkdir(parents=True, exist_ok=True)
        if "cpu" not in wanted.providers:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    while True:
        try:
            # With its own fallback a provider that fails is replaced by the CPU without a word.
            session = runtime.InferenceSession(
                str(path), options, providers=providers, enable_fallback=0
            )
        except _library_errors(runtime) as error:
            if len(providers) == 1:
                problem = f"onnxruntime refuses it: {one_line(error)}"
                raise ModelRejected(path, problem) from error
            failed, *providers = providers
            _log.warning("provider fails provider=%s reason=%s", failed[0], one_line(error))
        else:
            return OnnxSession(path, runtime, session)


def _library_errors(runtime: Any) -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions share no base class; all of them, and what its Python raises."""
    state = runtime.capi.onnxruntime_pybind11_state
    own = [kind for kind in vars(state).values() if isinstance(kind, type)]
    return (
        *(kind for kind in own if issubclass(kind, Exception)),
        RuntimeError,
        ValueError,
        TypeError,
    )


def _spec(path: Path, tensor: Any) -> TensorSpec:
    datatype = _TYPES.get(tensor.type)
    if datatype is None:
        raise ModelRejected(
            path,
            f"'{tensor.name}' has type {tensor.type}, which the Open Inference Protocol lacks",
        )
    shape = tuple(size if isinstance(size, int) else DYNAMIC for size in tensor.shape)
    return TensorSpec(name=tensor.name, datatype=datatype, shape=shape)


def _placement(session: Any) -> str:
    """The execution providers that nodes were really assigned to, most nodes first."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        # Before 1.23 the library proves only which providers were registered.
        return f"onnxruntime {'+'.join(session.get_providers())}"
    nodes: Counter[str] = Counter()
    for subgraph in session.get_provider_graph_assignment_info():
        nodes[subgraph.ep_name] += len(subgraph.get_nodes())
    providers = [name for name, _ in nodes.most_common()] or session.get_providers()
    return f"onnxruntime {'+'.join(providers)}"


def _arrays(tensors: Mapping[str, RawTensor]) -> dict[str, Tensor]:
    return {name: from_raw(tensor) for name, tensor in tensors.items()}


def _to_text(name: str, array: Tensor) -> Tensor:
    """ONNX strings are UTF-8 text; ONNX Runtime takes them as `str`."""
    try:
        flat = [item.decode("utf-8") for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"input '{name}': ONNX strings must be UTF-8 ({error})") from error
    text = np.empty(len(flat), np.object_)
    text[:] = flat
    return text.reshape(array.shape)


def _to_bytes(array: Tensor) -> Tensor:
    flat = np.empty(array.size, np.object_)
    flat[:] = [str(item).encode("utf-8") for item in array.ravel()]
    return flat.reshape(array.shape)
