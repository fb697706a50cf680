"""The registry of metrics. A new one is a file beside this one, and one line here."""

import difflib
from collections.abc import Iterator, Mapping, Sequence

from edgewright_manifests.errors import UsageError

from edgewright_converter.measure.metrics import (
    agreement,
    classification,
    cosine,
    custom,
    detection,
    frames,
    mask,
    sequence,
    snr,
)
from edgewright_converter.measure.metrics.kind import Metric, MetricKind
from edgewright_converter.request import MetricGate, MetricRequest

KINDS: Mapping[str, MetricKind] = {
    kind.name: kind
    for kind in (
        snr.KIND,
        cosine.KIND,
        agreement.TOP1,
        agreement.TOP5,
        classification.KIND,
        detection.RECALL,
        detection.MEAN_PRECISION,
        mask.KIND,
        sequence.ERROR_RATE,
        sequence.LINES,
        frames.KIND,
        custom.KIND,
    )
}


def build_metrics(
    metrics: Sequence[MetricRequest], gates: Sequence[MetricGate]
) -> tuple[Metric, ...]:
    """What was asked for, and what a gate needs besides, once each.

    Raises UsageError for an unknown metric or option, and for a gate that asks for the worse.
    """
    asked = dict.fromkeys(metrics)
    for gate in gates:
        if not any(gate.is_for(request.label) for request in asked):
            asked[gate.metric] = None
    built = tuple(_kind(request).bind(request) for request in asked)
    for gate in gates:
        for metric in built:
            if gate.is_for(metric.label):
                _check_gate(gate, metric)
    return built


def describe_metrics() -> Iterator[str]:
    """What each metric is for, as lines to print."""
    for kind in KINDS.values():
        word = f", {kind.unit}" if kind.unit else ""
        yield f"{kind.name} ({kind.better} is better{word})"
        yield f"    {kind.about}"
        for option in kind.options:
            told = " (must be given)" if option.default is None else ""
            if option.default:
                told = f" (default: {option.default})"
            yield f"    {option.name}=  {option.about}{told}"


def _kind(request: MetricRequest) -> MetricKind:
    if request.name in KINDS:
        return KINDS[request.name]
    near = difflib.get_close_matches(request.name, KINDS, 1, 0.5)
    told = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
    raise UsageError(
        f"--metric {request.label}: is unknown; {told} (--metric list says what each is for)"
    )


def _check_gate(gate: MetricGate, metric: Metric) -> None:
    if gate.at_least != (metric.better == "higher"):
        sign = ">=" if metric.better == "higher" else "<="
        raise UsageError(
            f"--gate {gate.label}: {metric.better} is better for {metric.label}; use {sign}"
        )
    if gate.of_float and not metric.absolute:
        raise UsageError(
            f"--gate {gate.label}: {metric.label} compares with the float model, which has no "
            "figure of its own then; give a number, or measure against=truth"
        )
