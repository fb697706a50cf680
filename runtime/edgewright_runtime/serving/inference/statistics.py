"""Triton's statistics extension, from what each generation counts."""

from typing import Any

from edgewright_runtime.errors import ModelUnknown
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.generation import LoadedGeneration
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.served_model import ServedModel

Document = dict[str, Any]  # JSON on its way out
_CONVERSIONS = ("compute_input", "compute_output")


def statistics(
    repository: Repository, model: str | None = None, version: str | None = None
) -> Document:
    """GET /v2/models[/NAME[/versions/VERSION]]/stats; durations in nanoseconds.

    One entry per release that is loaded, with its counts since it began to serve; what a model
    answered with earlier releases is in /metrics. Raises ModelUnknown.
    """
    models = repository.models.values() if model is None else [repository.model(model)]
    entries = [_entry(served, found) for served in models for found in _releases(served, version)]
    if version is not None and not entries:
        raise ModelUnknown(f"model '{model}' has no version '{version}' loaded")
    return {"model_stats": entries}


def _releases(model: ServedModel, version: str | None) -> list[LoadedGeneration]:
    """The one that serves first; of a release that is loaded twice only the newer."""
    found = {generation.artifact.version: generation for generation in model.generations.values()}
    if model.active is not None:
        found = {model.active.artifact.version: model.active} | found
        found[model.active.artifact.version] = model.active
    return [each for name, each in found.items() if version in (None, name)]


def _entry(model: ServedModel, generation: LoadedGeneration) -> Document:
    figures = generation.figures
    count = figures.latencies.count
    infer, queue = figures.latencies.sum_s, figures.waits.sum_s
    stages = {
        "compute_input": _duration(count, figures.input_s),
        "compute_infer": _duration(count, infer),
        "compute_output": _duration(count, figures.output_s),
    }
    whole_s = figures.input_s + queue + infer + figures.output_s
    return {
        "name": model.name,
        "version": generation.artifact.version,
        "last_inference": int(figures.last_s * 1000),
        "inference_count": count,
        "execution_count": figures.executions,
        "inference_stats": {
            "success": _duration(count, whole_s),
            "fail": _duration(figures.errors, figures.failed_s),
            "queue": _duration(count, queue),
            **stages,
            "cache_hit": _duration(0, 0.0),
            "cache_miss": _duration(0, 0.0),
        },
        "response_stats": {},
        "batch_stats": _batches(figures, stages),
        "memory_usage": [],
    }


def _batches(figures: Figures, stages: Document) -> list[Document]:
    """By how many requests ran together, whatever the shape of each."""
    together = {size: (int(counts[0]), counts[1]) for size, counts in figures.batches.items()}
    count = figures.latencies.count
    alone = count - sum(size * runs for size, (runs, _) in together.items())
    alone_s = figures.latencies.sum_s - sum(size * s for size, (_, s) in together.items())
    if alone > 0:
        together[1] = alone, max(alone_s, 0.0)
    # Reading and writing are not counted by batch: each request's share is the mean.
    read_s, written_s = (stages[name]["ns"] / 1e9 / max(count, 1) for name in _CONVERSIONS)
    return [
        {
            "batch_size": size,
            "compute_input": _duration(runs, size * runs * read_s),
            "compute_infer": _duration(runs, engine_s),
            "compute_output": _duration(runs, size * runs * written_s),
        }
        for size, (runs, engine_s) in sorted(together.items())
        if runs
    ]


def _duration(count: int, seconds: float) -> Document:
    return {"count": count, "ns": round(seconds * 1e9)}
