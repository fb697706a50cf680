"""A loaded model on the CPU, called from any thread."""

import contextlib
import ctypes
import time
from collections import deque
from collections.abc import Mapping, Sequence
from ctypes import c_char_p, c_size_t, c_void_p
from pathlib import Path
from weakref import WeakSet

from edgewright_manifests.signature import ModelSignature, TensorSpec

from edgewright_runtime.engine.onnxruntime_c.lanes import Lanes
from edgewright_runtime.engine.onnxruntime_c.library import (
    Api,
    CallFailed,
    LibraryMissing,
    Pointer,
    load_api,
)
from edgewright_runtime.engine.onnxruntime_c.values import (
    DATATYPES,
    OTHER_TYPES,
    Place,
    input_value,
    read_value,
    type_and_shape,
    value_at,
)
from edgewright_runtime.engine.raw_tensor import RawTensor, check_raw_inputs
from edgewright_runtime.errors import InferenceFailed, ModelRejected, one_line

_CONFIG = (
    # Spinning threads cost 30-50 times the CPU at 20 inferences a second for 8 % latency.
    (b"session.intra_op.allow_spinning", b"0"),
    (b"session.inter_op.allow_spinning", b"0"),
)
_LOG_FATAL = 4
_POLL_S = 0.0005


class CSession:
    """ONNX Runtime itself allows concurrent runs; closing waits for those that run."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Load the file. Raises LibraryMissing, ModelRejected."""
        self._api = load_api()
        self._running: deque[None] = deque()
        """One element per run that is under way; a deque counts without a lock's cost."""
        self._bindings: WeakSet[CBinding] = WeakSet()
        try:
            self._session: int | None = _open(self._api, path, threads)
        except CallFailed as error:
            raise ModelRejected(path, f"onnxruntime refuses it: {one_line(error)}") from error
        try:
            self.signature = _signature(self._api, self._session, path)
            _check_no_text(self.signature)
        except CallFailed as error:
            self._api.release("ReleaseSession", self._session)
            raise ModelRejected(path, f"onnxruntime refuses it: {one_line(error)}") from error
        except (ModelRejected, LibraryMissing):
            self._api.release("ReleaseSession", self._session)
            raise
        self._input_names = _names(self.signature.inputs)
        self._output_names = _names(self.signature.outputs)
        self._given = c_void_p * len(self.signature.inputs)
        self._found = c_void_p * len(self.signature.outputs)
        self._lanes = Lanes(self.signature, self.bind)

    def infer(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
        """Outputs by name. Raises InvalidInput, InferenceFailed."""
        check_raw_inputs(self.signature, inputs)
        try:
            found = self._lanes.infer(inputs)
        except InferenceFailed:
            found = self._infer_anew(inputs)  # raises again where it is the inputs' doing
            self._lanes.close()
        return self._infer_anew(inputs) if found is None else found

    def _infer_anew(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
        """With values made for this request."""
        api, session = self._api, self._enter()
        given, found = self._given(), self._found()
        kept = []  # memory that the values point to
        try:
            for index, spec in enumerate(self.signature.inputs):
                given[index], held = input_value(api, inputs[spec.name])
                kept.append(held)
            status = api.run(
                session, None, self._input_names, given, len(given),
                self._output_names, len(found), found,
            )  # fmt: skip  # the C function's order
            api.check(status)
            return {
                spec.name: read_value(api, value, spec)
                for spec, value in zip(self.signature.outputs, found, strict=True)
            }
        except CallFailed as error:
            raise InferenceFailed(f"onnxruntime: {one_line(error)}") from error
        finally:
            for value in (*given, *found):
                if value:
                    api.release_value(value)
            self._leave()

    def bind(self, inputs: Sequence[Place], outputs: Sequence[Place]) -> "CBinding":
        """An inference over memory that stays where it is. Raises InferenceFailed."""
        self._enter()
        try:
            binding = CBinding(self, self._api, inputs, outputs)
            self._bindings.add(binding)  # before closing may look for what to release
        except CallFailed as error:
            raise InferenceFailed(f"onnxruntime: {one_line(error)}") from error
        finally:
            self._leave()
        return binding

    def close(self) -> None:
        """Wait for what runs, and free the model. Idempotent."""
        session, self._session = self._session, None
        while self._running:  # whoever enters from now on sees that it is closed
            time.sleep(_POLL_S)
        self._lanes.close()
        for binding in list(self._bindings):
            binding.release()
        if session:
            self._api.release("ReleaseSession", session)

    def __del__(self) -> None:
        if getattr(self, "_lanes", None) is not None:  # or it was never opened
            self.close()

    def _enter(self) -> int:
        self._running.append(None)
        session = self._session
        if session is None:
            self._running.pop()
            raise InferenceFailed("the model was unloaded")
        return session

    def _leave(self) -> None:
        self._running.pop()


class CBinding:
    """One inference over a caller's memory. Calling it makes no value and copies nothing."""

    def __init__(
        self, session: CSession, api: Api, inputs: Sequence[Place], outputs: Sequence[Place]
    ) -> None:
        self._enter, self._leave = session._enter, session._leave
        self._api = api
        self._call = api.run
        self._values: list[int] = []
        self._kept = [place.kept for place in (*inputs, *outputs)]
        try:
            for place in (*inputs, *outputs):
                value = value_at(api, place.address, place.nbytes, place.datatype, place.shape)
                self._values.append(value)
        except CallFailed:
            self.release()
            raise
        self._arguments: tuple[object, ...] = (
            None,
            (c_char_p * len(inputs))(*(place.name.encode() for place in inputs)),
            (c_void_p * len(inputs))(*self._values[: len(inputs)]),
            len(inputs),
            (c_char_p * len(outputs))(*(place.name.encode() for place in outputs)),
            len(outputs),
            (c_void_p * len(outputs))(*self._values[len(inputs) :]),
        )

    def __call__(self) -> None:
        """Run. Raises InferenceFailed, also after `release`."""
        handle = self._enter()
        try:
            if not self._values:
                raise InferenceFailed("the model was unloaded")
            status = self._call(handle, *self._arguments)
            if status:
                self._api.check(status)
        except CallFailed as error:
            raise InferenceFailed(f"onnxruntime: {one_line(error)}") from error
        finally:
            self._leave()

    def release(self) -> None:
        """Let go of the memory. Idempotent; not while it runs."""
        with contextlib.suppress(IndexError):
            while True:  # one by one: whoever else releases meanwhile takes others
                self._api.release_value(self._values.pop())
        self._kept.clear()

    __del__ = release


def _open(api: Api, path: Path, threads: int) -> int:
    options, session = Pointer(), Pointer()
    api.call("CreateSessionOptions", ctypes.byref(options))
    try:
        api.call("SetIntraOpNumThreads", options, threads)
        api.call("SetInterOpNumThreads", options, 1)
        api.call("SetSessionLogSeverityLevel", options, _LOG_FATAL)
        for key, value in _CONFIG:
            api.call("AddSessionConfigEntry", options, key, value)
        api.call("CreateSession", api.environment, bytes(path), options, ctypes.byref(session))
    finally:
        api.release("ReleaseSessionOptions", options)
    assert session.value is not None  # or the call would have failed
    return session.value


def _signature(api: Api, session: int, path: Path) -> ModelSignature:
    return ModelSignature(
        inputs=tuple(_specs(api, session, path, "Input")),
        outputs=tuple(_specs(api, session, path, "Output")),
    )


def _check_no_text(signature: ModelSignature) -> None:
    """Strings with zero bytes in them need functions that are newer than API_VERSION's use."""
    if any(spec.datatype == "BYTES" for spec in (*signature.inputs, *signature.outputs)):
        raise LibraryMissing("models with BYTES tensors run on the Python package")


def _specs(api: Api, session: int, path: Path, side: str) -> list[TensorSpec]:
    count = c_size_t()
    api.call(f"SessionGet{side}Count", session, ctypes.byref(count))
    return [_spec(api, session, path, side, index) for index in range(count.value)]


def _spec(api: Api, session: int, path: Path, side: str, index: int) -> TensorSpec:
    text = Pointer()
    api.call(f"SessionGet{side}Name", session, index, api.allocator, ctypes.byref(text))
    name = ctypes.string_at(text).decode("utf-8", "replace")
    api.call("AllocatorFree", api.allocator, text)
    info, tensor = Pointer(), Pointer()
    api.call(f"SessionGet{side}TypeInfo", session, index, ctypes.byref(info))
    try:
        api.call("CastTypeInfoToTensorInfo", info, ctypes.byref(tensor))
        if not tensor:
            raise ModelRejected(path, f"'{name}' is no tensor")
        number, shape = type_and_shape(api, tensor)
    finally:
        api.release("ReleaseTypeInfo", info)  # the tensor's part of it goes along
    datatype = DATATYPES.get(number)
    if datatype is None:
        kind = OTHER_TYPES.get(number, f"ONNX type {number}")
        raise ModelRejected(
            path, f"'{name}' has type {kind}, which the Open Inference Protocol lacks"
        )
    return TensorSpec(name=name, datatype=datatype, shape=shape)


def _names(specs: Sequence[TensorSpec]) -> "ctypes.Array[c_char_p]":
    return (c_char_p * len(specs))(*(spec.name.encode() for spec in specs))
