"""INT8, mixed and FP16 for the `openvino` target: NNCF on the IR, or ONNX Runtime's QDQ read."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.openvino_ir import save_ir
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_qdq import library_errors, quantize_qdq
from edgewright_converter.quantize.probes import OpenvinoProbe, Probe
from edgewright_converter.quantize.ranges import Method
from edgewright_converter.quantize.recipes.library_recipe import Files, LayeredRecipe, LibraryRecipe

_SMOOTHED = 0.5
"""SmoothQuant's alpha (arXiv:2211.10438, section 4): half of the difficulty to the weights."""


@dataclass(frozen=True, slots=True)
class NncfPostTraining(LayeredRecipe):
    """nncf.quantize. `mixed` has asymmetric activations; `performance` symmetric ones.

    Symmetric ones were 1.15 times as fast on EfficientNet-Lite0. Exact bias correction (slower)
    raised a digits model from 19.0 to 24.6 dB.
    """

    target = "openvino"
    reads_samples = True

    preset: Literal["mixed", "performance"]
    exact_bias_correction: bool = False
    smooth_quant: bool = False
    """Move outliers from activations to weights before convolutions too, not only MatMul."""

    @property
    def name(self) -> str:
        """For example `nncf ptq mixed, exact bias correction`."""
        exact = ", exact bias correction" if self.exact_bias_correction else ""
        smooth = ", smooth quant" if self.smooth_quant else ""
        return f"nncf ptq {self.preset}{exact}{smooth}{self.layers_words()}"

    @property
    def kernels(self) -> str:
        """The same whatever the ranges and biases."""
        return replace(self, exact_bias_correction=False).name

    @property
    def precision(self) -> Precision:
        """Integer weights and activations, or partly."""
        return "mixed" if self.kept_float else "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Quantize the float IR."""
        import nncf

        assert feed is not None
        more: dict[str, Any] = {}  # Any: nncf's options
        if self.smooth_quant:
            more["advanced_parameters"] = nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                    convolution=_SMOOTHED, matmul=_SMOOTHED
                )
            )
        quantized = nncf.quantize(
            _read(source, folder),
            nncf.Dataset(feed),
            preset=nncf.QuantizationPreset(self.preset),
            subset_size=len(feed),
            fast_bias_correction=not self.exact_bias_correction,
            # NNCF ignores only what it would quantize; the others need not be found.
            ignored_scope=nncf.IgnoredScope(names=list(self.kept_float), validate=False),
            **more,
        )
        return save_ir(quantized, folder)

    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one."""
        return _probes(self.quantize(source, feed, folder), source, folder)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """NNCF's own, too."""
        return _library_errors()


@dataclass(frozen=True, slots=True)
class OpenvinoFromQdq(LibraryRecipe):
    """ONNX Runtime's static u8s8 file, read by OpenVINO.

    2.15x float on EfficientNet-Lite0, where NNCF's own files were 1.7 to 2.0x; all sums and
    activation functions are in integers, too.
    """

    target = "openvino"
    reads_samples = True

    ranges: Method
    symmetric: bool = False
    """Activations of both signs get a range with 0 in its middle, which costs less to compute."""

    @property
    def name(self) -> str:
        """For example `onnxruntime static u8s8 per-channel minmax, read by openvino`."""
        middle = " symmetric" if self.symmetric else ""
        return f"onnxruntime static u8s8 per-channel {self.ranges}{middle}, read by openvino"

    @property
    def kernels(self) -> str:
        """The same whatever the ranges and biases."""
        return replace(self, ranges="minmax").name

    @property
    def precision(self) -> Precision:
        """Integer weights and activations."""
        return "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Quantize the opset-17 form of the source, and convert that."""
        import openvino

        assert feed is not None
        if source.quantizable_onnx is None:
            raise RecipeFailed(self.name, source.quantizable_problem)
        made = quantize_qdq(
            folder,
            source.quantizable_onnx,
            feed,
            ranges=self.ranges,
            per_channel=True,
            symmetric=self.symmetric,
            # OpenVINO keeps biases in float; an integer one costs five operations of text.
            extra_options={"QuantizeBias": False},
        )
        file = folder / "qdq.onnx"
        file.write_bytes(made.data)
        return save_ir(openvino.convert_model(file), folder)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """ONNX Runtime's and OpenVINO's own, too."""
        return (*library_errors(), *_library_errors())


@dataclass(frozen=True, slots=True)
class NncfWeights(LayeredRecipe):
    """nncf.compress_weights: weights in INT8, or INT4 in groups; arithmetic in float."""

    target = "openvino"
    reads_samples = False

    mode: Literal["int8_asym", "int8_sym", "int4_sym"] = "int8_asym"

    @property
    def name(self) -> str:
        """NNCF's mode."""
        return f"nncf weights {self.mode}{self.layers_words()}"

    @property
    def precision(self) -> Precision:
        """Integer weights, or partly, or of two widths."""
        return "int8" if self.mode.startswith("int8") and not self.kept_float else "mixed"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Compress the float IR."""
        import nncf

        small = nncf.compress_weights(
            _read(source, folder),
            mode=nncf.CompressWeightsMode(self.mode),
            ignored_scope=nncf.IgnoredScope(names=list(self.kept_float), validate=False),
        )
        return save_ir(small, folder)

    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one."""
        return _probes(self.quantize(source, None, folder), source, folder)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """NNCF's own, too."""
        return _library_errors()


@dataclass(frozen=True, slots=True)
class OpenvinoFp16(LibraryRecipe):
    """Weights stored in half precision; OpenVINO computes in what the device prefers."""

    target = "openvino"
    reads_samples = False

    @property
    def name(self) -> str:
        """What save_model does with compress_to_fp16."""
        return "openvino fp16 weights"

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Store the float IR again, smaller."""
        return save_ir(_read(source, folder), folder, compress_to_fp16=True)


def _read(source: RecipeSource, folder: Path) -> Any:  # Any: openvino ships no types
    import openvino

    return openvino.Core().read_model(source.float_artifact.write(folder / "float"))


def _probes(files: Files, source: RecipeSource, folder: Path) -> tuple[Probe, Probe]:
    for name, data in files:
        (folder / name).write_bytes(data)
    plain = OpenvinoProbe(source.float_artifact.write(folder / "plain"))
    return plain, OpenvinoProbe(folder / files[0][0])


def _library_errors() -> tuple[type[Exception], ...]:
    """NNCF's classes share no base but Exception; what OpenVINO adds is RuntimeError."""
    import nncf

    return (
        nncf.errors.ValidationError, nncf.errors.InternalError,
        nncf.errors.UnsupportedModelError, nncf.errors.UnsupportedDatasetError,
        ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError,
    )  # fmt: skip  # NNCF's, then Python's
