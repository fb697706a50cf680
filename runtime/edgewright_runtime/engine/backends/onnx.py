"""ONNX models on ONNX Runtime: its C interface where it can be called, else its Python package.

`import onnxruntime` costs 40 to 90 ms and, with numpy, 30 MB that a small device misses; both
run the same kernels, and a test holds both to the same answers.
"""

from pathlib import Path

from edgewright_runtime.engine.onnxruntime_c.library import LibraryMissing
from edgewright_runtime.engine.providers import ANYWHERE, Wanted
from edgewright_runtime.engine.session import Session


def open_artifact(path: Path, *, threads: int, wanted: Wanted = ANYWHERE) -> Session:
    """Load an `.onnx` file. Raises BackendUnavailable, ModelRejected."""
    if not wanted.is_plain:
        from edgewright_runtime.engine.backends import onnx_package

        return onnx_package.open_artifact(path, threads=threads, wanted=wanted)
    from edgewright_runtime.engine.backends.onnx_direct import DirectSession

    try:
        return DirectSession(path, threads=threads)
    except LibraryMissing:
        from edgewright_runtime.engine.backends import onnx_package

        return onnx_package.open_artifact(path, threads=threads)
