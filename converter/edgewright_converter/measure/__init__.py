"""Measures artifacts on the engine that will serve them."""

from edgewright_converter.measure.latency import measure_latency
from edgewright_converter.measure.quality import (
    Evaluation,
    Reference,
    evaluate,
    judge_outputs,
    run_samples,
)

__all__ = [
    "Evaluation",
    "Reference",
    "evaluate",
    "judge_outputs",
    "measure_latency",
    "run_samples",
]
