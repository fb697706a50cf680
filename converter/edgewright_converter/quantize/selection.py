"""Picks what ships from measured candidates: rules only, no file, no clock.

Gates first (quality that must be kept), then who is as fast as the fastest, then quality,
then size, then the recipes' fixed order. Latency is noisy, so it only decides where the
difference is far beyond noise: two conversions of one model choose the same recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright_manifests.variant import Quality

from edgewright_converter.candidate import Candidate
from edgewright_converter.request import Gates

AS_FAST = 1.25
"""Up to 25 % slower counts as equally fast: repeated runs on a shared machine differ by 15 %."""
EQUAL_ACCURACY = 0.002
"""Two samples in a thousand; below the standard error of any set that people evaluate on."""
EQUAL_SNR_DB = 1.0
FASTER_THAN_NOISE = 0.95
"""Of float's time; the median of interleaved rounds repeats within 3 % on a busy machine."""
MIN_FLOAT_SNR_DB = 60.0
"""A float conversion that is right measured 104 to 135 dB on eight models; fp32 kernels of
another library or processor stay above 90."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidate ships (None: float), and per candidate why it lost; "" for the winner."""

    winner: int | None
    reasons: tuple[str, ...]


def gate_problem(quality: Quality, gates: Gates) -> str:
    """Why this quality may not ship, or "" when it may."""
    if quality.accuracy is not None and quality.accuracy_float is not None:
        drop = quality.accuracy_float - quality.accuracy
        if drop > gates.max_accuracy_drop + _ROUNDING:
            return (
                f"accuracy {quality.accuracy:.2%} is {drop * 100:.2f} points below float's "
                f"{quality.accuracy_float:.2%}, at most {gates.max_accuracy_drop * 100:.2f} allowed"
            )
        return ""
    if quality.top1_agreement is not None:
        if quality.top1_agreement < gates.min_top1_agreement - _ROUNDING:
            return (
                f"only {quality.top1_agreement:.2%} of the answers equal float's, "
                f"at least {gates.min_top1_agreement:.2%} wanted"
            )
        return ""
    assert quality.snr_db is not None
    if quality.snr_db < gates.min_snr_db:
        return f"SNR {quality.snr_db:.1f} dB, at least {gates.min_snr_db:.1f} dB wanted"
    return ""


def cost_problem(candidate: Candidate, gates: Gates) -> str:
    """Which of the limits on latency and size it breaks, or "" for none.

    A latency that nobody here can measure breaks none.
    """
    size_bytes = candidate.artifact.size_bytes
    if gates.max_size_bytes is not None and size_bytes > gates.max_size_bytes:
        return f"size of {size_bytes} bytes, at most {gates.max_size_bytes} allowed"
    limit_ms = gates.max_latency_ms
    if limit_ms is not None and candidate.latency is not None:
        latency_ms = candidate.latency.us_p50 / 1_000
        if latency_ms > limit_ms:
            return f"latency of {latency_ms:.3g} ms, at most {limit_ms:.3g} ms allowed"
    return ""


def choose(float_candidate: Candidate, candidates: Sequence[Candidate], gates: Gates) -> Choice:
    """The best of `candidates`, which come in the fixed order that breaks ties."""
    reasons = [
        gate_problem(candidate.quality, gates)
        or cost_problem(candidate, gates)
        or _dominated(float_candidate, candidate)
        for candidate in candidates
    ]
    passing = [index for index, reason in enumerate(reasons) if not reason]
    if not passing:
        return Choice(None, tuple(reasons))
    fastest = min(_ratio(candidates[i]) for i in passing)
    quick = []
    for index in passing:
        slower = _ratio(candidates[index]) / fastest
        if slower > AS_FAST:
            reasons[index] = f"{slower:.2f} times as slow as the fastest that passes"
        else:
            quick.append(index)
    winner = _best(candidates, quick)
    for index in quick:
        if index != winner:
            reasons[index] = _why_not(candidates[winner], candidates[index])
    return Choice(winner, tuple(reasons))


def _best(candidates: Sequence[Candidate], quick: Sequence[int]) -> int:
    top = max(_share(candidates[i].quality) for i in quick)
    right = [i for i in quick if _share(candidates[i].quality) >= top - EQUAL_ACCURACY - _ROUNDING]
    clearest = max(_snr_db(candidates[i]) for i in right)
    clear = [i for i in right if _snr_db(candidates[i]) >= clearest - EQUAL_SNR_DB]
    return min(clear, key=lambda i: (candidates[i].artifact.size_bytes, i))


def _why_not(winner: Candidate, loser: Candidate) -> str:
    behind = _share(winner.quality) - _share(loser.quality)
    if behind > EQUAL_ACCURACY + _ROUNDING:
        measure = "accuracy" if loser.quality.accuracy is not None else "top-1 agreement"
        return f"{measure} {behind * 100:.2f} points below the winner's"
    quieter_db = _snr_db(winner) - _snr_db(loser)
    if quieter_db > EQUAL_SNR_DB:
        return f"equal accuracy, but SNR {quieter_db:.1f} dB below the winner's"
    larger = loser.artifact.size_bytes - winner.artifact.size_bytes
    if larger > 0:
        return f"as good as the winner, and {larger} bytes larger"
    return "as good as the winner, which comes first in the fixed order"


def _dominated(float_candidate: Candidate, candidate: Candidate) -> str:
    """A candidate must be better than float in something, and in latency beyond noise."""
    if candidate.latency is None:
        return ""  # Nobody here can say that float is as fast.
    more_right = _share(candidate.quality) > _share(float_candidate.quality)
    smaller = candidate.artifact.size_bytes < float_candidate.artifact.size_bytes
    faster = _ratio(candidate) < FASTER_THAN_NOISE
    if more_right or smaller or faster:
        return ""
    return "float is as good or better in quality, latency and size"


def _ratio(candidate: Candidate) -> float:
    """Latency over float's; where none was measured all count as equally fast."""
    return 1.0 if candidate.latency is None else candidate.latency.ratio_to_float


def _share(quality: Quality) -> float:
    """Accuracy, or agreement where there are no labels, or 0 where there are no classes."""
    if quality.accuracy is not None:
        return quality.accuracy
    return quality.top1_agreement or 0.0


def _snr_db(candidate: Candidate) -> float:
    return candidate.quality.snr_db or 0.0
