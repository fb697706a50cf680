"""Which targets this machine can run: found out in a child process, which may crash or hang."""

import functools
import subprocess
import sys
from collections.abc import Mapping

from edgewright_manifests.variant import TARGETS, Target

from edgewright_runtime.engine.telemetry import forbid_telemetry

_LIMIT_S = 60.0
"""A Pi that swaps needs half a minute for OpenVINO's first import."""

_PROBES: Mapping[Target, str] = {
    "onnx": "import onnxruntime as r; assert 'CPUExecutionProvider' in r.get_available_providers()",
    "openvino": "import openvino as r; assert 'CPU' in r.Core().available_devices",
    "tflite": """
try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError as newer:
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        raise newer from None
""",
    "tensorrt": """
import onnxruntime as r
wanted = {'TensorrtExecutionProvider', 'CUDAExecutionProvider'}
if not wanted & set(r.get_available_providers()):
    raise SystemExit('the installed onnxruntime has neither the TensorRT nor the CUDA provider')
""",
    "coreml": """
import sys
if sys.platform != 'darwin':
    sys.exit('Core ML runs on macOS only')
import coremltools
""",
}


def available_targets() -> dict[Target, str | None]:
    """For every target None when it is usable here, else the reason why it is not.

    The first call in a process imports each library in a child (an import may crash, or hang
    on a missing device) and takes a second or two; later calls are answered from memory.
    """
    return dict(_probe_all())


@functools.cache
def _probe_all() -> Mapping[Target, str | None]:
    forbid_telemetry()
    children = {target: _start(code) for target, code in _PROBES.items()}
    found = {target: _verdict(child) for target, child in children.items()}
    return {target: found[target] for target in TARGETS}


def _start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _verdict(child: subprocess.Popen[str]) -> str | None:
    with child:
        try:
            _, stderr = child.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return f"its library did not load within {_LIMIT_S:.0f} seconds"
    if child.returncode == 0:
        return None
    if child.returncode < 0:
        return f"its library crashes when it is loaded (signal {-child.returncode})"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"its library fails to load (exit {child.returncode})"
