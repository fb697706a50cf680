"""TensorRT variants: ONNX files with explicit Q/DQ, on ONNX Runtime's TensorRT or CUDA provider."""

from pathlib import Path

from edgewright_runtime.engine.backends import onnx_package
from edgewright_runtime.engine.providers import ANYWHERE, Wanted
from edgewright_runtime.engine.session import Session

_ORDER = ("tensorrt", "cuda")


def open_artifact(path: Path, *, threads: int, wanted: Wanted = ANYWHERE) -> Session:
    """Load an `.onnx` file; a node that neither can run refuses it, unless the CPU is wanted.

    Raises BackendUnavailable, ModelRejected.
    """
    chosen = wanted if wanted.providers else Wanted(_ORDER, wanted.cache)
    return onnx_package.open_artifact(path, threads=threads, wanted=chosen)
