"""INT8, mixed and FP16 for the `openvino` target by NNCF and OpenVINO itself."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.openvino_ir import save_ir
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.probes import OpenvinoProbe, Probe
from edgewright_converter.quantize.recipes.library_recipe import Files, LayeredRecipe, LibraryRecipe

_SMOOTHED = 0.5
"""SmoothQuant's alpha (arXiv:2211.10438, section 4): half of the difficulty to the weights."""


@dataclass(frozen=True, slots=True)
class _NncfRecipe(LayeredRecipe):
    """The float IR through NNCF."""

    target = "openvino"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """What NNCF makes of it, as two files."""
        return save_ir(self._quantized(source, feed, folder), folder)

    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one."""
        files = save_ir(self._quantized(source, feed, folder), folder, named=True)
        for name, data in files:
            (folder / name).write_bytes(data)
        plain = OpenvinoProbe(source.float_artifact.write(folder / "plain"))
        return plain, OpenvinoProbe(folder / files[0][0])

    def library_errors(self) -> tuple[type[Exception], ...]:
        """NNCF's own, too."""
        return openvino_errors()

    @abstractmethod
    def _quantized(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> Any:  # Any: openvino ships no types
        """An openvino.Model."""


@dataclass(frozen=True, slots=True)
class NncfPostTraining(_NncfRecipe):
    """nncf.quantize. `mixed` has asymmetric activations; `performance` symmetric ones.

    Symmetric ones were 1.15 times as fast on EfficientNet-Lite0. Exact bias correction (slower)
    raised a digits model from 19.0 to 24.6 dB.
    """

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

    def _quantized(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> Any:  # Any: as above
        import nncf

        assert feed is not None
        more: dict[str, Any] = {}  # Any: nncf's options
        if self.smooth_quant:
            more["advanced_parameters"] = nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                    convolution=_SMOOTHED, matmul=_SMOOTHED
                )
            )
        return nncf.quantize(
            _read(source, folder),
            nncf.Dataset(feed),
            preset=nncf.QuantizationPreset(self.preset),
            subset_size=len(feed),
            fast_bias_correction=not self.exact_bias_correction,
            # NNCF ignores only what it would quantize; the others need not be found.
            ignored_scope=nncf.IgnoredScope(names=list(self.kept_float), validate=False),
            **more,
        )


@dataclass(frozen=True, slots=True)
class NncfWeights(_NncfRecipe):
    """nncf.compress_weights: weights in INT8, or INT4 in groups; arithmetic in float."""

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

    def _quantized(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> Any:  # Any: as above
        import nncf

        return nncf.compress_weights(
            _read(source, folder),
            mode=nncf.CompressWeightsMode(self.mode),
            ignored_scope=nncf.IgnoredScope(names=list(self.kept_float), validate=False),
        )


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


def _read(source: RecipeSource, folder: Path) -> Any:  # Any: as above
    import openvino

    return openvino.Core().read_model(source.float_artifact.write(folder / "float"))


def openvino_errors() -> tuple[type[Exception], ...]:
    """NNCF's classes share no base but Exception; what OpenVINO adds is RuntimeError."""
    import nncf

    return (
        nncf.errors.ValidationError, nncf.errors.InternalError,
        nncf.errors.UnsupportedModelError, nncf.errors.UnsupportedDatasetError,
        ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError,
    )  # fmt: skip  # NNCF's, then Python's
