"""The gates: what a quantized variant must keep of the float model, and what it may cost."""

from edgewright_manifests.variant import Quality

from edgewright_converter.candidate import Candidate
from edgewright_converter.measure.groups import certain_drop
from edgewright_converter.request import Gates

ROUNDING = 1e-9
"""Shares are sums of floats: a drop of exactly the gate passes."""


def gate_problem(quality: Quality, gates: Gates) -> str:
    """Why this quality may not ship, or "" when it may."""
    return (
        _accuracy_problem(quality, gates)
        or _metric_problem(quality, gates)
        or _stand_in_problem(quality, gates)
        or _group_problem(quality, gates)
    )


def _accuracy_problem(quality: Quality, gates: Gates) -> str:
    if quality.accuracy is None or quality.accuracy_float is None:
        return ""
    drop = quality.accuracy_float - quality.accuracy
    if drop <= gates.max_accuracy_drop + ROUNDING:
        return ""
    return (
        f"accuracy {quality.accuracy:.2%} is {drop * 100:.2f} points below float's "
        f"{quality.accuracy_float:.2%}, at most {gates.max_accuracy_drop * 100:.2f} allowed"
    )


def _metric_problem(quality: Quality, gates: Gates) -> str:
    for gate in gates.metrics:
        for figure in quality.metrics:
            if not gate.is_for(figure.name):
                continue
            bound = gate.bound
            if gate.of_float:
                assert figure.value_float is not None  # build_metrics refuses such a gate
                bound *= figure.value_float
            beyond = bound - figure.value if gate.at_least else figure.value - bound
            if beyond > ROUNDING:
                word = "at least" if gate.at_least else "at most"
                float_words = f" (of float's {figure.value_float:.4g})" if gate.of_float else ""
                return f"{figure.name} {figure.value:.4g}, {word} {bound:.4g}{float_words} wanted"
    return ""


def _stand_in_problem(quality: Quality, gates: Gates) -> str:
    """Agreement or SNR, where nothing that knows the task was gated."""
    if gates.metrics or quality.accuracy is not None:
        return ""
    if quality.top1_agreement is not None:
        if quality.top1_agreement < gates.min_top1_agreement - ROUNDING:
            return (
                f"only {quality.top1_agreement:.2%} of the answers equal float's, "
                f"at least {gates.min_top1_agreement:.2%} wanted"
            )
        return ""
    assert quality.snr_db is not None
    if quality.snr_db < gates.min_snr_db:
        return f"SNR {quality.snr_db:.1f} dB, at least {gates.min_snr_db:.1f} dB wanted"
    return ""


def _group_problem(quality: Quality, gates: Gates) -> str:
    group = quality.worst_group
    if group is None or certain_drop(group) <= gates.max_slice_drop + ROUNDING:
        return ""
    what = "of all samples" if quality.accuracy is None else "of float"
    return (
        f"{group.facet} {group.group}: {group.share:.2%} of its {group.samples} samples, "
        f"{(group.share_float - group.share) * 100:.2f} points (± {group.noise * 100:.2f}) below "
        f"the {group.share_float:.2%} {what}, at most {gates.max_slice_drop * 100:.2f} allowed"
    )


def cost_problem(candidate: Candidate, gates: Gates) -> str:
    """Which of the limits on latency and size it breaks, or "" for none.

    A latency that nobody here can measure breaks none.
    """
    size_bytes = candidate.artifact.size_bytes
    if gates.max_size_bytes is not None and size_bytes > gates.max_size_bytes:
        return f"size of {size_bytes} bytes, at most {gates.max_size_bytes} allowed"
    limit_ms = gates.max_latency_ms
    if limit_ms is not None and candidate.latency is not None:
        latency_ms = candidate.latency.us_p50 / 1_000
        if latency_ms > limit_ms:
            return f"latency of {latency_ms:.3g} ms, at most {limit_ms:.3g} ms allowed"
    return ""


def share(quality: Quality) -> float:
    """What ranks candidates, 0..1 and more is better.

    Accuracy; else the first metric that is a share; else agreement; else 0.
    """
    if quality.accuracy is not None:
        return quality.accuracy
    for figure in quality.metrics:
        if figure.unit == "share":
            return figure.value if figure.better == "higher" else 1.0 - figure.value
    return quality.top1_agreement or 0.0


def share_name(quality: Quality) -> str:
    """What `share` is of."""
    if quality.accuracy is not None:
        return "accuracy"
    named = [figure.name for figure in quality.metrics if figure.unit == "share"]
    return named[0] if named else "top-1 agreement"
