"""Yes-or-no decisions by a threshold."""

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

_RANKS = (1, 2, 3, 4, 5)


def _build(options: Options) -> Score:
    output, threshold = options.text("output"), options.real("threshold")
    by_truth = options.text("against") == "truth"

    def score(answers: Answers) -> float:
        have = pick(answers.outputs, output, "frames", _RANKS) >= threshold
        if not by_truth:
            want = pick(answers.reference, output, "frames", _RANKS) >= threshold
            return float((have == want).mean())
        assert answers.truth is not None  # Metric.check
        if answers.truth.size != have.size:
            raise ConverterError(
                f"metric frames: `truth` has shape {list(answers.truth.shape)}, the output "
                f"{list(have.shape)}; give one decision (0 or 1) for each value"
            )
        return float((have == (answers.truth.reshape(have.shape) >= 0.5)).mean())

    return score


KIND = MetricKind(
    name="frames",
    about="share of equal decisions (value >= threshold): voice activity, wake words, alarms",
    better="higher",
    unit="share",
    build=_build,
    options=(OUTPUT, Option("threshold", "0.5", "from where on it is a yes"), AGAINST),
)
