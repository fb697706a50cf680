"""`edgewright runtime doctor`: what this machine is, and which targets it can run."""

import argparse
import platform
from collections.abc import Mapping

import msgspec
from edgewright_manifests.documents import Document, encode
from edgewright_manifests.variant import Target

from edgewright_runtime import __version__
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.model_source import memory_bytes, this_machine

_REMEDIES: Mapping[Target, str] = {
    "onnx": "pip install 'edgewright-runtime[onnx]'",
    "openvino": "pip install 'edgewright-runtime[openvino]'",
    "tflite": "pip install 'edgewright-runtime[tflite]'",
    "coreml": "serve the bundle's onnx or tflite variant instead",
    "tensorrt": "serve the bundle's onnx variant instead",
}


class TargetReport(Document, frozen=True):
    """One target on this machine."""

    target: str
    usable: bool
    reason: str | None = None
    remedy: str | None = None


class MachineReport(Document, frozen=True):
    """What `doctor --json` prints."""

    runtime: str
    python: str
    architecture: str
    kernel: str
    memory_bytes: int
    profile: str
    """The shipped device profile that fits best."""
    targets: tuple[TargetReport, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`: 0 whatever it finds, since finding it is what was asked."""
    report = examine()
    if arguments.json:
        print(encode(report).decode())
    else:
        _print(report)
    return 0


def examine() -> MachineReport:
    """Look at this machine; probing the libraries takes a second or two."""
    return MachineReport(
        runtime=__version__,
        python=platform.python_version(),
        architecture=platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        memory_bytes=memory_bytes(),
        profile=this_machine().name,
        targets=tuple(
            TargetReport(
                target=target,
                usable=reason is None,
                reason=reason,
                remedy=None if reason is None else _REMEDIES[target],
            )
            for target, reason in available_targets().items()
        ),
    )


def _print(report: MachineReport) -> None:
    for field in msgspec.structs.fields(report):
        value = getattr(report, field.name)
        if field.name == "memory_bytes":
            print(f"{'memory':<14}{value / (1 << 30):.1f} GiB")
        elif field.name != "targets":
            print(f"{field.name:<14}{value}")
    print()
    for target in report.targets:
        if target.usable:
            print(f"{target.target:<14}usable")
        else:
            print(f"{target.target:<14}not usable: {target.reason}; {target.remedy}")
