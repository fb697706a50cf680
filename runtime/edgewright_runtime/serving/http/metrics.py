"""GET /metrics: Prometheus' text format, version 0.0.4."""

from collections.abc import Iterable

from edgewright_runtime.serving.figures import BOUNDS_S
from edgewright_runtime.serving.repository import Repository, ServedModel

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


def metrics_text(repository: Repository) -> bytes:
    """All metrics of all models."""
    models = list(repository.models.values())
    lines = [
        *_family("edgewright_requests_total", "counter", "Inference requests, by outcome."),
        *(line for model in models for line in _requests(model)),
        *_family("edgewright_inference_seconds", "histogram", "Engine time of answered requests."),
        *(line for model in models for line in _latencies(model)),
        *_family("edgewright_queue_requests", "gauge", "Requests queued or running."),
        *(
            f"edgewright_queue_requests{_labels(model=model.name)} {model.scheduler.waiting}"
            for model in models
        ),
        *_family("edgewright_generation_info", "gauge", "1 for each loaded generation."),
        *(line for model in models for line in _generations(model)),
        *_family(
            "edgewright_generation_requests_total",
            "counter",
            "Requests given to a generation since it was switched to.",
        ),
        *(line for model in models for line in _generation_figures(model)),
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


def _latencies(model: ServedModel) -> Iterable[str]:
    latencies = model.figures.latencies
    name = "edgewright_inference_seconds"
    for bound, count in zip(BOUNDS_S, latencies.at_most(BOUNDS_S), strict=True):
        yield f"{name}_bucket{_labels(model=model.name, le=f'{bound:g}')} {count}"
    yield f"{name}_bucket{_labels(model=model.name, le='+Inf')} {latencies.count}"
    yield f"{name}_sum{_labels(model=model.name)} {latencies.sum_s:.9f}"
    yield f"{name}_count{_labels(model=model.name)} {latencies.count}"


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
