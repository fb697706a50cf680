"""Which layers to keep in float: more and more of the worst, until the gates pass.

Twice as many at each step: the errors of a network's layers add up, so that the first few
decide or none do, and every step is a whole artifact that is measured end to end. In a small
network every one with weights is tried alone too: the one that adds most noise need not be the
one that the answers hang on.
"""

from collections.abc import Iterator, Sequence

from edgewright_manifests.variant import Target

from edgewright_converter.candidate import LayerError, Recipe
from edgewright_converter.quantize.layers import HurtLayer, layer_errors, with_weights
from edgewright_converter.quantize.recipes import LAYERED, recipes_for
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe
from edgewright_converter.request import WantedPrecision

_MOST_SHARE = 0.5
"""With more than half of the layers in float there is little left to gain."""
_SMALL = 6
"""Layers with weights of a network whose every one can be tried: as many candidates more, of a
second each."""


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
        self._told[recipe.name] = layer_errors(ranked, ())
        for places in _choices(ranked) if self._mixes else ():
            step = recipe.keeping(ranked, places)
            self._told[step.name] = layer_errors(ranked, places)
            self._steps.append(step)

    def next(self) -> Recipe | None:
        """The next recipe to try, or None when all were."""
        return self._steps.pop(0) if self._steps else None

    def layers_of(self, recipe: str) -> tuple[LayerError, ...]:
        """What is known of the layers under a recipe, by its name."""
        return self._told.get(recipe, ())


def _choices(ranked: Sequence[HurtLayer]) -> Iterator[Sequence[int]]:
    """Which layers, by their places in `ranked`, to keep in float at each step."""
    heavy = set(with_weights(ranked))
    kept = 1
    while kept <= _MOST_SHARE * len(ranked):
        yield range(kept)
        if kept == 1 and len(heavy) <= _SMALL:
            yield from ([place] for place, one in enumerate(ranked) if place and one in heavy)
        kept *= 2
