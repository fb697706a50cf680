"""The same quality, group by group: classes and slices that a good average may hide.

A figure of a small group is mostly chance, so each comes with the standard error of its
difference, and only groups of MIN_SAMPLES or more are held against the gate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from edgewright_manifests.variant import GroupFigure
from numpy.typing import NDArray

from edgewright_converter.measure.metrics import Answers, Metric
from edgewright_converter.samples import Slices

MIN_SAMPLES = 50
"""Below, one sample is more than two points, and one standard error more than four."""
_MAX_CLASSES = 1000

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which held-out samples belong together, by facet and group."""

    groups: tuple[tuple[str, str, Rows], ...]


def group_samples(classes: NDArray[np.int64] | None, slices: Slices) -> Grouping:
    """By class (the labels [n], or the float model's answers), then by each array of slices."""
    found: list[tuple[str, str, Rows]] = []
    if classes is not None:
        values = np.unique(classes)[:_MAX_CLASSES]
        found += [("class", str(value), np.flatnonzero(classes == value)) for value in values]
    for facet, words in slices.items():
        for word in np.unique(words):
            found.append((facet, str(word), np.flatnonzero(words == word)))
    return Grouping(tuple(found))


def by_answer(
    grouping: Grouping,
    answers: Answers,
    predictions: NDArray[np.int64],
    predictions_float: NDArray[np.int64],
) -> tuple[GroupFigure, ...]:
    """Of a classifier: accuracy where there are labels, else agreement with the float model."""
    return tuple(_by_answer(grouping, answers, predictions, predictions_float))


def _by_answer(
    grouping: Grouping,
    answers: Answers,
    predictions: NDArray[np.int64],
    predictions_float: NDArray[np.int64],
) -> Iterator[GroupFigure]:
    if answers.labels is None:
        have = (predictions == predictions_float).astype(np.float64)
        # Some answers change everywhere; what counts is a group in which more do than overall.
        want = np.full(len(have), have.mean())
    else:
        have = (predictions == answers.labels).astype(np.float64)
        want = (predictions_float == answers.labels).astype(np.float64)
    for facet, group, rows in grouping.groups:
        lost = want[rows] - have[rows]
        yield GroupFigure(
            facet=facet,
            group=group,
            samples=len(rows),
            share_float=float(want[rows].mean()),
            share=float(have[rows].mean()),
            noise=(
                _noise(float(have[rows].mean()), len(rows))
                if answers.labels is None
                else float(lost.std() / np.sqrt(len(rows)))
            ),
        )


def by_metric(grouping: Grouping, answers: Answers, metric: Metric) -> tuple[GroupFigure, ...]:
    """Of a model that does not classify: a metric that is a share (0..1), turned so that more
    is better; its noise is at most that of as many yes-or-no answers.
    """
    whole = _share(metric, answers)
    found = []
    for facet, group, rows in grouping.groups:
        mine = answers.rows(rows)
        share = _share(metric, mine)
        found.append(
            GroupFigure(
                facet=facet,
                group=group,
                samples=len(rows),
                share_float=_share(metric, mine.of_float()) if metric.absolute else whole,
                share=share,
                noise=_noise(share, len(rows)),
            )
        )
    return tuple(found)


def worst_group(groups: tuple[GroupFigure, ...]) -> GroupFigure | None:
    """The one that lost most beyond noise, of those large enough to tell."""
    large = [group for group in groups if group.samples >= MIN_SAMPLES]
    return max(large, key=certain_drop, default=None)


def certain_drop(group: GroupFigure) -> float:
    """What it lost, less one standard error."""
    return group.share_float - group.share - group.noise


def _noise(share: float, count: int) -> float:
    """Standard error of a share, with one yes and one no more than there were (Laplace), so that
    a few samples that are all right are no proof.
    """
    likely = (share * count + 1) / (count + 2)
    return float(np.sqrt(likely * (1 - likely) / count))


def _share(metric: Metric, answers: Answers) -> float:
    value = min(1.0, max(0.0, metric.measure(answers)))
    return value if metric.better == "higher" else 1.0 - value
