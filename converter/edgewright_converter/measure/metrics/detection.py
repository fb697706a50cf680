"""Detectors: how much of what is there a variant finds, and how cleanly.

What is there are the float model's detections, or the samples' `truth`. Average precision is
the area under the precision-recall curve with precision made monotone (Pascal VOC 2010 and
COCO, at one overlap), and mAP its mean over the classes that occur.
"""

from collections.abc import Sequence

import numpy as np

from edgewright_converter.measure.metrics.boxes import Decoder, Detections, overlap, read_truth
from edgewright_converter.measure.metrics.kind import (
    AGAINST,
    OUTPUT,
    Answers,
    MetricKind,
    Option,
    Options,
    Score,
)

_FLOOR = 0.05
"""mAP ranks detections far below the score that counts; below this it is all noise."""

OPTIONS = (
    Option("layout", "boxes", "boxes: two outputs; yolo: one, [n, 4 + classes, boxes]",
           ("boxes", "yolo")),
    Option("boxes", "", "name of the output [n, boxes, 4 or more]; the first four count"),
    Option("scores", "", "name of the output [n, boxes] or [n, boxes, classes]"),
    OUTPUT,
    Option("form", "xyxy", "xyxy: corners; cxcywh: centre and size; xywh: low corner and size",
           ("xyxy", "cxcywh", "xywh")),
    Option("activation", "none", "sigmoid where scores are logits", ("none", "sigmoid")),
    Option("score", "0.3", "from where on a detection counts"),
    Option("iou", "0.5", "overlap from which on two boxes are the same"),
    Option("nms", "0.5", "overlap above which the weaker box goes; 0 where the model does it"),
    Option("slack", "0.05", "how far below `score` the variant's may lie (recall)"),
    Option("match", "iou", "iou: any box; row: the same anchor, for boxes relative to anchors",
           ("iou", "row")),
    AGAINST,
)  # fmt: skip  # one option a row


class _Matcher:
    def __init__(self, options: Options, label: str) -> None:
        self.label = label
        self.decoder = Decoder.of(options)
        self.score = options.real("score", 0, 1)
        self.slack = options.real("slack", 0, 1)
        self.iou = options.real("iou", 0, 1)
        self.by_row = options.text("match") == "row"
        self.by_truth = options.text("against") == "truth"

    def wanted(self, answers: Answers) -> list[Detections]:
        if self.by_truth:
            assert answers.truth is not None  # Metric.check
            return read_truth(answers.truth, self.label)
        return self.decoder.decode(answers.reference, self.label, self.score)

    def hits(self, want: Detections, have: Detections) -> list[int]:
        """Per detection of `have`, best first, the one of `want` that it finds, or -1."""
        if not len(want.scores) or not len(have.scores):
            return [-1] * len(have.scores)
        near = overlap(have.boxes, want.boxes)
        near[have.classes[:, None] != want.classes[None]] = 0
        if self.by_row:
            near[have.rows[:, None] != want.rows[None]] = 0
        taken = np.zeros(len(want.scores), np.bool_)
        found = []
        for row in near:
            free = np.where(taken, 0, row)
            best = int(free.argmax())
            hit = free[best] >= self.iou and free[best] > 0
            found.append(best if hit else -1)
            if hit:
                taken[best] = True
        return found


def _build_recall(options: Options) -> Score:
    matcher = _Matcher(options, "recall")

    def score(answers: Answers) -> float:
        wanted = matcher.wanted(answers)
        floor = max(0.0, matcher.score - matcher.slack)
        have = matcher.decoder.decode(answers.outputs, "recall", floor)
        hits = sum(
            sum(hit >= 0 for hit in matcher.hits(want, found))
            for want, found in zip(wanted, have, strict=True)
        )
        total = sum(len(want.scores) for want in wanted)
        return hits / total if total else 1.0

    return score


def _build_mean_precision(options: Options) -> Score:
    matcher = _Matcher(options, "map")

    def score(answers: Answers) -> float:
        wanted = matcher.wanted(answers)
        have = matcher.decoder.decode(answers.outputs, "map", min(_FLOOR, matcher.score))
        classes = sorted({int(c) for want in wanted for c in want.classes})
        if not classes:
            clean = not any(len(found.at_least(matcher.score).scores) for found in have)
            return float(clean)
        return float(np.mean([_class_precision(matcher, wanted, have, c) for c in classes]))

    return score


def _class_precision(
    matcher: _Matcher, wanted: Sequence[Detections], have: Sequence[Detections], of_class: int
) -> float:
    scores: list[float] = []
    right: list[bool] = []
    total = 0
    for want, found in zip(wanted, have, strict=True):
        mine, theirs = want.take(want.classes == of_class), found.take(found.classes == of_class)
        total += len(mine.scores)
        scores += theirs.scores.tolist()
        right += [hit >= 0 for hit in matcher.hits(mine, theirs)]
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits = np.asarray(right, np.float64)[order]
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * monotone).sum())


RECALL = MetricKind(
    name="recall",
    about="share of the float model's detections (or of `truth`) that the variant finds: detectors",
    better="higher",
    unit="share",
    build=_build_recall,
    options=OPTIONS,
)
MEAN_PRECISION = MetricKind(
    name="map",
    about="mean average precision at one overlap against the float model's detections (or "
    "`truth`): detectors; unlike recall it also sees what is found and is not there",
    better="higher",
    unit="share",
    build=_build_mean_precision,
    options=OPTIONS,
)
