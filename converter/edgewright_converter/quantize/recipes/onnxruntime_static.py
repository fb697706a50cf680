"""INT8 and FP16 for the `onnx` target by ONNX Runtime's own tools."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.noise import silenced
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.samples import Samples, Tensor

Ranges = Literal["minmax", "percentile", "entropy"]

MAX_ACTIVATION_BYTES = 2_000_000_000
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ACTIVATION_BYTES = 8
"""FP32, held twice: as collected, and merged."""
_PERCENTILE = 99.99
"""Keeps all but one value in ten thousand; the library's 99.999 is min-max on small sets."""


@dataclass(frozen=True, slots=True)
class OnnxruntimeStatic:
    """Static QDQ quantization, u8 activations and s8 weights.

    That pair, with Q/DQ also on outputs, is the only one that is fast on ONNX Runtime's CPU:
    2.0x on EfficientNet-Lite0, where s8s8 gave 1.2x and symmetric s8 0.34x.
    """

    ranges: Ranges
    per_channel: bool = True
    weighted_only: bool = False
    """Quantize operators with weights and leave the others in float. Magika, all operators
    quantized: 6 % right; these alone: as float."""

    @property
    def name(self) -> str:
        """For example `onnxruntime static u8s8 per-channel minmax`."""
        grain = "per-channel" if self.per_channel else "per-tensor"
        scope = ", operators with weights" if self.weighted_only else ""
        return f"onnxruntime static u8s8 {grain} {self.ranges}{scope}"

    @property
    def precision(self) -> Precision:
        """Integer weights and activations."""
        return "int8"

    @property
    def needs_calibration(self) -> bool:
        """Activation ranges come from samples."""
        return True

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Quantize the opset-17 form of the source. Raises RecipeFailed."""
        if source.quantizable_onnx is None:
            raise RecipeFailed(self.name, source.quantizable_problem)
        assert calibration is not None
        feed = CalibrationFeed(calibration)
        with silenced(), TemporaryDirectory(prefix="edgewright-") as folder:
            data = quantize_qdq(
                self.name,
                Path(folder),
                source.quantizable_onnx,
                feed,
                ranges=self.ranges,
                per_channel=self.per_channel,
                op_types_to_quantize=list(_WEIGHTED) if self.weighted_only else None,
            )
        feed.require_consumed(self.name)
        return Artifact("onnx", "int8", self.name, (("model.onnx", data),))


class SampleReader:
    """The feed as onnxruntime.quantization reads it (its CalibrationDataReader, by shape)."""

    def __init__(self, feed: CalibrationFeed) -> None:
        self._samples = iter(feed)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self._samples

    def get_next(self) -> dict[str, Tensor] | None:
        """The next sample; None after the last."""
        return next(self._samples, None)


def quantize_qdq(
    recipe: str,
    folder: Path,
    model: bytes,
    feed: CalibrationFeed,
    *,
    ranges: Ranges,
    per_channel: bool,
    extra_options: Mapping[str, Any] | None = None,  # Any: onnxruntime ships no types
    **options: Any,
) -> bytes:
    """quantize_static in QDQ form, u8 activations and s8 weights unless `options` say otherwise.

    Raises RecipeFailed with the library's reason.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    methods: dict[str, Any] = {  # Any: onnxruntime ships no types
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    source, prepared, quantized = (folder / f"{stage}.onnx" for stage in "spq")
    source.write_bytes(model)
    try:
        # Symbolic shape inference needs sympy and helps transformers only.
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        if ranges != "minmax":
            check_memory(recipe, prepared, len(feed))
        settings: dict[str, Any] = {"CalibPercentile": _PERCENTILE, **(extra_options or {})}
        # onnxruntime 1.31 cannot adjust the scales of a per-channel vector for its bias
        # ("truth value of an array", Magika); without that step it quantizes the model.
        for adjust in ({}, {"QDQDisableWeightAdjustForInt32Bias": True}):
            try:
                quantize_static(
                    str(prepared),
                    str(quantized),
                    SampleReader(feed),
                    quant_format=QuantFormat.QDQ,
                    per_channel=per_channel,
                    weight_type=QuantType.QInt8,
                    calibrate_method=methods[ranges],
                    calibration_providers=["CPUExecutionProvider"],
                    extra_options=settings | adjust,
                    **({"activation_type": QuantType.QUInt8} | options),
                )
                break
            except ValueError as error:
                if adjust or "truth value" not in str(error):
                    raise
    # The library raises bare ValueError, RuntimeError, KeyError ... for one cause:
    # it cannot quantize this model. Other recipes may.
    except library_errors() as error:
        raise RecipeFailed(recipe, _last_line(error)) from error
    return quantized.read_bytes()


def library_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime and its quantizer raise when they cannot; the library's own have no base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as own

    return (
        ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError,
        own.Fail, own.InvalidGraph, own.InvalidArgument, own.NotImplemented, own.RuntimeException,
    )  # fmt: skip  # Python's, then the library's


def check_memory(recipe: str, model: Path, samples: int) -> None:
    """The library's histograms are made from all activations of all samples at once."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(onnx.load_model(model))
    elements = sum(
        math.prod(max(1, size.dim_value) for size in value.type.tensor_type.shape.dim)
        for value in inferred.graph.value_info
    )
    needed = _ACTIVATION_BYTES * elements * samples
    if needed > MAX_ACTIVATION_BYTES:
        raise RecipeFailed(
            recipe,
            f"needs {needed / 1e9:.1f} GB for the activations of {samples} calibration "
            f"samples, at most {MAX_ACTIVATION_BYTES / 1e9:.0f} GB are allowed; give fewer",
        )


@dataclass(frozen=True, slots=True)
class OnnxruntimeFp16:
    """Half-precision weights and arithmetic, FP32 inputs and outputs."""

    @property
    def name(self) -> str:
        """Named after the tool in onnxruntime.transformers."""
        return "onnxruntime float16"

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    @property
    def needs_calibration(self) -> bool:
        """No samples are looked at."""
        return False

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Convert the float artifact. Raises RecipeFailed."""
        with silenced():
            import onnx
            from onnxruntime.transformers.float16 import convert_float_to_float16

            try:
                model = onnx.load_model_from_string(source.float_artifact.files[0][1])
                half = convert_float_to_float16(model, keep_io_types=True)
            except (ValueError, RuntimeError, LookupError, TypeError) as error:
                raise RecipeFailed(self.name, _last_line(error)) from error
            data: bytes = half.SerializeToString(deterministic=True)
        return Artifact("onnx", "fp16", self.name, (("model.onnx", data),))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
