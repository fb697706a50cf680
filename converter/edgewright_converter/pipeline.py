"""The whole of one conversion, stage by stage: `convert(request) -> Conversion`."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from edgewright_manifests.bundle import DOCUMENT, MEASUREMENTS, REPORT, BundleWriter, open_bundle
from edgewright_manifests.digest import digest_of
from edgewright_manifests.documents import encode
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.variant import Constraints, Target

from edgewright_converter.assembly import assemble_measurements, assemble_report
from edgewright_converter.cache import Store, environment_key
from edgewright_converter.children import Crew
from edgewright_converter.emit.coreml import coreml_problem
from edgewright_converter.emit.tensorrt import CONSTRAINTS as TENSORRT
from edgewright_converter.errors import (
    ChildFailed,
    ConverterError,
    ModelFileError,
    SampleError,
    TargetRefused,
)
from edgewright_converter.exhibition import exhibit
from edgewright_converter.held_out import SampleSplit, draw_golden
from edgewright_converter.jobs import Preparation, PrepareJob, Reading, ReadJob
from edgewright_converter.means import Means
from edgewright_converter.measure import Reference
from edgewright_converter.measure.metrics import build_metrics
from edgewright_converter.progress import Progress
from edgewright_converter.provenance import collect_provenance
from edgewright_converter.report.document import Report
from edgewright_converter.report.exhibits import Exhibits
from edgewright_converter.report.html import render_html
from edgewright_converter.report.model_card import render_model_card
from edgewright_converter.request import ConversionRequest
from edgewright_converter.samples import Samples
from edgewright_converter.targets import Bench, TargetResult, convert_targets
from edgewright_converter.workshop import Made, Workshop

STAGES = 5


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came out: the bundle's folder, its digest, and the report that is in it."""

    out: Path
    digest: str
    report: Report


def convert(
    request: ConversionRequest, means: Means, progress: Progress, now: datetime.datetime
) -> Conversion:
    """Make the bundle at `request.out`, or raise and leave nothing.

    Raises ConverterError (bad model, bad samples, a named target that cannot be made) and
    BundleError (`out` exists or cannot be written).
    """
    _check_free(request)
    request, missing = _without_missing_extras(request)
    key = environment_key()
    with (
        TemporaryDirectory(prefix="edgewright-") as name,
        BundleWriter(request.name, request.version) as bundle,
        Crew(Path(name), means.limits, means.jobs) as crew,
    ):
        workshop = Workshop(crew, _store(means), progress, Path(name))
        progress.stage(f"reading {request.model.name} and the samples")
        read = workshop.read(ReadJob(request))
        reading = _model_read(read, request)
        source, split = reading.source, reading.split
        key = key.with_parts(digest_of(source.data), split.evaluation.digest)
        progress.stage(f"the float model on {split.evaluation.count} held-out samples")
        (ready,) = workshop.make([("float model", PrepareJob(read.crate, request.model))], key)
        preparation = _model_ready(ready, request)
        metrics = build_metrics(request.metrics, request.gates.metrics)
        reference = Reference.of(preparation.outputs, split.evaluation, metrics)
        _check_labels(request, reference)
        notes = (*reading.notes, *preparation.prepared.notes)
        signature = preparation.signature
        del preparation  # two more copies of the model; jobs read them from the crate
        for note in (*notes, *_split_warnings(split), *missing):
            progress.warn(note)
        golden, rows = _golden(split.evaluation, reference, request.golden)
        calibrated = split.calibration is not None
        key = key.with_parts(split.calibration.digest if split.calibration is not None else "")
        bench = Bench(
            read.crate, ready.crate, calibrated, reference, golden, rows,
            request.gates, request.precision, key,
        )  # fmt: skip  # one line of measure, one of request
        progress.stage(f"converting to {', '.join(request.targets)}")
        results, refused = _convert_targets(request, bench, workshop, progress)
        progress.stage("writing the report")
        vectors = write_golden(golden)
        report = assemble_report(
            request, source, notes, signature, split, reference, results, refused,
            golden_digest=digest_of(vectors),
            golden_samples=golden.samples,
            provenance=collect_provenance(now),
        )  # fmt: skip  # one line of measure, one of result
        shown = exhibit(report, results, bench, split.evaluation, request.model, workshop)
        progress.stage(f"writing {request.out}")
        _fill(bundle, report, shown, results, vectors)
        bundle.commit(request.out, replace=request.replace)
    return Conversion(request.out, open_bundle(request.out).digest, report)


def _store(means: Means) -> Store | None:
    return None if means.cache is None else Store(means.cache, means.cache_bytes)


def _model_read(made: Made, request: ConversionRequest) -> Reading:
    try:
        reading: Reading = made.value()
    except ChildFailed as error:
        raise _spoilt(request, "reading it failed", error) from error
    return reading


def _model_ready(made: Made, request: ConversionRequest) -> Preparation:
    try:
        preparation: Preparation = made.value()
    except ChildFailed as error:
        raise _spoilt(request, "running it on the samples failed", error) from error
    return preparation


def _spoilt(request: ConversionRequest, what: str, error: ChildFailed) -> ModelFileError:
    return ModelFileError(request.model, f"{what}: {error.reason}", "check it, or export it again")


def _check_free(request: ConversionRequest) -> None:
    """Before minutes of work, what BundleWriter.commit would say after them."""
    out = request.out
    if not out.exists() and not out.is_symlink():
        return
    if not request.replace:
        raise ConverterError(f"{out}: exists already; give another --out, or add --force")
    if not (out / "oci-layout").is_file():
        raise ConverterError(f"{out}: exists and is no bundle, so --force does not replace it")


def _without_missing_extras(
    request: ConversionRequest,
) -> tuple[ConversionRequest, tuple[str, ...]]:
    """With `--target all` a target whose extra is not installed is not asked for; a note says so.

    Raises TargetRefused for one that was named.
    """
    problem = coreml_problem() if "coreml" in request.targets else ""
    if not problem:
        return request, ()
    if not request.all_targets:
        raise TargetRefused("coreml", problem)
    kept = tuple(target for target in request.targets if target != "coreml")
    return replace(request, targets=kept), (f"coreml is left out: {problem}",)


_CONSTRAINTS: Mapping[Target, Constraints] = {"tensorrt": TENSORRT}


def _convert_targets(
    request: ConversionRequest, bench: Bench, workshop: Workshop, progress: Progress
) -> tuple[list[TargetResult], dict[Target, str]]:
    results: list[TargetResult] = []
    refused: dict[Target, str] = {}
    made = convert_targets(request.targets, bench, workshop)
    for target in request.targets:
        found = made[target]
        if isinstance(found, TargetResult):
            results.append(found)
            continue
        if not request.all_targets:
            raise found
        progress.warn(f"{target} is left out: {found.reason}")
        refused[target] = found.reason
    if not results:
        reasons = "; ".join(f"{target}: {reason}" for target, reason in refused.items())
        raise ConverterError(f"{request.model}: no target can be made ({reasons})")
    return results, refused


def _check_labels(request: ConversionRequest, reference: Reference) -> None:
    if reference.labels is None:
        return
    path = request.evaluation or request.calibration or request.model
    if not reference.classes:
        raise SampleError(
            path,
            "has labels, but the model's first output is not [batch, classes]",
            "take the array `labels` out; quality is then measured against the float model",
        )
    top = int(reference.labels.max())
    if top >= reference.classes:
        raise SampleError(
            path,
            f"has the label {top}, but the model has {reference.classes} classes",
            f"number the classes 0 to {reference.classes - 1}, as the model's output has them",
        )


def _split_warnings(split: SampleSplit) -> tuple[str, ...]:
    return (split.note,) if split.synthetic or "left out" in split.note else ()


def _golden(
    evaluation: Samples, reference: Reference, wanted: int
) -> tuple[GoldenVectors, tuple[int, ...]]:
    rows = draw_golden(evaluation, wanted)
    drawn = evaluation.take(rows, evaluation.origin)
    outputs = {name: value[list(rows)] for name, value in reference.outputs.items()}
    return GoldenVectors(dict(drawn.inputs), outputs, drawn.labels, dict(drawn.raw)), rows


def _fill(
    bundle: BundleWriter,
    report: Report,
    shown: Exhibits,
    results: list[TargetResult],
    vectors: bytes,
) -> None:
    shared = (
        bundle.add_blob(encode(report), REPORT, "report.json"),
        bundle.add_blob(render_html(report, shown).encode(), DOCUMENT, "report.html"),
        bundle.add_blob(render_model_card(report).encode(), DOCUMENT, "model_card.md"),
        bundle.add_blob(encode(assemble_measurements(report)), MEASUREMENTS, "measurements.json"),
    )
    for result in results:
        artifact = result.shipped.artifact
        bundle.add_variant(
            target=result.target,
            precision=artifact.precision,
            recipe=artifact.recipe,
            signature=report.signature,
            files=dict(artifact.files),
            quality=result.shipped.quality,
            tolerance=result.tolerance,
            constraints=_CONSTRAINTS.get(result.target, Constraints()),
            preprocessing=report.preprocessing,
            golden=vectors,
            shared=shared,
        )
