"""Puts what was measured into the typed report."""

from collections.abc import Mapping, Sequence

import numpy as np
from edgewright_manifests.digest import Digest
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import Target

from edgewright_converter.candidate import Candidate, Latency
from edgewright_converter.differences import find_differences
from edgewright_converter.frontend import OnnxSource
from edgewright_converter.held_out import SampleSplit
from edgewright_converter.measure import Reference
from edgewright_converter.report.document import (
    CandidateReport,
    DataFacts,
    GateFacts,
    LatencyFacts,
    LayerFacts,
    Measurements,
    Provenance,
    Report,
    SampleFacts,
    SourceFacts,
    TargetReport,
)
from edgewright_converter.request import ConversionRequest
from edgewright_converter.samples import Labels, Samples
from edgewright_converter.targets import TargetResult

_MAX_CLASSES_SHOWN = 100
"""A confusion matrix of 1000 classes is a million counts, which nobody reads."""

Confusion = tuple[tuple[int, ...], ...]


def assemble_report(
    request: ConversionRequest,
    source: OnnxSource,
    notes: tuple[str, ...],
    signature: ModelSignature,
    split: SampleSplit,
    reference: Reference,
    results: Sequence[TargetResult],
    refused: Mapping[Target, str],
    *,
    golden_digest: Digest,
    golden_samples: int,
    provenance: Provenance,
) -> Report:
    """The report of one conversion; targets in the order in which they were asked for."""
    made = {result.target: _target(result, reference) for result in results}
    missing = {
        target: TargetReport(target=target, outcome="refused", reason=reason)
        for target, reason in refused.items()
    }
    gates = request.gates
    return Report(
        format="edgewright.report.v1",
        name=request.name,
        version=request.version,
        license=request.license,
        source=SourceFacts(
            file=source.file_name,
            digest=source.digest,
            size_bytes=source.size_bytes,
            opset=source.opset,
            producer=source.producer,
            operators=source.operators,
            notes=notes,
        ),
        signature=signature,
        data=DataFacts(
            calibration=None if split.calibration is None else _samples(split.calibration),
            evaluation=_samples(split.evaluation),
            split=split.note,
            synthetic=split.synthetic,
            golden_samples=golden_samples,
            golden_digest=golden_digest,
        ),
        gates=GateFacts(
            max_accuracy_drop=gates.max_accuracy_drop,
            min_top1_agreement=gates.min_top1_agreement,
            min_snr_db=gates.min_snr_db,
            max_slice_drop=gates.max_slice_drop,
            max_latency_ms=gates.max_latency_ms,
            max_size_bytes=gates.max_size_bytes,
            metrics=tuple(gate.label for gate in gates.metrics),
        ),
        precision=request.precision,
        float_accuracy=reference.accuracy,
        confusion_float=_confusion(reference.predictions, reference.labels, reference.classes),
        preprocessing=request.preprocessing,
        targets=tuple((made | missing)[target] for target in request.targets),
        provenance=provenance,
    )


def assemble_measurements(report: Report) -> Measurements:
    """The times of a report, alone."""
    return Measurements(
        format="edgewright.measurements.v1",
        created=report.provenance.created,
        processor=report.provenance.processor,
        latencies=tuple(
            (target.target, candidate.recipe, candidate.latency)
            for target in report.targets
            for candidate in target.candidates
            if candidate.latency is not None
        ),
    )


def _samples(samples: Samples) -> SampleFacts:
    return SampleFacts(
        origin=samples.origin,
        digest=samples.digest,
        samples=samples.count,
        labelled=samples.labels is not None,
        facets=tuple(samples.slices),
        truth=samples.truth is not None,
        raw=tuple(samples.raw),
    )


def _target(result: TargetResult, reference: Reference) -> TargetReport:
    shipped = result.shipped
    tried = [
        _candidate(candidate, reason)
        for candidate, reason in zip(result.candidates, result.reasons, strict=True)
    ]
    failed = [
        CandidateReport(
            recipe=failure.recipe,
            precision=failure.precision,
            outcome="failed",
            reason=failure.reason,
        )
        for failure in result.failures
    ]
    return TargetReport(
        target=result.target,
        outcome="shipped",
        reason=result.note,
        placement=result.placement,
        shipped=f"{result.target}-{shipped.artifact.precision}",
        tolerance=result.tolerance,
        candidates=(*tried, *failed),
        confusion=_confusion(shipped.predictions, reference.labels, reference.classes),
        changed=_changed(shipped.predictions, reference),
        groups=result.evaluation.groups,
        differences=find_differences(reference, result.evaluation.outputs),
    )


def _candidate(candidate: Candidate, reason: str) -> CandidateReport:
    return CandidateReport(
        recipe=candidate.artifact.recipe,
        precision=candidate.artifact.precision,
        outcome="lost" if reason else "shipped",
        reason=reason,
        size_bytes=candidate.artifact.size_bytes,
        quality=candidate.quality,
        latency=None if candidate.latency is None else _latency(candidate.latency),
        layers=tuple(
            LayerFacts(
                name=layer.name,
                operator=layer.operator,
                sqnr_db=round(layer.sqnr_db, 2),
                kept_float=layer.kept_float,
            )
            for layer in candidate.layers
        ),
    )


def _latency(latency: Latency) -> LatencyFacts:
    return LatencyFacts(
        us_p50=round(latency.us_p50, 2),
        us_p90=round(latency.us_p90, 2),
        runs=latency.runs,
        speed_up=round(1 / latency.ratio_to_float, 3),
    )


def _confusion(predictions: Sequence[int], labels: Labels | None, classes: int) -> Confusion:
    if labels is None or not predictions or classes > _MAX_CLASSES_SHOWN:
        return ()
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, np.asarray(predictions)), 1)
    return tuple(tuple(row) for row in counts.tolist())


def _changed(predictions: Sequence[int], reference: Reference) -> tuple[int, ...]:
    if not predictions or reference.classes > _MAX_CLASSES_SHOWN:
        return ()
    float_answers = np.asarray(reference.predictions)
    moved = float_answers[float_answers != np.asarray(predictions)]
    return tuple(np.bincount(moved, minlength=reference.classes).tolist())
