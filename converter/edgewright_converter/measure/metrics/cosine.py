"""Cosine of the angle between the float model's vectors and the variant's."""

import numpy as np

from edgewright_converter.measure.metrics.kind import (
    OUTPUT,
    Answers,
    MetricKind,
    Options,
    Score,
    pick,
)

_RANKS = (2, 3, 4, 5, 6)


def _build(options: Options) -> Score:
    output = options.text("output")

    def score(answers: Answers) -> float:
        want, have = (
            pick(side, output, "cosine", _RANKS).reshape(answers.count, -1).astype(np.float64)
            for side in (answers.reference, answers.outputs)
        )
        lengths = np.linalg.norm(want, axis=1) * np.linalg.norm(have, axis=1)
        both_zero = ~want.any(axis=1) & ~have.any(axis=1)
        found = (want * have).sum(axis=1) / np.where(lengths > 0, lengths, 1)
        return float(np.where(lengths > 0, found, both_zero).mean())

    return score


KIND = MetricKind(
    name="cosine",
    about="mean cosine similarity per sample: embeddings, retrieval, speaker and face vectors",
    better="higher",
    unit="",
    build=_build,
    options=(OUTPUT,),
)
