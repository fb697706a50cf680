"""Makes and measures all candidates of all targets, and chooses what ships."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edgewright_manifests.golden import GoldenVectors
from edgewright_manifests.tensors import Array
from edgewright_manifests.variant import Precision, Target, Tolerance

from edgewright_converter.cache import Key
from edgewright_converter.candidate import Artifact, Candidate, Failure, Latency, Recipe
from edgewright_converter.crate import read_crate
from edgewright_converter.errors import ChildFailed, ConverterError, TargetRefused
from edgewright_converter.jobs import FloatJob, LatencyJob, Ranking, RankJob, RecipeJob, Trial
from edgewright_converter.jobs.opening import has_engine
from edgewright_converter.measure import Evaluation, Reference, judge_outputs
from edgewright_converter.measure.gates import cost_problem, gate_problem
from edgewright_converter.quantize.layer_search import LayerSearch
from edgewright_converter.quantize.recipes import SMALLEST, recipes_for
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe
from edgewright_converter.quantize.selection import MIN_FLOAT_SNR_DB, choose
from edgewright_converter.request import Gates, WantedPrecision
from edgewright_converter.tolerance import tolerance_for
from edgewright_converter.workshop import Made, Workshop

_AUTO: Mapping[Target, tuple[Precision, ...]] = {"coreml": ("fp16", "int8")}
"""What `--precision auto` looks for, where it is not INT8: Apple's fast units compute in FP16."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every target of one conversion is measured against."""

    reading: Path
    """The crate of the Reading; jobs map the samples from there."""
    preparation: Path
    """The crate of the Preparation."""
    calibrated: bool
    """Whether there are calibration samples."""
    reference: Reference
    golden: GoldenVectors
    golden_rows: tuple[int, ...]
    """Which held-out samples the golden vectors are."""
    gates: Gates
    precision: WantedPrecision
    key: Key
    """What every artifact here was made from and is measured on."""


@dataclass(frozen=True, slots=True)
class TargetResult:
    """What ships for one target, and everything that was tried."""

    target: Target
    placement: str
    shipped: Candidate
    tolerance: Tolerance
    note: str
    """Why float ships where something smaller was looked for; else empty."""
    candidates: tuple[Candidate, ...]
    """Float first."""
    reasons: tuple[str, ...]
    """Per candidate why it lost; "" for the one that ships."""
    failures: tuple[Failure, ...]
    evaluation: Evaluation
    """Of what ships."""
    crate: Path
    """The Trial of what ships."""


@dataclass(frozen=True, slots=True)
class _Judged:
    artifact: Artifact
    """Without contents; they are in the crate."""
    placement: str
    crate: Path
    evaluation: Evaluation


class TargetRun:
    """One target on its way: its float form, then what its recipes gave, then the choice."""

    def __init__(self, target: Target, plain: Made, bench: Bench) -> None:
        """`plain` is the outcome of its FloatJob.

        Raises TargetRefused when the float form is wrong or cannot be made.
        """
        self.target = target
        self._bench = bench
        try:
            self._plain = _judged(plain, bench)
        except ChildFailed as error:
            raise TargetRefused(target, f"the conversion failed: {error.reason}") from error
        except TargetRefused:
            raise
        except ConverterError as error:
            raise TargetRefused(target, str(error)) from error
        snr_db = self._plain.evaluation.quality.snr_db
        assert snr_db is not None  # judge_outputs always gives it
        if snr_db < MIN_FLOAT_SNR_DB:
            raise TargetRefused(
                target,
                f"the converted float model answers differently from the source ({snr_db:.1f} dB "
                f"SNR, at least {MIN_FLOAT_SNR_DB:.0f} dB wanted); leave this target out and "
                "report the model's operators",
            )
        self._tried: list[_Judged] = []
        self._failures: list[Failure] = []
        self._search = LayerSearch(target, bench.precision)

    def wanted(self) -> list[tuple[Recipe, RecipeJob]]:
        """Recipes to try whatever comes of the others."""
        bench = self._bench
        if bench.precision == "float":
            return []
        auto = _AUTO.get(self.target, ("int8",))
        precisions = auto if bench.precision == "auto" else (bench.precision,)
        recipes = [
            recipe for precision in precisions for recipe in recipes_for(self.target, precision)
        ]
        if bench.gates.max_size_bytes is not None and bench.precision == "auto":
            recipes += SMALLEST.get(self.target, ())
        return [
            (recipe, self._job(recipe))
            for recipe in recipes
            if bench.calibrated or not recipe.needs_calibration
        ]

    def ranking(self) -> list[tuple[LayeredRecipe, RankJob]]:
        """What to measure layer by layer: what INT8 arithmetic costs; and weights alone, where
        layers have to be kept in float.
        """
        bench = self._bench
        if not bench.calibrated:
            return []
        plain = self._plain.crate
        return [
            (recipe, RankJob(self.target, recipe, bench.reading, bench.preparation, plain))
            for recipe in self._search.to_rank(passes=self._any_passes())
        ]

    def take_ranking(self, recipe: LayeredRecipe, made: Made) -> None:
        """The layers under a recipe; one that fails is only not searched further."""
        try:
            found = made.value()
        except ChildFailed:
            return
        if isinstance(found, Ranking):
            self._search.take(recipe, found.layers)

    def next_mixed(self) -> list[tuple[Recipe, RecipeJob]]:
        """The next step of the search: more layers in float, until something may ship."""
        recipe = None if self._any_passes(smaller=True) else self._search.next()
        return [] if recipe is None else [(recipe, self._job(recipe))]

    def take(self, recipe: Recipe, made: Made) -> None:
        """What a recipe gave; in the recipes' own order."""
        try:
            found = made.value()
            if isinstance(found, Failure):
                self._failures.append(found)
            else:
                self._tried.append(_judged(made, self._bench))
        except ChildFailed as error:
            self._failures.append(Failure(recipe.precision, recipe.name, error.reason))

    @property
    def timing(self) -> LatencyJob | None:
        """The job that times all candidates; None where nothing here can run the target."""
        if not has_engine(self.target):
            return None
        crates = tuple(item.crate for item in (self._plain, *self._tried))
        return LatencyJob(self._bench.reading, self._bench.preparation, crates)

    def choose(self, latencies: Sequence[Latency] | None) -> TargetResult:
        """What ships. Raises TargetRefused where the limits or the precision forbid all."""
        bench, every = self._bench, [self._plain, *self._tried]
        candidates = [
            Candidate(
                item.artifact,
                item.evaluation.quality,
                latencies[index] if latencies is not None else None,
                item.evaluation.predictions,
                self._search.layers_of(item.artifact.recipe),
            )
            for index, item in enumerate(every)
        ]
        asked = bench.precision != "auto" or bench.gates.max_size_bytes is not None
        choice = choose(candidates[0], candidates[1:], bench.gates, slower_for_smaller=asked)
        cost = cost_problem(candidates[0], bench.gates)
        winner = 0 if choice.winner is None else choice.winner + 1
        note = _note(bench, candidates, choice.reasons, self._failures) if winner == 0 else ""
        if winner == 0 and cost:
            reason = f"float has a {cost}; {note or 'nothing smaller was tried'}"
            raise TargetRefused(self.target, reason)
        if winner == 0 and bench.precision in ("int8", "fp16"):
            raise TargetRefused(
                self.target,
                f"{note}; widen the gate, or ask for --precision auto, which ships float then",
            )
        rows = np.asarray(bench.golden_rows)
        outputs: dict[str, Array] = {
            name: value[rows] for name, value in every[winner].evaluation.outputs.items()
        }
        trial: Trial = read_crate(every[winner].crate)
        candidates[winner] = replace(candidates[winner], artifact=trial.artifact)
        lost = "" if winner == 0 else "a smaller variant passes the gates"
        return TargetResult(
            self.target,
            self._plain.placement,
            candidates[winner],
            tolerance_for(bench.golden, outputs, candidates[winner].artifact.precision),
            f"float ships: {note}" if note else "",
            tuple(candidates),
            (lost, *choice.reasons),
            tuple(self._failures),
            every[winner].evaluation,
            every[winner].crate,
        )

    def _job(self, recipe: Recipe) -> RecipeJob:
        bench = self._bench
        return RecipeJob(self.target, recipe, bench.reading, bench.preparation, self._plain.crate)

    def _any_passes(self, *, smaller: bool = False) -> bool:
        """Whether something keeps the quality, and with `smaller` is no larger than float."""
        gates, size_bytes = self._bench.gates, self._plain.artifact.size_bytes
        return any(
            not gate_problem(item.evaluation.quality, gates)
            and not (smaller and item.artifact.size_bytes >= size_bytes)
            for item in self._tried
        )


def convert_targets(
    targets: Sequence[Target], bench: Bench, workshop: Workshop
) -> dict[Target, TargetResult | TargetRefused]:
    """Try every recipe of every target on one set of samples, and choose for each."""
    refused: dict[Target, TargetResult | TargetRefused] = {}
    runs: list[TargetRun] = []
    plain_jobs = [
        (f"{target}: float", FloatJob(target, bench.reading, bench.preparation))
        for target in targets
    ]
    floats = workshop.make(plain_jobs, bench.key)
    for target, plain in zip(targets, floats, strict=True):
        try:
            runs.append(TargetRun(target, plain, bench))
        except TargetRefused as error:
            refused[target] = error
    _round(runs, [run.wanted() for run in runs], bench, workshop)
    rankings = [(run, *wanted) for run in runs for wanted in run.ranking()]
    orders = [(f"{run.target}: layers under {recipe.name}", job) for run, recipe, job in rankings]
    for (run, recipe, _), found in zip(rankings, workshop.make(orders, bench.key), strict=True):
        run.take_ranking(recipe, found)
    while any(steps := [run.next_mixed() for run in runs]):
        _round(runs, steps, bench, workshop)
    results = dict(refused)
    for run in runs:
        try:
            latencies = workshop.measure(run.target, run.timing)
        except ConverterError as error:
            reason = f"its latency cannot be measured: {error}"
            results[run.target] = TargetRefused(run.target, reason)
            continue
        try:
            results[run.target] = run.choose(latencies)
        except TargetRefused as error:
            results[run.target] = error
    return results


def _round(
    runs: Sequence[TargetRun],
    wanted: Sequence[Sequence[tuple[Recipe, RecipeJob]]],
    bench: Bench,
    workshop: Workshop,
) -> None:
    """Make what each run wants, all together, and give it to them in their order."""
    flat = [(run, *one) for run, of_run in zip(runs, wanted, strict=True) for one in of_run]
    orders = [(f"{run.target}: {recipe.name}", job) for run, recipe, job in flat]
    for (run, recipe, _), found in zip(flat, workshop.make(orders, bench.key), strict=True):
        run.take(recipe, found)


def _judged(made: Made, bench: Bench) -> _Judged:
    trial: Trial = made.value()
    evaluation = judge_outputs(trial.outputs, bench.reference)
    return _Judged(trial.artifact.without_contents(), trial.placement, made.crate, evaluation)


def _note(
    bench: Bench,
    candidates: Sequence[Candidate],
    reasons: Sequence[str],
    failures: Sequence[Failure],
) -> str:
    """Why nothing smaller than float ships although it was looked for."""
    if bench.precision == "float":
        return ""
    if bench.precision == "auto" and not bench.calibrated and not (reasons or failures):
        return "INT8 needs samples; give --calibration"
    if reasons:
        nearest = max(
            range(len(reasons)), key=lambda i: candidates[i + 1].quality.snr_db or float("-inf")
        )
        return f"{candidates[nearest + 1].artifact.recipe}: {reasons[nearest]}"
    if failures:
        return f"{failures[0].recipe}: {failures[0].reason}"
    return "there is no recipe for this precision"
