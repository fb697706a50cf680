"""The `tensorrt` target: ONNX that TensorRT reads, and how to build the engine on the device.

An engine fits one GPU and one version of TensorRT, so it is built where it runs. Explicit
quantization (QuantizeLinear and DequantizeLinear in the graph) replaced calibration caches in
TensorRT 10. No GPU was available where this was written: the files are verified numerically by
ONNX Runtime, no engine was built and no latency measured.
"""

import json

import onnx
from edgewright_manifests.variant import Constraints

from edgewright_converter.candidate import Artifact

MODEL_FILE = "model.onnx"
BUILD_FILE = "build.json"
CONSTRAINTS = Constraints(tensorrt="10.0", jetpack="6.1")
"""JetPack 6.1 is the first with TensorRT 10; 8.6 reads opset 17 but not every int8 constant."""
VERIFIED = "outputs, by ONNX Runtime on a CPU; no GPU was available, so no engine was built"
_MAX_BATCH = 8


def emit_tensorrt(data: bytes) -> Artifact:
    """The float artifact."""
    return Artifact("tensorrt", "float", "float", with_build_recipe(data, int8=False))


def with_build_recipe(data: bytes, *, int8: bool) -> tuple[tuple[str, bytes], ...]:
    """The model and the JSON that says how an engine is made of it."""
    inputs = onnx.load_model_from_string(data).graph.input
    profiles = {
        "min": _profile(inputs, 1),
        "opt": _profile(inputs, 1),
        "max": _profile(inputs, _MAX_BATCH),
    }
    dynamic = any(_is_dynamic(value) for value in inputs)
    command = ["trtexec", f"--onnx={MODEL_FILE}", "--saveEngine=model.engine"]
    options: dict[str, str] = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ".",
        "trt_int8_enable": "1" if int8 else "0",
        # The figures in the bundle are without it.
        "trt_fp16_enable": "0",
    }
    if int8:
        command.append("--int8")
    if dynamic:
        command += [f"--{end}Shapes={shapes}" for end, shapes in profiles.items()]
        options |= {f"trt_profile_{end}_shapes": shapes for end, shapes in profiles.items()}
    recipe = {
        "format": "edgewright.tensorrt-build.v1",
        "trtexec": command,
        "onnxruntime_tensorrt_execution_provider": options,
        "faster_but_not_verified": {"trtexec": ["--fp16"], "options": {"trt_fp16_enable": "1"}},
        "requires": {"tensorrt": CONSTRAINTS.tensorrt, "jetpack": CONSTRAINTS.jetpack},
        "verified": VERIFIED,
    }
    text = json.dumps(recipe, indent=2, sort_keys=True) + "\n"
    return ((MODEL_FILE, data), (BUILD_FILE, text.encode()))


def _profile(inputs: "list[onnx.ValueInfoProto]", batch: int) -> str:
    """`image:8x3x224x224,...`; only dynamic sizes (the batch) become `batch`."""
    return ",".join(
        f"{value.name}:"
        + "x".join(str(d.dim_value or batch) for d in value.type.tensor_type.shape.dim)
        for value in inputs
    )


def _is_dynamic(value: onnx.ValueInfoProto) -> bool:
    return any(d.dim_value <= 0 for d in value.type.tensor_type.shape.dim)
