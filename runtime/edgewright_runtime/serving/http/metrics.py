"""GET /metrics: Prometheus' text format, version 0.0.4."""

import os
from collections.abc import Iterable
from pathlib import Path

from edgewright_runtime.device.facts import memory_used_bytes, temperature_c
from edgewright_runtime.engine.artifact import misplaced
from edgewright_runtime.serving.figures import BOUNDS_S, Latencies
from edgewright_runtime.serving.models.shadow import Shadow
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.served_model import ServedModel

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64)


def metrics_text(repository: Repository) -> bytes:
    """All metrics of all models."""
    models = list(repository.models.values())
    lines = [
        *_family("edgewright_requests_total", "counter", "Inference requests, by outcome."),
        *(line for model in models for line in _requests(model)),
        *_family("edgewright_inference_seconds", "histogram", "Engine time of answered requests."),
        *(
            line
            for model in models
            for line in _histogram(
                "edgewright_inference_seconds", model.figures.latencies, model=model.name
            )
        ),
        *_family("edgewright_queue_seconds", "histogram", "Time that requests waited in a queue."),
        *(
            line
            for model in models
            for line in _histogram(
                "edgewright_queue_seconds", model.figures.waits, model=model.name
            )
        ),
        *_family("edgewright_queue_requests", "gauge", "Requests queued or running."),
        *(
            f"edgewright_queue_requests{_labels(model=model.name)} {model.scheduler.waiting}"
            for model in models
        ),
        *_family("edgewright_batch_requests", "histogram", "Requests that ran in one inference."),
        *(line for model in models for line in _batch_sizes(model)),
        *_family(
            "edgewright_refused_total",
            "counter",
            "Requests that found the queue full or waited for too long, by priority.",
        ),
        *(line for model in models for line in _refusals(model)),
        *_family("edgewright_sequences", "gauge", "Streams that a model keeps state for."),
        *(
            f"edgewright_sequences{_labels(model=model.name)} {len(model.sequences)}"
            for model in models
            if model.sequences is not None
        ),
        *_family("edgewright_generation_info", "gauge", "1 for each loaded generation."),
        *(line for model in models for line in _generations(model)),
        *_family(
            "edgewright_generation_requests_total",
            "counter",
            "Requests given to a generation since it was switched to.",
        ),
        *(line for model in models for line in _generation_figures(model)),
        *_family(
            "edgewright_generation_inference_seconds",
            "histogram",
            "Engine time of a generation since it was switched to.",
        ),
        *(
            line
            for model in models
            for generation in model.generations.values()
            for line in _histogram(
                "edgewright_generation_inference_seconds",
                generation.figures.latencies,
                model=model.name,
                generation=generation.name,
            )
        ),
        *_family(
            "edgewright_placement",
            "gauge",
            "1 where a generation runs on what its settings want first, else 0.",
        ),
        *(line for model in models for line in _placements(model)),
        *_family(
            "edgewright_shadow_requests_total",
            "counter",
            "Requests that a shadow compared, dropped because it was busy, or failed.",
        ),
        *(line for model in models for line in _shadows(model)),
        *_family(
            "edgewright_shadow_largest_error", "gauge", "Largest difference of any output element."
        ),
        *(
            f"edgewright_shadow_largest_error{_shadow_labels(model.name, shadow)} "
            f"{shadow.disagreement.largest_error:g}"
            for model in models
            if (shadow := model.shadow) is not None
        ),
        *_family(
            "edgewright_shadow_snr_db", "gauge", "Signal to noise ratio of all outputs compared."
        ),
        *(
            f"edgewright_shadow_snr_db{_shadow_labels(model.name, shadow)} {snr_db:g}"
            for model in models
            if (shadow := model.shadow) is not None
            and (snr_db := shadow.disagreement.snr_db) is not None
        ),
        *_machine(),
    ]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _family(name: str, kind: str, text: str) -> Iterable[str]:
    return (f"# HELP {name} {text}", f"# TYPE {name} {kind}")


def _requests(model: ServedModel) -> Iterable[str]:
    answered = model.figures.requests - model.figures.errors
    outcomes = {
        "answered": answered,
        "failed": model.figures.errors,
        "invalid": model.invalid,
        "refused": model.refused,
        "cancelled": model.cancelled,
    }
    for outcome, count in outcomes.items():
        yield f"edgewright_requests_total{_labels(model=model.name, outcome=outcome)} {count}"


def _histogram(name: str, latencies: Latencies, **labels: str) -> Iterable[str]:
    for bound, count in zip(BOUNDS_S, latencies.at_most(BOUNDS_S), strict=True):
        yield f"{name}_bucket{_labels(**labels, le=f'{bound:g}')} {count}"
    yield f"{name}_bucket{_labels(**labels, le='+Inf')} {latencies.count}"
    yield f"{name}_sum{_labels(**labels)} {latencies.sum_s:.9f}"
    yield f"{name}_count{_labels(**labels)} {latencies.count}"


def _batch_sizes(model: ServedModel) -> Iterable[str]:
    figures, name = model.figures, "edgewright_batch_requests"
    runs = {size: int(counts[0]) for size, counts in list(figures.batches.items())}
    joined = sum(size * count for size, count in runs.items())
    runs[1] = figures.latencies.count - joined
    for bound in _BATCH_BOUNDS:
        count = sum(count for size, count in runs.items() if size <= bound)
        yield f"{name}_bucket{_labels(model=model.name, le=str(bound))} {count}"
    yield f"{name}_bucket{_labels(model=model.name, le='+Inf')} {sum(runs.values())}"
    yield f"{name}_sum{_labels(model=model.name)} {figures.latencies.count}"
    yield f"{name}_count{_labels(model=model.name)} {sum(runs.values())}"


def _refusals(model: ServedModel) -> Iterable[str]:
    for level, count in sorted(model.scheduler.refused.items()):
        labels = _labels(model=model.name, priority=str(level))
        yield f"edgewright_refused_total{labels} {count}"


def _shadows(model: ServedModel) -> Iterable[str]:
    shadow = model.shadow
    if shadow is None:
        return
    found = shadow.disagreement
    outcomes = {
        "compared": found.compared,
        "same_top1": found.same_top1,
        "misfit": found.misfits,
        "dropped": shadow.dropped,
    }
    for outcome, count in outcomes.items():
        labels = _shadow_labels(model.name, shadow, outcome=outcome)
        yield f"edgewright_shadow_requests_total{labels} {count}"


def _shadow_labels(model: str, shadow: Shadow, **others: str) -> str:
    return _labels(model=model, generation=shadow.generation.name, **others)


def _machine() -> Iterable[str]:
    """What the system tells of itself; what it does not tell is left out."""
    for name, value, text in (
        ("process_resident_memory_bytes", _resident_bytes(), "Resident memory of the server."),
        ("edgewright_memory_used_bytes", memory_used_bytes(), "Memory in use on the machine."),
        ("edgewright_temperature_celsius", temperature_c(), "The hottest thermal zone."),
    ):
        if value is not None:
            yield from (*_family(name, "gauge", text), f"{name} {value}")


def _resident_bytes() -> int | None:
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _generations(model: ServedModel) -> Iterable[str]:
    for generation in model.generations.values():
        labels = _labels(
            model=model.name,
            generation=generation.name,
            version=generation.artifact.version,
            variant=generation.artifact.variant,
            role=model.role(generation),
            placement=generation.session.placement,
        )
        yield f"edgewright_generation_info{labels} 1"


def _placements(model: ServedModel) -> Iterable[str]:
    for generation in model.generations.values():
        artifact, session = generation.artifact, generation.session
        labels = _labels(
            model=model.name,
            generation=generation.name,
            wanted=artifact.wanted.providers[0] if artifact.wanted.providers else "cpu",
            found=session.placement,
        )
        yield f"edgewright_placement{labels} {0 if misplaced(artifact, session) else 1}"


def _generation_figures(model: ServedModel) -> Iterable[str]:
    for generation in model.generations.values():
        figures = generation.figures
        for outcome, count in (
            ("answered", figures.requests - figures.errors),
            ("failed", figures.errors),
        ):
            labels = _labels(model=model.name, generation=generation.name, outcome=outcome)
            yield f"edgewright_generation_requests_total{labels} {count}"


def _labels(**labels: str) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
