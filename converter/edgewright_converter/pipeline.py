"""The whole of one conversion, stage by stage: `convert(request) -> Conversion`."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from edgewright_manifests.bundle import DOCUMENT, MEASUREMENTS, REPORT, BundleWriter, open_bundle
from edgewright_manifests.digest import digest_of
from edgewright_manifests.documents import encode
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import Constraints, Target
from edgewright_runtime.engine import Session
from edgewright_runtime.engine.telemetry import forbid_telemetry

from edgewright_converter.assembly import assemble_measurements, assemble_report
from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.emit.coreml import coreml_problem, emit_coreml
from edgewright_converter.emit.onnx_model import emit_onnx
from edgewright_converter.emit.openvino import emit_openvino
from edgewright_converter.emit.tensorrt import CONSTRAINTS as TENSORRT
from edgewright_converter.emit.tensorrt import emit_tensorrt
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import ConverterError, SampleError, TargetRefused
from edgewright_converter.fixed_size import fix_asked_sizes, fix_sample_sizes
from edgewright_converter.frontend import OnnxSource, read_onnx
from edgewright_converter.held_out import SampleSplit, check_batch_axis, draw_golden, split_samples
from edgewright_converter.measure import Reference, run_samples
from edgewright_converter.noise import silenced
from edgewright_converter.preparation import Prepared, open_source, prepare
from edgewright_converter.progress import Progress
from edgewright_converter.provenance import collect_provenance
from edgewright_converter.report.document import Report
from edgewright_converter.report.html import render_html
from edgewright_converter.report.model_card import render_model_card
from edgewright_converter.request import ConversionRequest
from edgewright_converter.sample_file import read_samples
from edgewright_converter.samples import Samples
from edgewright_converter.targets import Bench, TargetResult, convert_target

STAGES = 5


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came out: the bundle's folder, its digest, and the report that is in it."""

    out: Path
    digest: str
    report: Report


def convert(request: ConversionRequest, progress: Progress, now: datetime.datetime) -> Conversion:
    """Make the bundle at `request.out`, or raise and leave nothing.

    Raises ConverterError (bad model, bad samples, a named target that cannot be made) and
    BundleError (`out` exists or cannot be written).
    """
    forbid_telemetry()
    _check_free(request)
    request, missing = _without_missing_extras(request)
    with (
        TemporaryDirectory(prefix="edgewright-") as name,
        BundleWriter(request.name, request.version) as bundle,
    ):
        folder = Path(name)
        progress.stage(f"reading {request.model.name} and the samples")
        source, split, size_notes = _read(request, folder)
        session = open_source(source, request.model, folder)
        try:
            signature = session.signature
            check_batch_axis(signature)
            progress.stage(f"the float model on {split.evaluation.count} held-out samples")
            reference = Reference(run_samples(session, split.evaluation), split.evaluation.labels)
        finally:
            session.close()
        _check_labels(request, reference)
        prepared = prepare(source, signature, split.evaluation, reference.outputs, folder)
        prepared = replace(prepared, notes=(*size_notes, *prepared.notes))
        for note in (*prepared.notes, *_split_warnings(split), *missing):
            progress.warn(note)
        golden, rows = _golden(split.evaluation, reference, request.golden)
        bench = Bench(
            signature, split.calibration, split.evaluation, reference, golden, rows,
            request.gates, request.precision, folder,
        )  # fmt: skip  # one line of measure, one of request
        progress.stage(f"converting to {', '.join(request.targets)}")
        results, refused = _convert_targets(request, prepared, bench, progress)
        progress.stage("writing the report")
        vectors = write_golden(golden)
        report = assemble_report(
            request, source, prepared.notes, signature, split, reference, results, refused,
            golden_digest=digest_of(vectors),
            golden_samples=golden.samples,
            provenance=collect_provenance(now),
        )  # fmt: skip  # one line of measure, one of result
        progress.stage(f"writing {request.out}")
        _fill(bundle, report, results, vectors)
        bundle.commit(request.out, replace=request.replace)
    return Conversion(request.out, open_bundle(request.out).digest, report)


def _read(
    request: ConversionRequest, folder: Path
) -> tuple[OnnxSource, SampleSplit, tuple[str, ...]]:
    """The source in the size of the samples, the samples, and notes about the size."""
    source = read_onnx(request.model)

    def reopen(model: OnnxSource) -> Session:
        return open_source(model, request.model, folder)

    if request.input_sizes:
        session = reopen(source)
        session.close()
        source = fix_asked_sizes(source, session.signature, dict(request.input_sizes))
    session = reopen(source)
    try:
        check_batch_axis(session.signature)
        split = _read_samples(request, session.signature)
        fixed, notes = fix_sample_sizes(source, session, split.evaluation, request.model, reopen)
    finally:
        session.close()
    return fixed, split, notes


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


def _emit_tflite(data: bytes) -> Artifact:
    try:
        with silenced():
            written = write_tflite(onnx.load_model_from_string(data))
    except TargetRefused:
        raise
    except ConverterError as error:
        raise TargetRefused("tflite", str(error)) from error
    return Artifact("tflite", "float", "float", (("model.tflite", written),))


EMITTERS: Mapping[Target, Callable[[bytes], Artifact]] = {
    "onnx": emit_onnx,
    "openvino": emit_openvino,
    "tflite": _emit_tflite,
    "coreml": emit_coreml,
    "tensorrt": emit_tensorrt,
}
"""ONNX bytes -> the float artifact. A new target is one line here and one in RECIPES."""


_CONSTRAINTS: Mapping[Target, Constraints] = {"tensorrt": TENSORRT}


def _convert_targets(
    request: ConversionRequest, prepared: Prepared, bench: Bench, progress: Progress
) -> tuple[list[TargetResult], dict[Target, str]]:
    results: list[TargetResult] = []
    refused: dict[Target, str] = {}
    for target in request.targets:
        progress.step(f"{target}: float")
        try:
            plain = EMITTERS[target](prepared.simplified)
            results.append(
                convert_target(
                    RecipeSource(
                        plain,
                        prepared.quantizable,
                        prepared.quantizable_problem,
                        prepared.simplified,
                    ),
                    bench,
                    progress,
                )
            )
        except TargetRefused as error:
            if not request.all_targets:
                raise
            progress.warn(f"{target} is left out: {error.reason}")
            refused[target] = error.reason
    if not results:
        reasons = "; ".join(f"{target}: {reason}" for target, reason in refused.items())
        raise ConverterError(f"{request.model}: no target can be made ({reasons})")
    return results, refused


def _read_samples(request: ConversionRequest, signature: ModelSignature) -> SampleSplit:
    calibration = (
        read_samples(request.calibration, signature) if request.calibration is not None else None
    )
    evaluation = (
        read_samples(request.evaluation, signature) if request.evaluation is not None else None
    )
    path = request.evaluation or request.calibration or request.model
    return split_samples(calibration, evaluation, signature, path)


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
    return GoldenVectors(dict(drawn.inputs), outputs, drawn.labels), rows


def _fill(
    bundle: BundleWriter, report: Report, results: list[TargetResult], vectors: bytes
) -> None:
    shared = (
        bundle.add_blob(encode(report), REPORT, "report.json"),
        bundle.add_blob(render_html(report).encode(), DOCUMENT, "report.html"),
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
            golden=vectors,
            shared=shared,
        )
