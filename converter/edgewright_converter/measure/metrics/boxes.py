"""Boxes out of a detector's outputs: decoding, overlap, non-maximum suppression."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.metrics.kind import Options, pick
from edgewright_converter.samples import Tensor, Tensors

Floats = NDArray[np.float64]
MAX_BOXES = 300
"""Kept per sample, the best scores: what COCO's evaluation looks at three times over."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one sample, best score first; boxes are [k, 4] as x1, y1, x2, y2."""

    boxes: Floats
    scores: Floats
    classes: NDArray[np.intp]
    rows: NDArray[np.intp]
    """Which of the model's candidates each one is: anchors are the same in both models."""

    def take(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Detections":
        """These alone."""
        return Detections(
            self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.rows[chosen]
        )

    def at_least(self, score: float) -> "Detections":
        """Those with this score or more."""
        return self.take(self.scores >= score)


@dataclass(frozen=True, slots=True)
class Decoder:
    """How a model's outputs say where something is; see detection.OPTIONS for the words."""

    layout: str
    boxes: str
    scores: str
    output: str
    form: str
    sigmoid: bool
    nms: float

    @classmethod
    def of(cls, options: Options) -> "Decoder":
        """From the metric's options."""
        return cls(
            options.text("layout"),
            options.text("boxes"),
            options.text("scores"),
            options.text("output"),
            options.text("form"),
            options.text("activation") == "sigmoid",
            options.real("nms", 0, 1),
        )

    def decode(self, outputs: Tensors, label: str, floor: float) -> list[Detections]:
        """Per sample what has a score of `floor` or more, after suppression."""
        boxes, scores = self._arrays(outputs, label)
        if self.sigmoid:
            scores = 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
        corners = _corners(boxes, self.form)
        return [
            _found(corner, score, floor, self.nms)
            for corner, score in zip(corners, scores, strict=True)
        ]

    def _arrays(self, outputs: Tensors, label: str) -> tuple[Floats, Floats]:
        """Boxes [n, k, 4] and scores [n, k, classes]."""
        if self.layout == "yolo":
            whole = pick(outputs, self.output, label, (3,)).astype(np.float64)
            if whole.shape[1] < 5:
                raise ConverterError(
                    f"metric {label}: layout=yolo takes [n, 4 + classes, boxes]; the output is "
                    f"{list(whole.shape)}"
                )
            return whole[:, :4].transpose(0, 2, 1), whole[:, 4:].transpose(0, 2, 1)
        names = [self.boxes, self.scores]
        if not all(names):
            raise ConverterError(
                f"metric {label}: say which outputs are which, boxes=NAME,scores=NAME; the model "
                f"has {', '.join(outputs)}"
            )
        boxes, scores = (pick(outputs, name, label, (2, 3)).astype(np.float64) for name in names)
        if scores.ndim == 2:
            scores = scores[..., None]
        if boxes.ndim != 3 or boxes.shape[2] < 4 or boxes.shape[:2] != scores.shape[:2]:
            raise ConverterError(
                f"metric {label}: boxes are {list(boxes.shape)}, scores {list(scores.shape)}; "
                "expected [n, boxes, 4 or more] and [n, boxes] or [n, boxes, classes]"
            )
        return boxes[..., :4], scores


def read_truth(truth: Tensor, label: str) -> list[Detections]:
    """The right boxes [n, most, 5] as x1, y1, x2, y2, class; class -1 fills up."""
    if truth.ndim != 3 or truth.shape[2] != 5:
        raise ConverterError(
            f"metric {label}: `truth` has shape {list(truth.shape)}; expected [samples, most "
            "boxes, 5] with x1, y1, x2, y2, class, and class -1 where there is none"
        )
    found = []
    for rows in truth.astype(np.float64):
        real = rows[rows[:, 4] >= 0]
        found.append(
            Detections(
                real[:, :4],
                np.ones(len(real)),
                real[:, 4].astype(np.intp),
                np.full(len(real), -1, np.intp),
            )
        )
    return found


def overlap(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every box [a, 4] with every other [b, 4]: [a, b]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    union = _area(first)[:, None] + _area(second)[None] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0))


def _area(boxes: Floats) -> Floats:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1))


def _corners(boxes: Floats, form: str) -> Floats:
    if form == "xyxy":
        return boxes
    place, size = boxes[..., :2], boxes[..., 2:]
    low = place if form == "xywh" else place - size / 2
    return np.concatenate([low, low + size], axis=-1)


def _found(boxes: Floats, scores: Floats, floor: float, nms: float) -> Detections:
    classes = scores.argmax(axis=1)
    best = scores.max(axis=1)
    order = np.argsort(-best, kind="stable")[:MAX_BOXES]
    order = order[best[order] >= floor]
    everything = Detections(boxes[order], best[order], classes[order], order)
    if not nms:
        return everything
    hides = (overlap(everything.boxes, everything.boxes) > nms) & (
        everything.classes[:, None] == everything.classes[None]
    )
    kept = np.ones(len(order), np.bool_)
    for index in range(len(order)):
        if kept[index]:
            kept[index + 1 :] &= ~hides[index, index + 1 :]
    return everything.take(kept)
