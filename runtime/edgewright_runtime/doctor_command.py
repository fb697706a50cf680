"""`edgewright runtime doctor`: what this machine is, what works on it, and what to do."""

import argparse
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from edgewright_manifests.documents import Document, encode
from edgewright_manifests.variant import Target

from edgewright_runtime import __version__
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.device.accelerators import accelerator_findings
from edgewright_runtime.device.conditions import kernel_findings, machine_findings
from edgewright_runtime.device.findings import Finding
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.engine.proving import installed, prove_all
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.model_source import memory_bytes, this_machine

_REMEDIES: Mapping[Target, str] = {
    "onnx": "pip install 'edgewright-runtime[onnx]'",
    "openvino": "pip install 'edgewright-runtime[openvino]'",
    "tflite": "pip install 'edgewright-runtime[tflite]'",
    "coreml": "serve the bundle's onnx or tflite variant instead",
    "tensorrt": "install onnxruntime-gpu (Jetson: NVIDIA's wheel), or serve the onnx variant",
}
_EXTRAS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "grpc": (("hpack", "protobuf"), "the gRPC door"),
    "otel": (("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"), "traces"),
}
"""Extra -> distributions that it brings, and what it is for."""
_MARKS = {"ok": "ok", "absent": "-", "warning": "!", "broken": "BROKEN"}


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
    findings: tuple[Finding, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="state folder of an enrolled device: look at its disk and its running server too",
    )
    parser.add_argument(
        "--control", type=Path, metavar="SOCKET", help="control socket of a server to look at too"
    )


def run(arguments: argparse.Namespace) -> int:
    """See `Command`: 1 when something that is there does not work."""
    control = arguments.control
    if control is None and arguments.state is not None:
        control = arguments.state / "run" / "control.sock"
    report = examine(arguments.state or Path(), control)
    if arguments.json:
        print(encode(report).decode())
    else:
        _print(report)
    problems = [finding.name for finding in report.findings if finding.state == "broken"]
    if not any(target.usable for target in report.targets):
        print(
            "edgewright runtime doctor: no engine is installed: pip install "
            "'edgewright-runtime[onnx]'",
            file=sys.stderr,
        )
    if problems:
        print(f"edgewright runtime doctor: broken here: {', '.join(problems)}", file=sys.stderr)
    return 1 if problems else 0


def examine(folder: Path, control: Path | None = None) -> MachineReport:
    """Look at this machine; every engine is tried in a child, which takes some seconds.

    `folder` is where the daemon writes; `control` the socket of a server to ask.
    """
    targets = tuple(
        TargetReport(
            target=target,
            usable=reason is None,
            reason=reason,
            remedy=None if reason is None else _REMEDIES[target],
        )
        for target, reason in available_targets().items()
    )
    return MachineReport(
        runtime=__version__,
        python=platform.python_version(),
        architecture=platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        memory_bytes=memory_bytes(),
        profile=this_machine().name,
        targets=targets,
        findings=(
            *_engines(targets),
            *_extras(),
            *accelerator_findings(),
            *machine_findings(folder),
            *kernel_findings(),
            *(_server(control) if control is not None else ()),
        ),
    )


def _engines(targets: Iterable[TargetReport]) -> Iterable[Finding]:
    versions = installed()
    for proof in prove_all():
        name = proof.target if proof.provider is None else f"{proof.target} on {proof.provider}"
        yield Finding(
            area="engine",
            name=name,
            state="ok" if proof.problem is None else "broken",
            version=versions.get(proof.target),
            found=proof.problem or f"ran a model: {proof.placement}",
            remedy=None if proof.problem is None else _engine_remedy(proof.provider),
        )
    for target in targets:
        if not target.usable and target.target not in versions:
            yield Finding(
                area="engine",
                name=target.target,
                state="absent",
                found=target.reason,
                remedy=target.remedy,
            )


def _engine_remedy(provider: str | None) -> str:
    if provider in (None, "cpu"):
        return "install it again: pip install --force-reinstall, for this very machine"
    return f"install the driver and libraries of {provider}, or do not ask for it"


def _extras() -> Iterable[Finding]:
    for extra, (names, purpose) in _EXTRAS.items():
        versions = []
        missing = []
        for name in names:
            try:
                versions.append(f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                missing.append(name)
        if not missing:
            yield Finding(
                area="extra", name=extra, state="ok", version=", ".join(versions), found=purpose
            )
        else:
            yield Finding(
                area="extra",
                name=extra,
                state="absent",
                found=f"{purpose}: {', '.join(missing)} not installed",
                remedy=f"pip install 'edgewright-runtime[{extra}]'",
            )


def _server(control: Path) -> Iterable[Finding]:
    try:
        loaded = ControlClient(control).ask_blocking(Status())
    except ControlFault as error:
        remedy = "start it: edgewright runtime serve"
        yield Finding(
            area="server", name="answers", state="warning", found=str(error), remedy=remedy
        )
        return
    if not isinstance(loaded, Loaded):
        return
    yield Finding(
        area="server",
        name="answers",
        state="ok",
        version=loaded.version,
        found=f"process {loaded.pid}, {len(loaded.generations)} generations",
    )
    for generation in loaded.generations:
        misplaced = generation.misplaced
        yield Finding(
            area="server",
            name=f"{generation.model} {generation.generation}",
            state="ok" if misplaced is None else "warning",
            found=misplaced or f"runs on {generation.placement}",
            remedy=None if misplaced is None else "see the engines above for the reason",
        )


def _print(report: MachineReport) -> None:
    print(f"edgewright-runtime {report.runtime}, Python {report.python}")
    print(
        f"{report.architecture}, {report.kernel}, {report.memory_bytes / (1 << 30):.1f} GiB, "
        f"profile {report.profile}"
    )
    print()
    for target in report.targets:
        if target.usable:
            print(f"{target.target:<14}usable")
        else:
            print(f"{target.target:<14}not usable")
    area = ""
    for finding in report.findings:
        if finding.area != area:
            area = finding.area
            print(f"\n{area}")
        words = [word for word in (finding.version, finding.found) if word]
        print(f"  {_MARKS[finding.state]:<8}{finding.name:<22}{'; '.join(words)}")
        if finding.remedy is not None:
            print(f"{'':<32}-> {finding.remedy}")
