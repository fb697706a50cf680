"""Measures what one recipe costs every layer of the model."""

from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.variant import Target

from edgewright_converter.candidate import Failure
from edgewright_converter.crate import read_crate
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.jobs.preparing import Preparation
from edgewright_converter.jobs.reading import Reading
from edgewright_converter.jobs.sign import Sign
from edgewright_converter.jobs.trial import Trial
from edgewright_converter.quantize.layers import HurtLayer
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe


@dataclass(frozen=True, slots=True)
class Ranking:
    """Those layers first that add most to the error."""

    layers: tuple[HurtLayer, ...]


@dataclass(frozen=True, slots=True)
class RankJob:
    """The layers under one recipe of one target; `plain` is the crate of its float Trial."""

    target: Target
    recipe: LayeredRecipe
    reading: Path
    preparation: Path
    plain: Path

    @property
    def identity(self) -> tuple[str, ...]:
        """The recipe with all its settings."""
        return ("layers", self.target, repr(self.recipe))

    def run(self, scratch: Path, sign: Sign) -> Ranking | Failure:
        """A recipe that gives nothing is a result too: it will give nothing again."""
        reading: Reading = read_crate(self.reading)
        preparation: Preparation = read_crate(self.preparation)
        plain: Trial = read_crate(self.plain)
        source = preparation.prepared.source_of(plain.artifact)
        calibration = reading.split.calibration
        assert calibration is not None  # without samples nothing is quantized
        try:
            return Ranking(self.recipe.measure_layers(source, calibration))
        except RecipeFailed as error:
            return Failure(self.recipe.precision, self.recipe.name, error.reason)
