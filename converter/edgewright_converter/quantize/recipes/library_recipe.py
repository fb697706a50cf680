"""What all recipes of the quantization libraries have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self, TypeVar

from edgewright_manifests.variant import Precision, Target

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.noise import silenced
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.layers import HurtLayer, few, rank_layers, with_weights
from edgewright_converter.quantize.probes import Probe
from edgewright_converter.samples import Samples

T = TypeVar("T")
Files = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class LibraryRecipe(ABC):
    """A recipe that hands the work to a library: quiet, in a scratch folder, its errors ours."""

    target: ClassVar[Target]
    reads_samples: ClassVar[bool]
    """Whether the library looks at samples; every one must then be read."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The library's own words."""

    @property
    @abstractmethod
    def precision(self) -> Precision:
        """What the weights and activations become."""

    @property
    def kernels(self) -> str:
        """See Artifact; ranges and biases do not change what is computed, only with what."""
        return self.name

    @property
    def needs_calibration(self) -> bool:
        """Anything below half precision: the gates need samples to measure on."""
        return self.precision != "fp16"

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Make the files. Raises RecipeFailed with the library's reason, and ConverterError
        when a recipe that reads samples read some of them only.
        """
        files = self._with_feed(calibration, partial(self.quantize, source))
        return Artifact(self.target, self.precision, self.name, files, self.kernels)

    @abstractmethod
    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Call the library. `folder` is empty and gone afterwards."""

    def quantizable(self, source: RecipeSource) -> bytes:
        """The opset-17 form of the source. Raises RecipeFailed where there is none."""
        if source.quantizable_onnx is None:
            raise RecipeFailed(self.name, source.quantizable_problem)
        return source.quantizable_onnx

    def library_errors(self) -> tuple[type[Exception], ...]:
        """What the library raises for a model that it cannot quantize; most have bare ones."""
        return (ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError)

    def _with_feed(
        self, calibration: Samples | None, work: Callable[[CalibrationFeed | None, Path], T]
    ) -> T:
        """Do `work` quietly, and see that it read every sample that it should have."""
        feed = CalibrationFeed(calibration) if calibration and self.reads_samples else None
        with silenced(), TemporaryDirectory(prefix="edgewright-") as folder:
            try:
                found = work(feed, Path(folder))
            except self.library_errors() as error:
                raise RecipeFailed(self.name, last_line(error)) from error
        if feed is not None:
            if feed.untouched:
                raise RecipeFailed(self.name, "it found nothing that can be quantized")
            feed.require_consumed(self.name)
        return found


@dataclass(frozen=True, slots=True)
class LayeredRecipe(LibraryRecipe):
    """A recipe that can leave layers out, and tell which ones it hurts."""

    kept_float: tuple[str, ...] = field(default=(), kw_only=True)
    """What stays in float, weights and all, in the words of the library."""
    kept_layers: tuple[int, ...] = field(default=(), kw_only=True)
    """Which layers those are, by their places in the order of what they add to the error."""

    @property
    def precision(self) -> Precision:
        """INT8, or partly."""
        return "mixed" if self.kept_float else "int8"

    def keeping(self, ranked: Sequence[HurtLayer], places: Sequence[int]) -> Self:
        """The same with those layers of `ranked` in float."""
        nodes = dict.fromkeys(node for place in places for node in ranked[place].nodes)
        return replace(self, kept_float=tuple(nodes), kept_layers=tuple(places))

    def measure_layers(self, source: RecipeSource, calibration: Samples) -> tuple[HurtLayer, ...]:
        """Every layer's error under this recipe, those first that add most. Raises RecipeFailed."""

        def work(feed: CalibrationFeed | None, folder: Path) -> tuple[HurtLayer, ...]:
            plain, quantized = self.probes(source, feed, folder)
            ranked = rank_layers(plain, quantized, few(calibration))
            return ranked if self.reads_samples else with_weights(ranked)

        return self._with_feed(calibration, work)

    @abstractmethod
    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one, with the same names inside."""

    def layers_words(self) -> str:
        """How the name says that it is mixed; "" where no layer is kept."""
        kept = self.kept_layers
        if not kept:
            return ""
        if kept[0]:
            return f", worst layer but {kept[0]} float"
        return f", worst {len(kept)} {'layer' if len(kept) == 1 else 'layers'} float"


def last_line(error: Exception) -> str:
    """The error's class and the last line that it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
