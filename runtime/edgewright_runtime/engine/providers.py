"""ONNX Runtime's execution providers by short names, in the order in which they are wanted.

`("tensorrt", "cuda", "cpu")`: each node goes to the first that can run it. One that the
installed build lacks is passed over; without `cpu` at the end a model that would need the CPU
for any node is refused. OpenVINO's devices (`npu`, `gpu`, `cpu`) are named in the same way.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgewright_manifests.device_profile import DeviceProfile

from edgewright_runtime.errors import BackendUnavailable

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
NAMES = frozenset({*PROVIDERS, "npu", "gpu"})
"""With OpenVINO's devices."""
_PACKAGES: Mapping[str, str] = {
    "cuda": "install onnxruntime-gpu (on a Jetson NVIDIA's own wheel) in place of onnxruntime",
    "tensorrt": "install onnxruntime-gpu and TensorRT (on a Jetson NVIDIA's own wheel)",
    "openvino": "install onnxruntime-openvino in place of onnxruntime",
    "xnnpack": "install a build of onnxruntime with XNNPACK",
    "qnn": "install onnxruntime-qnn in place of onnxruntime",
    "coreml": "use macOS, where onnxruntime has Core ML",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a model should run."""

    providers: tuple[str, ...] = ()
    """Keys of PROVIDERS, or OpenVINO's devices, the first preferred; empty is the CPU."""
    cache: Path | None = field(default=None, compare=False)
    """Folder for what a provider compiles (TensorRT: minutes on a Jetson), kept over restarts."""

    @property
    def is_plain(self) -> bool:
        """Whether the CPU alone will do."""
        return self.providers in ((), ("cpu",))


ANYWHERE = Wanted()
"""The CPU, which every machine has."""


def registered(
    wanted: Wanted, available: Collection[str], threads: int
) -> list[tuple[str, dict[str, str]]]:
    """Names and options to give to ONNX Runtime, the CPU left out where it is not wanted.

    Raises BackendUnavailable for an unknown name, and when the build has none of them.
    """
    unknown = [name for name in wanted.providers if name not in PROVIDERS]
    if unknown:
        raise BackendUnavailable(
            "onnx", f"there is no provider '{unknown[0]}'", f"use some of: {', '.join(PROVIDERS)}"
        )
    there = [name for name in wanted.providers if PROVIDERS[name] in available]
    if not there:
        lacking = wanted.providers[0]
        raise BackendUnavailable(
            "onnx",
            f"the installed onnxruntime has none of the providers {', '.join(wanted.providers)}",
            f"{_PACKAGES.get(lacking, 'install onnxruntime')}, or add 'cpu' to the providers",
        )
    return [(PROVIDERS[name], _options(name, wanted.cache, threads)) for name in there]


def fell_back(wanted: Wanted, placement: str) -> str | None:
    """What is not where it was wanted, in one line; None when the first choice runs it."""
    if not wanted.providers:
        return None
    first = wanted.providers[0]
    used = set(placement.replace("+", " ").split())
    if PROVIDERS.get(first, first) in used or first.upper() in used:
        return None
    return f"wanted {first}, runs on {placement}"


def _options(name: str, cache: Path | None, threads: int) -> dict[str, str]:
    """Only what our other promises ask for; the rest is the provider's own default."""
    match name:
        case "tensorrt" if cache is not None:
            folder = str(cache / "tensorrt")
            return {
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": folder,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": folder,
                # A QDQ graph bears its scales; a float one is not made smaller behind our back.
                "trt_int8_enable": "1",
            }
        case "tensorrt":
            return {"trt_int8_enable": "1"}
        case "xnnpack":
            return {"intra_op_num_threads": str(threads)}
        case "openvino":
            # The accuracy in the bundle was measured with f32 (see backends/openvino.py).
            options = {"device_type": "CPU", "precision": "FP32"}
            return options if cache is None else {**options, "cache_dir": str(cache / "openvino")}
        case "qnn":
            return {"backend_path": "libQnnHtp.so"}
        case _:
            return {}


def likely_providers(profile: DeviceProfile) -> tuple[str, ...]:
    """For `auto`: what this kind of machine is built around; empty for a plain CPU."""
    if profile.targets[:1] == ("tensorrt",) or Path("/dev/nvidia0").exists():
        return ("tensorrt", "cuda", "cpu")
    if sys.platform == "darwin":
        return ("coreml", "cpu")
    return ()


def as_wanted(words: Sequence[str]) -> tuple[str, ...]:
    """Names as people write them: `CUDA, cpu`, `cuda,cpu`."""
    return tuple(name.strip().lower() for word in words for name in word.split(",") if name.strip())
