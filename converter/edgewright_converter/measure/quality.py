"""Quality on held-out samples: each variant's outputs against the float model's and the labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from edgewright_manifests.golden import snr_db, top1_agreement
from edgewright_manifests.variant import GroupFigure, Quality
from edgewright_runtime.engine import Session

from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.groups import (
    Grouping,
    by_answer,
    by_metric,
    group_samples,
    worst_group,
)
from edgewright_converter.measure.metrics import Answers, Metric
from edgewright_converter.samples import Labels, Samples, Slices, Tensor


@dataclass(frozen=True, slots=True)
class Reference:
    """The float ONNX model's outputs [n, ...] for the held-out samples, and what is known of them.

    `metrics` are measured besides SNR, agreement and accuracy.
    """

    outputs: Mapping[str, Tensor]
    labels: Labels | None
    truth: Tensor | None = None
    slices: Slices = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    """By a metric's label: the float model's own figure."""

    @classmethod
    def of(
        cls, outputs: Mapping[str, Tensor], samples: Samples, metrics: tuple[Metric, ...]
    ) -> "Reference":
        """From the float model's outputs for `samples`.

        Raises ConverterError when a metric cannot judge the float model itself.
        """
        found = cls(outputs, samples.labels, samples.truth, samples.slices, metrics)
        answers = found.answers(outputs)
        figures = {metric.label: metric.measure(answers) for metric in metrics}
        return replace(found, figures=figures)

    @property
    def classes(self) -> int:
        """How many classes the first output tells apart; 0 when it is not [n, classes]."""
        first = next(iter(self.outputs.values()))
        return first.shape[1] if first.ndim == 2 and first.shape[1] > 1 else 0

    @property
    def predictions(self) -> tuple[int, ...]:
        """Arg-max per sample, empty without classes."""
        return _predictions(next(iter(self.outputs.values()))) if self.classes else ()

    @property
    def accuracy(self) -> float | None:
        """Share of samples (0..1) that the float model gets right; None without labels."""
        return _accuracy(self.predictions, self.labels)

    @property
    def grouping(self) -> Grouping:
        """Classes, by label or else by the float model's answer, and slices."""
        classes = self.labels
        if classes is None and self.classes:
            classes = np.asarray(self.predictions, np.int64)
        return group_samples(classes, self.slices)

    def answers(self, outputs: Mapping[str, Tensor]) -> Answers:
        """A variant's outputs beside all that they are compared with."""
        return Answers(self.outputs, outputs, self.labels, self.truth)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One artifact's outputs for the held-out samples, judged."""

    outputs: Mapping[str, Tensor]
    quality: Quality
    predictions: tuple[int, ...]
    groups: tuple[GroupFigure, ...] = ()


def run_samples(session: Session, samples: Samples) -> dict[str, Tensor]:
    """Outputs [n, ...] of every sample, run one by one as a device runs golden vectors.

    Raises ConverterError when an output has no batch axis, changes its shape from sample to
    sample, or is NaN or infinite.
    """
    rows: dict[str, list[Tensor]] = {spec.name: [] for spec in session.signature.outputs}
    for index in range(samples.count):
        found = session.run(samples.sample(index))
        for name, value in rows.items():
            row = np.array(found[name])  # a copy: engines may reuse their buffers
            if row.ndim == 0 or len(row) != 1 or (value and row.shape != value[0].shape):
                raise ConverterError(
                    f"output {name!r} has shape {list(row.shape)} for a batch of one; the first "
                    "axis of every output must be the batch, and samples must give equal shapes"
                )
            if row.dtype.kind == "f" and not np.isfinite(row).all():
                raise ConverterError(f"output {name!r} is NaN or infinite for sample {index}")
            value.append(row)
    return {name: np.concatenate(value) for name, value in rows.items()}


def evaluate(session: Session, samples: Samples, reference: Reference) -> Evaluation:
    """Run and judge one artifact. Raises ConverterError as run_samples does."""
    return judge_outputs(run_samples(session, samples), reference)


def judge_outputs(outputs: Mapping[str, Tensor], reference: Reference) -> Evaluation:
    """Judge a variant's outputs [n, ...]. Raises ConverterError where a metric cannot."""
    first = next(iter(reference.outputs))
    predictions = _predictions(outputs[first]) if reference.classes else ()
    agreement = (
        top1_agreement(reference.outputs[first], outputs[first]) if reference.classes else None
    )
    answers = reference.answers(outputs)
    groups = _groups(reference, answers, predictions)
    return Evaluation(
        outputs,
        Quality(
            samples=answers.count,
            snr_db=snr_db(reference.outputs, outputs),
            top1_agreement=agreement,
            accuracy=_accuracy(predictions, reference.labels),
            accuracy_float=reference.accuracy,
            metrics=tuple(
                metric.figure(answers, reference.figures[metric.label] if metric.absolute else None)
                for metric in reference.metrics
            ),
            worst_group=worst_group(groups),
        ),
        predictions,
        groups,
    )


def _groups(
    reference: Reference, answers: Answers, predictions: tuple[int, ...]
) -> tuple[GroupFigure, ...]:
    if predictions:
        mine, theirs = (
            np.asarray(found, np.int64) for found in (predictions, reference.predictions)
        )
        return by_answer(reference.grouping, answers, mine, theirs)
    shares = [metric for metric in reference.metrics if metric.unit == "share"]
    return by_metric(reference.grouping, answers, shares[0]) if shares else ()


def _predictions(output: Tensor) -> tuple[int, ...]:
    return tuple(int(index) for index in output.argmax(axis=-1))


def _accuracy(predictions: tuple[int, ...], labels: Labels | None) -> float | None:
    if labels is None or not predictions:
        return None
    return float(np.mean(np.asarray(predictions) == labels))
