"""FP16 and weight-only INT8 for the `coreml` target; neither looks at samples."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.emit.coreml import (
    FP16_RECIPE,
    INT8_RECIPE,
    emit_coreml_fp16,
    emit_coreml_int8,
)
from edgewright_converter.errors import RecipeFailed, TargetRefused
from edgewright_converter.samples import Samples


@dataclass(frozen=True, slots=True)
class CoremlFp16:
    """Everything inside in half precision: what the Neural Engine computes in."""

    @property
    def name(self) -> str:
        """coremltools' compute precision."""
        return FP16_RECIPE

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    @property
    def needs_calibration(self) -> bool:
        """No samples are looked at."""
        return False

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Write the source again in half precision. Raises RecipeFailed."""
        try:
            return emit_coreml_fp16(source.source_onnx)
        except TargetRefused as error:
            raise RecipeFailed(self.name, error.reason) from error


@dataclass(frozen=True, slots=True)
class CoremlInt8Weights:
    """Weights in int8, symmetric per output channel; activations in half precision.

    Activations stay as they are because coremltools quantizes them only where Core ML runs.
    """

    @property
    def name(self) -> str:
        """coremltools.optimize's algorithm."""
        return INT8_RECIPE

    @property
    def precision(self) -> Precision:
        """Integer weights."""
        return "int8"

    @property
    def needs_calibration(self) -> bool:
        """No samples are looked at."""
        return False

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Write the source in half precision and quantize its weights. Raises RecipeFailed."""
        try:
            return emit_coreml_int8(source.source_onnx)
        except TargetRefused as error:
            raise RecipeFailed(self.name, error.reason) from error
        # coremltools' own classes share no base but these.
        except (ValueError, RuntimeError, TypeError) as error:
            raise RecipeFailed(self.name, f"{type(error).__name__}: {error}") from error
