"""Which layers to keep in float: more and more of the worst, until the gates pass.

Twice as many at each step: the errors of a network's layers add up, so that the first few
decide or none do, and every step is a whole artifact that is measured end to end.
"""

from collections.abc import Sequence

from edgewright_manifests.variant import Target

from edgewright_converter.candidate import LayerError, Recipe
from edgewright_converter.quantize.layers import HurtLayer, layer_errors
from edgewright_converter.quantize.recipes import LAYERED, recipes_for
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe
from edgewright_converter.request import WantedPrecision

_MOST_SHARE = 0.5
"""With more than half of the layers in float there is little left to gain."""


class LayerSearch:
    """The search for one target; `precision` is what was asked for."""

    def __init__(self, target: Target, precision: WantedPrecision) -> None:
        self._bases = LAYERED.get(target, ()) if precision in ("auto", "int8") else ()
        self._steps: list[Recipe] = (
            list(recipes_for(target, "mixed")) if precision == "auto" else []
        )
        self._mixes = precision == "auto"
        self._told: dict[str, tuple[LayerError, ...]] = {}

    def to_rank(self, *, passes: bool) -> Sequence[LayeredRecipe]:
        """The recipes whose layers are to be measured: one to tell of, all to search with."""
        return self._bases if self._mixes and not passes else self._bases[:1]

    def take(self, recipe: LayeredRecipe, ranked: Sequence[HurtLayer]) -> None:
        """The layers under one of them, worst first; its steps come after those taken before."""
        self._told[recipe.name] = layer_errors(ranked, 0)
        kept = 1
        while self._mixes and kept <= _MOST_SHARE * len(ranked):
            step = recipe.keeping(ranked[:kept])
            self._told[step.name] = layer_errors(ranked, kept)
            self._steps.append(step)
            kept *= 2

    def next(self) -> Recipe | None:
        """The next recipe to try, or None when all were."""
        return self._steps.pop(0) if self._steps else None

    def layers_of(self, recipe: str) -> tuple[LayerError, ...]:
        """What is known of the layers under a recipe, by its name."""
        return self._told.get(recipe, ())
