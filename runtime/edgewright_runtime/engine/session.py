"""One loaded model, whatever library runs it, and the way to open one."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import Target

from edgewright_runtime.engine.providers import ANYWHERE, Wanted
from edgewright_runtime.errors import BackendUnavailable, ModelRejected

if TYPE_CHECKING:  # numpy is for callers that bring it
    from edgewright_runtime.engine.tensors import Tensor

BACKENDS: Mapping[Target, str] = {
    "onnx": "edgewright_runtime.engine.backends.onnx",
    "openvino": "edgewright_runtime.engine.backends.openvino",
    "tflite": "edgewright_runtime.engine.backends.litert",
    "coreml": "edgewright_runtime.engine.backends.coreml",
    "tensorrt": "edgewright_runtime.engine.backends.tensorrt",
}
"""The module that runs each target. A new target is one new module and one line here."""


class Session(Protocol):
    """A loaded model. Its methods may be called from several threads."""

    @property
    def signature(self) -> ModelSignature:
        """Inputs and outputs as the artifact itself declares them."""

    @property
    def placement(self) -> str:
        """Library and device that really run it, as the library proves after loading."""

    def run(self, inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """Outputs by name, for one array per input (any size where the signature says -1).

        Raises InvalidInput for arrays that do not fit, InferenceFailed when the engine fails.
        """

    def close(self) -> None:
        """Free the model. Idempotent; `run` after it raises InferenceFailed."""


@runtime_checkable
class StaysDown(Protocol):
    """What a session offers whose engine may end without us."""

    @property
    def pid(self) -> int | None:
        """Of the process that runs the model, while it runs."""

    @property
    def problem(self) -> str | None:
        """Why it is not started again; None while it runs or is about to."""


class Backend(Protocol):
    """What a module in `backends` offers."""

    def open_artifact(self, path: Path, *, threads: int) -> Session:
        """Load the artifact at `path`."""


class PlacingBackend(Protocol):
    """What a module in `backends` offers whose library has several devices."""

    def open_artifact(self, path: Path, *, threads: int, wanted: Wanted) -> Session:
        """Load the artifact at `path` where it is wanted."""


_PLACING = frozenset({"onnx", "openvino", "tensorrt"})


def open_session(
    target: Target, path: Path, *, threads: int = 1, wanted: Wanted = ANYWHERE
) -> Session:
    """Load the artifact at `path` (a variant's first file) with `threads` threads per inference.

    A library that has one device only runs it there, wherever it is wanted. Raises
    BackendUnavailable when this machine cannot run the target at all, and ModelRejected
    when the file is damaged or not of that kind.
    """
    module = BACKENDS.get(target)
    if module is None:
        raise BackendUnavailable(
            target, "this runtime has no engine for it", f"use one of: {', '.join(BACKENDS)}"
        )
    if not path.is_file():
        raise ModelRejected(path, "there is no such file")
    backend = import_module(module)
    if target in _PLACING:
        placing = cast(PlacingBackend, backend)
        return placing.open_artifact(path, threads=threads, wanted=wanted)
    return cast(Backend, backend).open_artifact(path, threads=threads)
