"""What recipes that quantize by ONNX Runtime's static quantizer have in common."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_qdq import Quantized, library_errors
from edgewright_converter.quantize.probes import OnnxProbe, Probe
from edgewright_converter.quantize.ranges import Method
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe


@dataclass(frozen=True, slots=True)
class QdqRecipe(LayeredRecipe):
    """Integer weights and activations in an ONNX file, between QuantizeLinear and its inverse."""

    reads_samples = True

    ranges: Method

    @property
    def kernels(self) -> str:
        """The same whatever the ranges and biases."""
        return replace(self, ranges="minmax").name

    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one."""
        made = self.quantized(source, feed, folder)
        return OnnxProbe(made.prepared), OnnxProbe(made.data)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """ONNX Runtime's own, too."""
        return library_errors()

    @abstractmethod
    def quantized(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> Quantized:
        """The opset-17 form of the source in QDQ form; tensors have their names still."""
