"""What a metric is: a name, options, a direction, and a function of a model's answers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from edgewright_manifests.errors import UsageError
from edgewright_manifests.variant import MetricFigure
from numpy.typing import NDArray

from edgewright_converter.errors import ConverterError
from edgewright_converter.request import MetricRequest
from edgewright_converter.samples import Labels, Tensor, Tensors


@dataclass(frozen=True, slots=True)
class Answers:
    """Outputs [n, ...] of the float model and of a variant for the same samples."""

    reference: Tensors
    outputs: Tensors
    labels: Labels | None = None
    """[n]: the right class."""
    truth: Tensor | None = None
    """[n, ...]: what is right, in the form that the metric says."""

    @property
    def count(self) -> int:
        """How many samples (n)."""
        return len(next(iter(self.reference.values())))

    def rows(self, chosen: NDArray[np.intp]) -> "Answers":
        """The answers for these samples alone."""
        return Answers(
            {name: value[chosen] for name, value in self.reference.items()},
            {name: value[chosen] for name, value in self.outputs.items()},
            None if self.labels is None else self.labels[chosen],
            None if self.truth is None else self.truth[chosen],
        )

    def of_float(self) -> "Answers":
        """As if the float model were the variant."""
        return replace(self, outputs=self.reference)


Score = Callable[[Answers], float]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a metric; without a default it must be given."""

    name: str
    default: str | None
    about: str
    words: tuple[str, ...] = ()
    """The only values that it may have, where there are some."""


OUTPUT = Option("output", "", "name of the output (default: the first)")
AGAINST = Option(
    "against",
    "float",
    "float: the float model's answers count as right; truth: the samples' array `truth` does",
    ("float", "truth"),
)


class Options:
    """The options of one metric, parsed; what does not fit is a UsageError that names it."""

    def __init__(self, label: str, values: Mapping[str, str]) -> None:
        self._label = label
        self._values = values

    def text(self, name: str) -> str:
        """As it was written."""
        return self._values[name]

    def real(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A number within the bounds."""
        try:
            value = float(self._values[name])
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise UsageError(
                f"--metric {self._label}: {name}={self._values[name]}: expected a number"
                + ("" if math.isinf(low) else f" from {low:g}")
                + ("" if math.isinf(high) else f" to {high:g}")
            )
        return value

    def whole(self, name: str, low: int) -> int:
        """A whole number, `low` or more."""
        word = self._values[name]
        if not word.lstrip("-").isdecimal() or int(word) < low:
            raise UsageError(
                f"--metric {self._label}: {name}={word}: expected a whole number from {low}"
            )
        return int(word)


@dataclass(frozen=True, slots=True)
class MetricKind:
    """One entry of the registry."""

    name: str
    about: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "dB", ""]
    build: Callable[[Options], Score]
    options: tuple[Option, ...] = ()
    with_labels: bool = False
    """It compares with the samples' `labels`, and so the float model has a figure too."""

    def bind(self, request: MetricRequest) -> "Metric":
        """This metric with its options. Raises UsageError for an option that it does not have."""
        known = {option.name: option for option in self.options}
        values = {option.name: option.default for option in self.options}
        for name, value in request.options:
            if name not in known:
                told = ", ".join(known) or "none"
                raise UsageError(f"--metric {request.label}: no option {name!r}; it has {told}")
            if known[name].words and value not in known[name].words:
                told = " or ".join(known[name].words)
                raise UsageError(f"--metric {request.label}: {name}={value}: expected {told}")
            values[name] = value
        for name, given in values.items():
            if given is None:
                raise UsageError(f"--metric {request.label}: give {name}=..., {known[name].about}")
        filled = {name: given for name, given in values.items() if given is not None}
        absolute = self.with_labels or filled.get("against") == "truth"
        score = self.build(Options(request.label, filled))
        return Metric(request.label, self.better, self.unit, score, absolute, self.with_labels)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that can be measured."""

    label: str
    better: Literal["higher", "lower"]
    unit: Literal["share", "dB", ""]
    score: Score
    absolute: bool
    """It compares with what is right, not with the float model, which has a figure then too."""
    with_labels: bool = False

    def check(self, answers: Answers) -> None:
        """Raise ConverterError when the samples lack what it compares with."""
        if self.with_labels and answers.labels is None:
            raise ConverterError(
                f"metric {self.label}: needs the right classes; add an array `labels` to the "
                "samples of --evaluate"
            )
        if self.absolute and not self.with_labels and answers.truth is None:
            raise ConverterError(
                f"metric {self.label}: needs what is right; add an array `truth` to the samples "
                "of --evaluate, or leave against=truth out"
            )

    def measure(self, answers: Answers) -> float:
        """The score. Raises ConverterError where the outputs are not what it can judge."""
        self.check(answers)
        value = float(self.score(answers))
        if not math.isfinite(value):
            raise ConverterError(f"metric {self.label}: gave {value}, which is no figure")
        return value

    def figure(self, answers: Answers, value_float: float | None) -> MetricFigure:
        """The score beside the float model's."""
        return MetricFigure(
            name=self.label,
            value=self.measure(answers),
            value_float=value_float,
            better=self.better,
            unit=self.unit,
        )


def pick(outputs: Tensors, name: str, label: str, ranks: tuple[int, ...]) -> Tensor:
    """The output of this name (the first for ""), as long as it has one of these ranks.

    Raises ConverterError, listing what there is.
    """
    shapes = ", ".join(f"{known} {list(value.shape)}" for known, value in outputs.items())
    if name and name not in outputs:
        raise ConverterError(f"metric {label}: the model has no output {name!r}; it has {shapes}")
    value = outputs[name or next(iter(outputs))]
    if value.ndim not in ranks:
        told = " or ".join(map(str, ranks))
        raise ConverterError(
            f"metric {label}: takes an output of {told} axes, the batch included; the model "
            f"has {shapes}; choose one with the metric's options"
        )
    return value
