"""INT8 and FP16 for the `onnx` target by ONNX Runtime's own tools."""

import math
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

MAX_ACTIVATION_BYTES = 2_000_000_000
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

    ranges: Literal["minmax", "percentile", "entropy"]
    per_channel: bool = True

    @property
    def name(self) -> str:
        """For example `onnxruntime static u8s8 per-channel minmax`."""
        grain = "per-channel" if self.per_channel else "per-tensor"
        return f"onnxruntime static u8s8 {grain} {self.ranges}"

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
            data = self._quantize(Path(folder), source.quantizable_onnx, feed)
        feed.require_consumed(self.name)
        return Artifact("onnx", "int8", self.name, (("model.onnx", data),))

    def _quantize(self, folder: Path, model: bytes, feed: CalibrationFeed) -> bytes:
        from onnxruntime.quantization import (
            CalibrationDataReader,
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
            def __init__(self) -> None:
                self._samples = iter(feed)

            def get_next(self) -> dict[str, Tensor] | None:
                return next(self._samples, None)

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
            if self.ranges != "minmax":
                self._check_memory(prepared, len(feed))
            quantize_static(
                str(prepared),
                str(quantized),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=self.per_channel,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=methods[self.ranges],
                calibration_providers=["CPUExecutionProvider"],
                extra_options={"CalibPercentile": _PERCENTILE},
            )
        # The library raises bare ValueError, RuntimeError, KeyError ... for one cause:
        # it cannot quantize this model. Other recipes may.
        except (ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            raise RecipeFailed(self.name, _last_line(error)) from error
        return quantized.read_bytes()

    def _check_memory(self, model: Path, samples: int) -> None:
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
                self.name,
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
