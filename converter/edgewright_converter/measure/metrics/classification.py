"""Accuracy by labels."""

import numpy as np

from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.metrics.kind import (
    OUTPUT,
    Answers,
    MetricKind,
    Option,
    Options,
    Score,
    pick,
)


def _build(options: Options) -> Score:
    output, top = options.text("output"), options.whole("k", 1)

    def score(answers: Answers) -> float:
        have = pick(answers.outputs, output, "accuracy", (2,))
        if answers.labels is None:  # Metric.check says so in better words first
            raise ConverterError("metric accuracy: needs labels")
        best = np.argsort(-have, axis=1, kind="stable")[:, :top]
        return float((best == answers.labels[:, None]).any(axis=1).mean())

    return score


KIND = MetricKind(
    name="accuracy",
    about="share of samples whose label is among the k best answers; needs `labels`",
    better="higher",
    unit="share",
    build=_build,
    options=(OUTPUT, Option("k", "1", "how many answers count")),
    with_labels=True,
)
