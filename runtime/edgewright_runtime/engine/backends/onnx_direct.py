"""A session on ONNX Runtime's C interface; numpy is imported only for callers that bring it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright_manifests.signature import TensorSpec

from edgewright_runtime.engine.onnxruntime_c.session import CBinding, CSession
from edgewright_runtime.engine.onnxruntime_c.values import Place, place_of
from edgewright_runtime.engine.raw_inference import run_raw
from edgewright_runtime.engine.raw_tensor import RawTensor

if TYPE_CHECKING:
    from edgewright_runtime.engine.tensors import Tensor


class DirectSession:
    """See `Session`; it is also `RunsRaw` and `BindsInPlace`."""

    placement = "onnxruntime CPUExecutionProvider"
    """No other provider is registered with it, so every node is there."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """Load the file. Raises LibraryMissing, ModelRejected."""
        self._session = CSession(path, threads=threads)
        self.signature = self._session.signature
        self.infer = self._session.infer
        """See `RunsRaw.infer`."""

    def run(self, inputs: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
        """See `Session.run`; the outputs are the caller's own."""
        return run_raw(self.signature, self.infer, inputs)

    def bind(self, inputs: Mapping[str, RawTensor], outputs: Mapping[str, RawTensor]) -> CBinding:
        """See `BindsInPlace.bind`."""
        return self._session.bind(
            _places(self.signature.inputs, inputs), _places(self.signature.outputs, outputs)
        )

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()


def _places(specs: Sequence[TensorSpec], tensors: Mapping[str, RawTensor]) -> list[Place]:
    return [place_of(spec.name, tensors[spec.name]) for spec in specs]
