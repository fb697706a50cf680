"""`python -m edgewright_runtime.engine.proving`: runs a tiny model on each engine that is there.

Every engine and provider has a child process of its own, since a driver may crash or hang.
"""

import argparse
import functools
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import msgspec
from edgewright_manifests.variant import Target

from edgewright_runtime.engine.providers import PROVIDERS, Wanted, fell_back
from edgewright_runtime.engine.raw_inference import raw_inference
from edgewright_runtime.engine.raw_tensor import example_raw_inputs
from edgewright_runtime.engine.session import open_session
from edgewright_runtime.engine.telemetry import forbid_telemetry
from edgewright_runtime.errors import RuntimeFault

_LIMIT_S = 90.0
"""TensorRT builds even a tiny engine for half a minute on a Jetson."""
_PROBES = Path(__file__).parent / "probe"
_FILES: Mapping[str, str] = {
    "onnx": "linear.onnx",
    "tensorrt": "linear.onnx",
    "openvino": "linear.xml",
    "tflite": "linear.tflite",
}
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "onnx": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-qnn"),
    "openvino": ("openvino",),
    "tflite": ("ai-edge-litert", "tflite-runtime"),
    "coreml": ("coremltools",),
}
"""Distributions that bring the library."""


class Proof(msgspec.Struct, frozen=True):
    """What one engine did with the tiny model."""

    target: str
    provider: str | None
    """A key of PROVIDERS, or an OpenVINO device; None is the engine's own choice."""
    placement: str | None = None
    problem: str | None = None


@functools.cache
def prove_all() -> tuple[Proof, ...]:
    """Every installed engine with every provider that its library offers.

    Takes seconds, once in a process.
    """
    forbid_telemetry()
    # There is no tiny Core ML package: none could be made and tried where this was written.
    asked: list[tuple[str, str | None]] = [(name, None) for name in installed() if name in _FILES]
    for target in ("onnx", "openvino"):
        if (target, None) in asked:
            asked += [(target, name) for name in _offered(target) if name != "cpu"]
    # One after the other: engines measure the machine when they start, and memory may be short.
    return tuple(_prove(target, provider) for target, provider in asked)


def installed() -> dict[str, str]:
    """Targets whose library is installed, with its distribution and version."""
    found: dict[str, str] = {}
    for target, names in _PACKAGES.items():
        for name in names:
            try:
                found.setdefault(target, f"{name} {metadata.version(name)}")
            except metadata.PackageNotFoundError:
                continue
    if platform.system() != "Darwin":
        found.pop("coreml", None)
    return found


def _offered(target: str) -> Sequence[str]:
    """Providers or devices beside the CPU, as a child is told by the library."""
    reply = _child("--offered", target)
    return msgspec.json.decode(reply, type=list[str]) if isinstance(reply, bytes) else []


def _prove(target: str, provider: str | None) -> Proof:
    reply = _child("--target", target, *(("--provider", provider) if provider else ()))
    if isinstance(reply, bytes):
        return msgspec.json.decode(reply, type=Proof)
    return Proof(target, provider, problem=reply)


def _child(*words: str) -> bytes | str:
    """What the child printed last, or what became of it."""
    command = [sys.executable, "-m", "edgewright_runtime.engine.proving", *words]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            output, errors = child.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return f"does not answer within {_LIMIT_S:.0f} seconds"
    if child.returncode < 0:
        return f"crashes (signal {-child.returncode})"
    lines = output.splitlines() if child.returncode == 0 else errors.splitlines()
    last = next((line for line in reversed(lines) if line.strip()), b"")
    if child.returncode or not last:
        return last.decode(errors="replace").strip() or f"ends with code {child.returncode}"
    return last


def main() -> int:
    """The child: one line of JSON."""
    parser = argparse.ArgumentParser(prog="edgewright_runtime.engine.proving")
    parser.add_argument("--offered")
    parser.add_argument("--target")
    parser.add_argument("--provider")
    arguments = parser.parse_args()
    if arguments.offered:
        answer: object = list(_providers_of(arguments.offered))
    else:
        answer = _run(arguments.target, arguments.provider)
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    return 0


def _run(target: Target, provider: str | None) -> Proof:
    wanted = Wanted((provider, "cpu") if provider else ())
    try:
        session = open_session(target, _PROBES / _FILES[target], wanted=wanted)
        raw_inference(session)(example_raw_inputs(session.signature))
    except RuntimeFault as error:
        return Proof(target, provider, problem=str(error))
    problem = fell_back(wanted, session.placement)
    return Proof(target, provider, session.placement, problem)


def _providers_of(target: str) -> Iterator[str]:
    if target == "onnx":
        import onnxruntime

        available = onnxruntime.get_available_providers()
        yield from (name for name, full in PROVIDERS.items() if full in available)
    else:
        import openvino

        yield from {
            device.split(".")[0].lower(): None for device in openvino.Core().available_devices
        }


if __name__ == "__main__":
    sys.exit(main())
