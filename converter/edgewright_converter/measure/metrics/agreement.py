"""How often the variant's answer is the float model's."""

import numpy as np
from edgewright_manifests.golden import top1_agreement

from edgewright_converter.measure.metrics.kind import (
    OUTPUT,
    Answers,
    MetricKind,
    Options,
    Score,
    pick,
)

_RANKS = (2, 3, 4, 5)
_TOP = 5


def _build_top1(options: Options) -> Score:
    output = options.text("output")

    def score(answers: Answers) -> float:
        return top1_agreement(
            pick(answers.reference, output, "top1", _RANKS),
            pick(answers.outputs, output, "top1", _RANKS),
        )

    return score


def _build_top5(options: Options) -> Score:
    output = options.text("output")

    def score(answers: Answers) -> float:
        first = pick(answers.reference, output, "top5", _RANKS).argmax(axis=-1)
        have = pick(answers.outputs, output, "top5", _RANKS)
        best = np.argsort(-have, axis=-1, kind="stable")[..., :_TOP]
        return float((best == first[..., None]).any(axis=-1).mean())

    return score


TOP1 = MetricKind(
    name="top1",
    about="share of answers (arg-max of the last axis) that equal the float model's: classifiers",
    better="higher",
    unit="share",
    build=_build_top1,
    options=(OUTPUT,),
)
TOP5 = MetricKind(
    name="top5",
    about="share of the float model's answers among the variant's five best: many classes",
    better="higher",
    unit="share",
    build=_build_top5,
    options=(OUTPUT,),
)
