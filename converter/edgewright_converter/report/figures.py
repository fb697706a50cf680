"""Metrics and gates in words, the same in the page, the table and the model card."""

from edgewright_manifests.golden import EXACT_SNR_DB
from edgewright_manifests.preprocessing import AnyStep
from edgewright_manifests.variant import Quality

from edgewright_converter.report.document import Report


def metric_names(report: Report) -> tuple[str, ...]:
    """What was measured besides accuracy, agreement and SNR."""
    for target in report.targets:
        for candidate in target.candidates:
            if candidate.quality is not None:
                return tuple(figure.name for figure in candidate.quality.metrics)
    return ()


def metric_words(quality: Quality | None, name: str) -> str:
    """One metric of one variant; float's own figure behind it where it has one."""
    for figure in quality.metrics if quality is not None else ():
        if figure.name == name:
            told = _value(figure.value, figure.unit)
            if figure.value_float is None:
                return told
            return f"{told} (float {_value(figure.value_float, figure.unit)})"
    return "–"


def share_words(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{value:.2%}"


def decibel_words(value: float) -> str:
    """A signal-to-noise ratio."""
    return "exact" if value >= EXACT_SNR_DB else f"{value:.1f} dB"


def gate_words(report: Report) -> tuple[str, ...]:
    """What a variant had to keep, one gate a line."""
    gates, found = report.gates, []
    if report.data.evaluation.labelled:
        found.append(f"accuracy at most {gates.max_accuracy_drop * 100:g} points below float's")
    elif not gates.metrics:
        found.append(
            f"at least {gates.min_top1_agreement:.1%} of float's answers, "
            f"or {gates.min_snr_db:g} dB SNR where the model does not classify"
        )
    found += gates.metrics
    found.append(
        f"no class or slice more than {gates.max_slice_drop * 100:g} points worse beyond noise"
    )
    if gates.max_latency_ms is not None:
        found.append(f"at most {gates.max_latency_ms:g} ms")
    if gates.max_size_bytes is not None:
        found.append(f"at most {gates.max_size_bytes} bytes")
    return tuple(found)


def preprocessing_words(report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Per input what was done to its raw samples, step by step."""
    if report.preprocessing is None:
        return ()
    return tuple(
        (name, tuple(_step(step) for step in steps))
        for name, steps in report.preprocessing.inputs.items()
    )


def _step(step: AnyStep) -> str:
    told = ", ".join(f"{field}={getattr(step, field)}" for field in step.__struct_fields__)
    return f"{step.__struct_config__.tag}({told})"


def _value(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.2%}"
    return f"{value:.1f} dB" if unit == "dB" else f"{value:.4g}"
