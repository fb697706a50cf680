"""With which tools, on which machine and when a conversion ran."""

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgewright_converter.report.document import Provenance

_TOOLS = (
    "edgewright-converter", "edgewright-runtime", "edgewright-manifests", "onnx", "onnxsim",
    "onnxruntime", "openvino", "nncf", "ai-edge-litert", "ai-edge-quantizer",
    "coremltools", "numpy",
)  # fmt: skip  # whatever can change a byte of an artifact


def collect_provenance(now: datetime.datetime) -> Provenance:
    """The state of this machine and environment at `now` (UTC)."""
    return Provenance(
        created=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        tools=_tools(),
        python=platform.python_version(),
        processor=_processor(),
        system=_system(),
    )


def tools_here() -> tuple[tuple[str, str], ...]:
    """All that can change a byte of an artifact or of its outputs, and its version."""
    machine = f"{_system()} {_processor()}"
    return (*_tools(), ("python", platform.python_version()), ("system", machine))


def _tools() -> tuple[tuple[str, str], ...]:
    return tuple((tool, found) for tool in _TOOLS if (found := _version(tool)))


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
