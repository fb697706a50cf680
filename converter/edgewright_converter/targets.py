"""Makes and measures all candidates of one target."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.golden import GoldenVectors
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.tensors import Array
from edgewright_manifests.variant import Precision, Target, Tolerance
from edgewright_runtime.engine import Session, open_session

from edgewright_converter.candidate import (
    Artifact,
    Candidate,
    Failure,
    Latency,
    Recipe,
    RecipeSource,
)
from edgewright_converter.errors import ConverterError, RecipeFailed, TargetRefused
from edgewright_converter.measure import Evaluation, Reference, evaluate, measure_latency
from edgewright_converter.measure.mil_evaluator import open_package
from edgewright_converter.noise import silenced
from edgewright_converter.progress import Progress
from edgewright_converter.quantize.recipes import recipes_for
from edgewright_converter.quantize.selection import (
    MIN_FLOAT_SNR_DB,
    choose,
    cost_problem,
    gate_problem,
)
from edgewright_converter.request import Gates, WantedPrecision
from edgewright_converter.samples import Samples
from edgewright_converter.tolerance import tolerance_for

_LATENCY_BUDGET_S = 2.0
"""Per target: 300 rounds of a 1 ms model, and still 5 rounds of one that takes 50 ms."""


_AUTO: Mapping[Target, tuple[Precision, ...]] = {"coreml": ("fp16", "int8")}
"""What `--precision auto` looks for, where it is not INT8: Apple's fast units compute in FP16."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every target of one conversion is measured against."""

    signature: ModelSignature
    calibration: Samples | None
    evaluation: Samples
    reference: Reference
    golden: GoldenVectors
    golden_rows: tuple[int, ...]
    """Which held-out samples the golden vectors are."""
    gates: Gates
    precision: WantedPrecision
    folder: Path
    """Scratch space."""


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


@dataclass(frozen=True, slots=True)
class _Opened:
    artifact: Artifact
    session: Session
    evaluation: Evaluation


def convert_target(source: RecipeSource, bench: Bench, progress: Progress) -> TargetResult:
    """Try every recipe of one target on one set of samples, and choose.

    Raises TargetRefused when the float form is wrong, or when a precision that was asked for
    by name does not pass the gates.
    """
    target = source.float_artifact.target
    with contextlib.ExitStack() as opened:
        plain = _open_float(source.float_artifact, bench, opened)
        tried: list[_Opened] = []
        failures: list[Failure] = []
        for recipe in _wanted_recipes(target, bench):
            if recipe.precision == "mixed" and _any_passes(tried, bench):
                continue  # Layers are kept in float only where all INT8 loses too much.
            progress.step(f"{target}: {recipe.name}")
            try:
                artifact = recipe.build(source, bench.calibration)
                tried.append(_open(artifact, bench, opened, str(len(tried))))
            except RecipeFailed as error:
                failures.append(Failure(recipe.precision, recipe.name, error.reason))
            except _Unusable as error:
                failures.append(Failure(recipe.precision, recipe.name, str(error)))
        if target not in _EVALUATED:
            progress.step(f"{target}: latency of {1 + len(tried)} candidates")
        candidates = _time([plain, *tried], bench)
        choice = choose(candidates[0], candidates[1:], bench.gates)
        cost = cost_problem(candidates[0], bench.gates)
    winner = 0 if choice.winner is None else choice.winner + 1
    note = _note(bench, candidates, choice.reasons, failures) if winner == 0 else ""
    if winner == 0 and cost:
        raise TargetRefused(target, f"float has a {cost}; {note or 'nothing smaller was tried'}")
    if winner == 0 and bench.precision in ("int8", "fp16"):
        raise TargetRefused(
            target, f"{note}; widen the gate, or ask for --precision auto, which ships float then"
        )
    rows = np.asarray(bench.golden_rows)
    outputs: dict[str, Array] = {
        name: value[rows] for name, value in [plain, *tried][winner].evaluation.outputs.items()
    }
    lost = "" if winner == 0 else "a smaller variant passes the gates"
    return TargetResult(
        target,
        plain.session.placement,
        candidates[winner],
        tolerance_for(bench.golden, outputs, candidates[winner].artifact.precision),
        f"float ships: {note}" if note else "",
        tuple(candidates),
        (lost, *choice.reasons),
        tuple(failures),
    )


class _Unusable(ConverterError):
    """The engine refuses an artifact, or what it answers cannot be judged."""


def _any_passes(tried: Sequence[_Opened], bench: Bench) -> bool:
    return any(not gate_problem(item.evaluation.quality, bench.gates) for item in tried)


def _wanted_recipes(target: Target, bench: Bench) -> Sequence[Recipe]:
    if bench.precision == "float":
        return ()
    wanted = (
        _AUTO.get(target, ("int8", "mixed")) if bench.precision == "auto" else (bench.precision,)
    )
    return [
        recipe
        for precision in wanted
        for recipe in recipes_for(target, precision)
        if bench.calibration is not None or not recipe.needs_calibration
    ]


def _open_float(artifact: Artifact, bench: Bench, opened: contextlib.ExitStack) -> _Opened:
    target = artifact.target
    try:
        plain = _open(artifact, bench, opened, "float")
    except _Unusable as error:
        raise TargetRefused(target, f"the converted model cannot be run: {error}") from error
    snr_db = plain.evaluation.quality.snr_db
    assert snr_db is not None  # evaluate always gives it
    if snr_db < MIN_FLOAT_SNR_DB:
        raise TargetRefused(
            target,
            f"the converted float model answers differently from the source ({snr_db:.1f} dB SNR, "
            f"at least {MIN_FLOAT_SNR_DB:.0f} dB wanted); leave this target out and report the "
            "model's operators",
        )
    return plain


def _open(artifact: Artifact, bench: Bench, opened: contextlib.ExitStack, label: str) -> _Opened:
    path = artifact.write(bench.folder / f"{artifact.target}-{label}")
    try:
        with silenced():
            session = _EVALUATED.get(artifact.target, _open_engine)(artifact.target, path)
        opened.callback(session.close)
        _check_signature(session.signature, bench.signature)
        return _Opened(artifact, session, evaluate(session, bench.evaluation, bench.reference))
    # The engine's errors (ModelRejected, InferenceFailed ...) say all in their one line.
    except EdgewrightError as error:
        # They name a scratch file that is gone by the time anyone reads this.
        raise _Unusable(str(error).replace(f"{path}: ", "")) from error


def _open_engine(target: Target, path: Path) -> Session:
    return open_session(target, path, threads=1)


def _open_evaluator(_: Target, path: Path) -> Session:
    return open_package(path)


def _open_as_onnx(_: Target, path: Path) -> Session:
    return open_session("onnx", path, threads=1)


_EVALUATED: Mapping[Target, Callable[[Target, Path], Session]] = {
    "coreml": _open_evaluator,
    "tensorrt": _open_as_onnx,
}
"""Targets that nothing here can run: an evaluator gives their outputs, and nobody their latency."""


def _check_signature(found: ModelSignature, wanted: ModelSignature) -> None:
    for kind, have, want in (
        ("input", found.inputs, wanted.inputs),
        ("output", found.outputs, wanted.outputs),
    ):
        if [_key(spec) for spec in have] != [_key(spec) for spec in want]:
            raise ConverterError(
                f"its {kind}s are {[_key(s) for s in have]}, the source's {[_key(s) for s in want]}"
            )


def _key(spec: TensorSpec) -> tuple[str, str, int]:
    return spec.name, spec.datatype, len(spec.shape)


def _time(opened: Sequence[_Opened], bench: Bench) -> list[Candidate]:
    sessions = [item.session for item in opened]
    latencies: Sequence[Latency | None] = [None] * len(opened)
    if opened[0].artifact.target not in _EVALUATED:
        latencies = measure_latency(sessions, bench.evaluation, budget_s=_LATENCY_BUDGET_S)
    return [
        Candidate(item.artifact, item.evaluation.quality, latency, item.evaluation.predictions)
        for item, latency in zip(opened, latencies, strict=True)
    ]


def _note(
    bench: Bench,
    candidates: Sequence[Candidate],
    reasons: Sequence[str],
    failures: Sequence[Failure],
) -> str:
    """Why nothing smaller than float ships although it was looked for."""
    if bench.precision == "float":
        return ""
    if bench.precision == "auto" and bench.calibration is None and not (reasons or failures):
        return "INT8 needs samples; give --calibration"
    if reasons:
        nearest = max(
            range(len(reasons)), key=lambda i: candidates[i + 1].quality.snr_db or float("-inf")
        )
        return f"{candidates[nearest + 1].artifact.recipe}: {reasons[nearest]}"
    if failures:
        return f"{failures[0].recipe}: {failures[0].reason}"
    return "there is no recipe for this precision"
