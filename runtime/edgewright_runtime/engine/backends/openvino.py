"""OpenVINO's intermediate representation (`.xml` and `.bin`) on its CPU plugin."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from edgewright_manifests.signature import DYNAMIC, DataType, ModelSignature, TensorSpec

from edgewright_runtime.engine.providers import ANYWHERE, Wanted
from edgewright_runtime.engine.telemetry import forbid_telemetry
from edgewright_runtime.engine.tensors import Tensor, check_inputs
from edgewright_runtime.errors import (
    BackendUnavailable,
    InferenceFailed,
    ModelRejected,
    one_line,
)

_TYPES: Mapping[str, DataType] = {
    "boolean": "BOOL",
    "u8": "UINT8",
    "u16": "UINT16",
    "u32": "UINT32",
    "u64": "UINT64",
    "i8": "INT8",
    "i16": "INT16",
    "i32": "INT32",
    "i64": "INT64",
    "f16": "FP16",
    "f32": "FP32",
    "f64": "FP64",
}


class OpenVinoSession:
    """A compiled model with one infer request, which only one thread may use at a time."""

    def __init__(self, path: Path, compiled: Any) -> None:  # Any: openvino ships no types
        self.signature = ModelSignature(
            inputs=tuple(_spec(path, port) for port in compiled.inputs),
            outputs=tuple(_spec(path, port) for port in compiled.outputs),
        )
        devices = compiled.get_property("EXECUTION_DEVICES")
        self.placement = f"openvino {'+'.join(devices)}"
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`."""
        check_inputs(self.signature, inputs)
        # By position: a port may have several names, of which the signature shows one.
        given = {
            index: np.ascontiguousarray(inputs[spec.name]).reshape(inputs[spec.name].shape)
            for index, spec in enumerate(self.signature.inputs)
        }
        with self._lock:
            if self._request is None:
                raise InferenceFailed("the model was unloaded")
            try:
                found = self._request.infer(given, share_inputs=True, share_outputs=False)
            except (RuntimeError, TypeError, ValueError) as error:
                raise InferenceFailed(f"openvino: {one_line(error)}") from error
            return {spec.name: found[i] for i, spec in enumerate(self.signature.outputs)}

    def close(self) -> None:
        """See `Session.close`."""
        with self._lock:
            self._request = None
            self._compiled = None


def open_artifact(path: Path, *, threads: int, wanted: Wanted = ANYWHERE) -> OpenVinoSession:
    """Load an `.xml` whose weights are in the `.bin` beside it, on the first device that is there.

    Raises BackendUnavailable, ModelRejected.
    """
    forbid_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise BackendUnavailable(
            "openvino",
            f"openvino cannot be imported ({one_line(error)})",
            "pip install 'edgewright-runtime[openvino]'",
        ) from error
    if path.suffix != ".xml":
        raise ModelRejected(path, "an OpenVINO model is an .xml with its .bin beside it")
    try:
        core = openvino.Core()
        if wanted.cache is not None:
            core.set_property({"CACHE_DIR": str(wanted.cache / "openvino")})
        device = _device(core.available_devices, wanted)
        compiled = core.compile_model(
            core.read_model(str(path)), device, _properties(device, threads)
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ModelRejected(path, f"openvino refuses it: {one_line(error)}") from error
    return OpenVinoSession(path, compiled)


def _device(available: Sequence[str], wanted: Wanted) -> str:
    """`GPU.0` and `GPU.1` are both a `gpu`; without any that is wanted it is the CPU."""
    for name in wanted.providers:
        for device in available:
            if device.split(".")[0].lower() == name:
                return device
    return "CPU"


def _properties(device: str, threads: int) -> dict[str, str | int]:
    if device != "CPU":
        return {"PERFORMANCE_HINT": "LATENCY"}
    return {
        # Its default is bf16 or f16 where the processor has it, which moved box coordinates
        # by more than a pixel; the accuracy in the bundle was measured with f32.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
    }


def _spec(path: Path, port: Any) -> TensorSpec:
    word = port.element_type.get_type_name()
    if not port.names:
        raise ModelRejected(path, "an input or output has no name; convert it again with names")
    name = port.any_name
    datatype = _TYPES.get(word)
    if datatype is None:
        raise ModelRejected(
            path, f"'{name}' has type {word}, which the Open Inference Protocol lacks"
        )
    partial = port.partial_shape
    if partial.rank.is_dynamic:
        raise ModelRejected(path, f"'{name}' has no fixed number of dimensions")
    shape = tuple(DYNAMIC if size.is_dynamic else size.get_length() for size in partial)
    return TensorSpec(name=name, datatype=datatype, shape=shape)
