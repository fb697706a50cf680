"""Picks what ships from measured candidates: rules only, no file, no clock.

Gates first (quality that must be kept), then who is as fast as the fastest, then quality,
then size, then the recipes' fixed order. Latency is noisy, so it only decides where the
difference is far beyond noise: two conversions of one model choose the same recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright_converter.candidate import Candidate
from edgewright_converter.measure.gates import (
    ROUNDING,
    cost_problem,
    gate_problem,
    share,
    share_name,
)
from edgewright_converter.request import Gates

AS_FAST = 1.12
"""Up to 12 % slower counts as equally fast; the medians of interleaved rounds repeat within 3 % on
a busy machine, and candidates that compute the same are one measurement."""
EQUAL_ACCURACY = 0.002
"""Two samples in a thousand; below the standard error of any set that people evaluate on."""
EQUAL_SNR_DB = 1.0
CLEAR_SNR_DB = 35.0
"""Beyond it nobody tells the answers from float's (Silero: 99.8 % of its decisions at 39 dB as at
44), and a file that is smaller by MUCH_SMALLER is worth more than another decibel."""
MUCH_SMALLER = 0.75
MUCH_SLOWER = 1.4
"""Of float's time: what a file of a third of the size may cost where nobody asked for either.
Networks of tens of microseconds lose a few to quantizing their inputs (1.25); MobileNetV3 on ONNX
Runtime, which has no integer hard-swish, takes 1.6 to 1.7 times as long and ships as float."""
NOTHING_US = 15.0
"""Up to this much counts as equally fast, whatever the ratio: it is less than it takes to
hand a model its input through most doors, and a busy machine adds as much to such small models."""
FASTER_THAN_NOISE = 0.95
"""Of float's time; the median of interleaved rounds repeats within 3 % on a busy machine."""
MIN_FLOAT_SNR_DB = 60.0
"""A float conversion that is right measured 104 to 135 dB on eight models; fp32 kernels of
another library or processor stay above 90."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidate ships (None: float), and per candidate why it lost; "" for the winner."""

    winner: int | None
    reasons: tuple[str, ...]


def choose(
    float_candidate: Candidate,
    candidates: Sequence[Candidate],
    gates: Gates,
    *,
    slower_for_smaller: bool = True,
) -> Choice:
    """The best of `candidates`, which come in the fixed order that breaks ties.

    Without `slower_for_smaller` none ships that is much slower than float: nobody asked for a
    small file at any price.
    """
    ratios = _pooled(candidates)
    reasons = [
        gate_problem(candidate.quality, gates)
        or cost_problem(candidate, gates)
        or _dominated(float_candidate, candidate, ratio)
        or ("" if slower_for_smaller else _slower(ratio, float_candidate))
        for candidate, ratio in zip(candidates, ratios, strict=True)
    ]
    passing = [index for index, reason in enumerate(reasons) if not reason]
    if not passing:
        return Choice(None, tuple(reasons))
    fastest = min(ratios[i] for i in passing)
    quick = []
    for index in passing:
        slower = ratios[index] / fastest
        if slower > AS_FAST and _noticed(ratios[index] - fastest, float_candidate):
            reasons[index] = f"{slower:.2f} times as slow as the fastest that passes"
        else:
            quick.append(index)
    winner = _best(candidates, quick)
    for index in quick:
        if index != winner:
            reasons[index] = _why_not(candidates[winner], candidates[index])
    return Choice(winner, tuple(reasons))


def _best(candidates: Sequence[Candidate], quick: Sequence[int]) -> int:
    top = max(share(candidates[i].quality) for i in quick)
    right = [i for i in quick if share(candidates[i].quality) >= top - EQUAL_ACCURACY - ROUNDING]
    clearest = max(_snr_db(candidates[i]) for i in right)
    clear = [i for i in right if _snr_db(candidates[i]) >= clearest - EQUAL_SNR_DB]
    best = min(clear, key=lambda i: (candidates[i].artifact.size_bytes, i))
    small = [i for i in right if _clear_and_smaller(candidates[i], candidates[best])]
    return min(small or [best], key=lambda i: (candidates[i].artifact.size_bytes, i))


def _clear_and_smaller(candidate: Candidate, best: Candidate) -> bool:
    """Of one precision only: FP16 is not given up for INT8 because it is larger."""
    mine, theirs = candidate.artifact, best.artifact
    return (
        mine.precision == theirs.precision
        and _snr_db(candidate) >= CLEAR_SNR_DB
        and mine.size_bytes <= MUCH_SMALLER * theirs.size_bytes
    )


def _why_not(winner: Candidate, loser: Candidate) -> str:
    behind = share(winner.quality) - share(loser.quality)
    if behind > EQUAL_ACCURACY + ROUNDING:
        return f"{share_name(loser.quality)} {behind * 100:.2f} points below the winner's"
    quieter_db = _snr_db(winner) - _snr_db(loser)
    if quieter_db > EQUAL_SNR_DB:
        return f"equal accuracy, but SNR {quieter_db:.1f} dB below the winner's"
    larger = loser.artifact.size_bytes - winner.artifact.size_bytes
    if larger > 0:
        return f"as good as the winner, and {larger} bytes larger"
    return "as good as the winner, which comes first in the fixed order"


def _dominated(float_candidate: Candidate, candidate: Candidate, ratio: float) -> str:
    """A candidate must be better than float in something, and in latency beyond noise."""
    if candidate.latency is None:
        return ""  # Nobody here can say that float is as fast.
    more_right = share(candidate.quality) > share(float_candidate.quality)
    smaller = candidate.artifact.size_bytes < float_candidate.artifact.size_bytes
    faster = ratio < FASTER_THAN_NOISE and _noticed(1 - ratio, float_candidate)
    if more_right or smaller or faster:
        return ""
    return "float is as good or better in quality, latency and size"


def _slower(ratio: float, float_candidate: Candidate) -> str:
    if ratio <= MUCH_SLOWER or not _noticed(ratio - 1, float_candidate):
        return ""
    return f"{ratio:.2f} times as slow as float; with --precision int8 its size counts more"


def _noticed(difference: float, float_candidate: Candidate) -> bool:
    """Whether a difference, in float's times, is one that matters to anybody."""
    measured = float_candidate.latency
    return measured is None or difference * measured.us_p50 > NOTHING_US


def _pooled(candidates: Sequence[Candidate]) -> list[float]:
    """Latency over float's, the median over all that compute the same.

    Where none was measured all count as equally fast.
    """
    by_kernels: dict[str, list[float]] = {}
    for candidate in candidates:
        by_kernels.setdefault(candidate.artifact.kernels, []).append(_ratio(candidate))
    return [
        float(np.median(by_kernels[candidate.artifact.kernels]))
        if candidate.artifact.kernels
        else _ratio(candidate)
        for candidate in candidates
    ]


def _ratio(candidate: Candidate) -> float:
    return 1.0 if candidate.latency is None else candidate.latency.ratio_to_float


def _snr_db(candidate: Candidate) -> float:
    return candidate.quality.snr_db or 0.0
