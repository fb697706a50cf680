"""What a converted model's answers can be judged by: one small file each, one registry."""

from edgewright_converter.measure.metrics.catalogue import KINDS, build_metrics, describe_metrics
from edgewright_converter.measure.metrics.kind import Answers, Metric, MetricKind
from edgewright_converter.measure.metrics.wording import parse_gate, parse_metric

__all__ = [
    "KINDS",
    "Answers",
    "Metric",
    "MetricKind",
    "build_metrics",
    "describe_metrics",
    "parse_gate",
    "parse_metric",
]
