"""Text and other sequences: character error rate, and lines that are right as a whole.

An output [n, steps, symbols] is decoded greedily: the best symbol of each step, and for CTC
(Graves et al., ICML 2006) repeats made one and blanks taken out.
"""

from collections.abc import Callable, Sequence

import numpy as np

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

Symbols = tuple[int, ...]
_Pairs = Callable[[Answers], list[tuple[Symbols, Symbols]]]

_OPTIONS = (
    OUTPUT,
    Option("decode", "ctc", "ctc, or argmax where each step is a symbol", ("ctc", "argmax")),
    Option("blank", "0", "index of CTC's blank; -1 is the last"),
    Option("layout", "ntc", "ntc: [n, steps, symbols]; nct: [n, symbols, steps]", ("ntc", "nct")),
    AGAINST,
)


def edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """Least number of symbols put in, taken out or changed to make one of the other."""
    row = list(range(len(second) + 1))
    for i, symbol in enumerate(first, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (symbol != other))
    return row[-1]


def decode_ctc(best: Tensor, blank: int) -> Symbols:
    """Symbols of one sample from the best symbol [steps] of each step."""
    kept = np.ones(len(best), np.bool_)
    kept[1:] = best[1:] != best[:-1]
    return tuple(int(symbol) for symbol in best[kept & (best != blank)])


def _reader(options: Options, label: str) -> _Pairs:
    output, by_ctc = options.text("output"), options.text("decode") == "ctc"
    blank, steps_last = options.whole("blank", -1), options.text("layout") == "nct"
    by_truth = options.text("against") == "truth"

    def lines(value: Tensor) -> list[Symbols]:
        symbols = value.shape[1] if steps_last else value.shape[2]
        best = value.argmax(axis=1 if steps_last else 2)
        if not by_ctc:
            return [tuple(int(symbol) for symbol in row) for row in best]
        return [decode_ctc(row, symbols - 1 if blank == -1 else blank) for row in best]

    def pairs(answers: Answers) -> list[tuple[Symbols, Symbols]]:
        have = lines(pick(answers.outputs, output, label, (3,)))
        if not by_truth:
            return list(zip(lines(pick(answers.reference, output, label, (3,))), have, strict=True))
        truth = answers.truth
        assert truth is not None  # Metric.check
        if truth.ndim != 2 or truth.dtype.kind not in "iu":
            raise ConverterError(
                f"metric {label}: `truth` is {truth.dtype} {list(truth.shape)}; give the right "
                "symbols as integers [samples, longest line], filled up with -1"
            )
        want = [tuple(int(symbol) for symbol in row if symbol >= 0) for row in truth]
        return list(zip(want, have, strict=True))

    return pairs


def _build_error_rate(options: Options) -> Score:
    pairs = _reader(options, "cer")

    def score(answers: Answers) -> float:
        found = pairs(answers)
        wrong = sum(edit_distance(want, have) for want, have in found if want != have)
        return wrong / max(1, sum(len(want) for want, _ in found))

    return score


def _build_lines(options: Options) -> Score:
    pairs = _reader(options, "lines")

    def score(answers: Answers) -> float:
        return float(np.mean([want == have for want, have in pairs(answers)]))

    return score


ERROR_RATE = MetricKind(
    name="cer",
    about="character error rate, edits per right symbol: text recognition, speech",
    better="lower",
    unit="share",
    build=_build_error_rate,
    options=_OPTIONS,
)
LINES = MetricKind(
    name="lines",
    about="share of lines that are right as a whole: text recognition, speech commands",
    better="higher",
    unit="share",
    build=_build_lines,
    options=_OPTIONS,
)
