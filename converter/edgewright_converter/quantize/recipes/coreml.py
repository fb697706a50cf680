"""FP16 and weight-only INT8 for the `coreml` target; neither looks at samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.emit.coreml import (
    FP16_RECIPE,
    INT8_RECIPE,
    emit_coreml_fp16,
    emit_coreml_int8,
)
from edgewright_converter.errors import RecipeFailed, TargetRefused
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.recipes.library_recipe import Files, LibraryRecipe


@dataclass(frozen=True, slots=True)
class CoremlFp16(LibraryRecipe):
    """Everything inside in half precision: what the Neural Engine computes in."""

    target = "coreml"
    reads_samples = False

    @property
    def name(self) -> str:
        """coremltools' compute precision."""
        return FP16_RECIPE

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Write the source again in half precision."""
        return _written(self.name, emit_coreml_fp16, source)


@dataclass(frozen=True, slots=True)
class CoremlInt8Weights(LibraryRecipe):
    """Weights in int8, symmetric per output channel; activations in half precision.

    Activations stay as they are because coremltools quantizes them only where Core ML runs.
    """

    target = "coreml"
    reads_samples = False

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
        """No samples are looked at, and INT8 weights are what Core ML is used to."""
        return False

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Write the source in half precision and quantize its weights."""
        return _written(self.name, emit_coreml_int8, source)


def _written(recipe: str, emit: Callable[[bytes], Artifact], source: RecipeSource) -> Files:
    try:
        return emit(source.source_onnx).files
    except TargetRefused as error:
        raise RecipeFailed(recipe, error.reason) from error
