"""INT8 and FP16 for the `openvino` target: NNCF's post-training quantization on the IR."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.noise import silenced
from edgewright_converter.openvino_ir import save_ir
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.samples import Samples


@dataclass(frozen=True, slots=True)
class NncfPostTraining:
    """nncf.quantize. `mixed` has asymmetric activations; `performance` symmetric ones.

    Exact bias correction (slower) raised a digits model from 19.0 to 24.6 dB.
    """

    preset: Literal["mixed", "performance"]
    exact_bias_correction: bool = False

    @property
    def name(self) -> str:
        """For example `nncf ptq mixed, exact bias correction`."""
        suffix = ", exact bias correction" if self.exact_bias_correction else ""
        return f"nncf ptq {self.preset}{suffix}"

    @property
    def precision(self) -> Precision:
        """Integer weights and activations."""
        return "int8"

    @property
    def needs_calibration(self) -> bool:
        """Activation ranges come from samples."""
        return True

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Quantize the float IR. Raises RecipeFailed."""
        assert calibration is not None
        feed = CalibrationFeed(calibration)
        with silenced(), TemporaryDirectory(prefix="edgewright-") as name:
            import nncf
            import openvino

            folder = Path(name)
            model = openvino.Core().read_model(source.float_artifact.write(folder / "float"))
            try:
                quantized = nncf.quantize(
                    model,
                    nncf.Dataset(feed),
                    preset=nncf.QuantizationPreset(self.preset),
                    subset_size=len(feed),
                    fast_bias_correction=not self.exact_bias_correction,
                )
            # NNCF's classes share no base but Exception; what OpenVINO adds is RuntimeError.
            except (
                nncf.errors.ValidationError,
                nncf.errors.InternalError,
                nncf.errors.UnsupportedModelError,
                nncf.errors.UnsupportedDatasetError,
                RuntimeError,
                ValueError,
            ) as error:
                raise RecipeFailed(self.name, f"{type(error).__name__}: {error}") from error
            files = save_ir(quantized, folder)
        feed.require_consumed(self.name)
        return Artifact("openvino", "int8", self.name, files)


@dataclass(frozen=True, slots=True)
class NncfWeights:
    """nncf.compress_weights: INT8 weights, arithmetic in float."""

    @property
    def name(self) -> str:
        """NNCF's mode."""
        return "nncf weights int8_asym"

    @property
    def precision(self) -> Precision:
        """Integer weights."""
        return "int8"

    @property
    def needs_calibration(self) -> bool:
        """No samples are looked at; the gates need some to measure on."""
        return True

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Compress the float IR. Raises RecipeFailed."""
        with silenced(), TemporaryDirectory(prefix="edgewright-") as name:
            import nncf
            import openvino

            folder = Path(name)
            model = openvino.Core().read_model(source.float_artifact.write(folder / "float"))
            try:
                small = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
            except (
                nncf.errors.ValidationError,
                nncf.errors.InternalError,
                nncf.errors.UnsupportedModelError,
                RuntimeError,
                ValueError,
            ) as error:
                raise RecipeFailed(self.name, f"{type(error).__name__}: {error}") from error
            files = save_ir(small, folder)
        return Artifact("openvino", "int8", self.name, files)


@dataclass(frozen=True, slots=True)
class OpenvinoFp16:
    """Weights stored in half precision; OpenVINO computes in what the device prefers."""

    @property
    def name(self) -> str:
        """What save_model does with compress_to_fp16."""
        return "openvino fp16 weights"

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    @property
    def needs_calibration(self) -> bool:
        """No samples are looked at."""
        return False

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Store the float IR again, smaller."""
        with silenced(), TemporaryDirectory(prefix="edgewright-") as name:
            import openvino

            folder = Path(name)
            model = openvino.Core().read_model(source.float_artifact.write(folder / "float"))
            files = save_ir(model, folder, compress_to_fp16=True)
        return Artifact("openvino", "fp16", self.name, files)
