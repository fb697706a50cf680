"""Intersection over union of masks."""

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.metrics.kind import (
    AGAINST,
    OUTPUT,
    Answers,
    MetricKind,
    Option,
    Options,
    Score,
    pick,
)
from edgewright_converter.samples import Tensor

_RANKS = (2, 3, 4)


def _build(options: Options) -> Score:
    output, threshold = options.text("output"), options.real("threshold")
    by_class, by_truth = options.text("classes") == "argmax", options.text("against") == "truth"

    def masks(value: Tensor) -> NDArray[np.int64]:
        chosen = value.argmax(axis=1) if by_class else value >= threshold
        return chosen.reshape(len(value), -1).astype(np.int64)

    def score(answers: Answers) -> float:
        have = masks(pick(answers.outputs, output, "iou", _RANKS))
        if by_truth:
            assert answers.truth is not None  # Metric.check
            want = answers.truth.reshape(answers.count, -1).astype(np.int64)
        else:
            want = masks(pick(answers.reference, output, "iou", _RANKS))
        if want.shape != have.shape:
            raise ConverterError(
                f"metric iou: `truth` has {want.shape[1]} pixels a sample, the output "
                f"{have.shape[1]}"
            )
        found = np.unique(np.concatenate([np.unique(want), np.unique(have)]))
        shares = []
        for value in found if by_class else [1]:
            both = ((want == value) & (have == value)).sum()
            either = ((want == value) | (have == value)).sum()
            shares.append(float(both / either) if either else 1.0)
        return float(np.mean(shares))

    return score


KIND = MetricKind(
    name="iou",
    about="intersection over union of masks over all samples: segmentation, text and lane maps",
    better="higher",
    unit="share",
    build=_build,
    options=(
        OUTPUT,
        Option("threshold", "0.5", "from where on a pixel belongs to the mask"),
        Option(
            "classes",
            "threshold",
            "threshold: one mask; argmax: one mask per entry of axis 1, and their mean",
            ("threshold", "argmax"),
        ),
        AGAINST,
    ),
)
