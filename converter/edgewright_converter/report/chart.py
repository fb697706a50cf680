"""Quality against latency, and against size, as small inline SVGs, a pair per target."""

import math
from dataclasses import dataclass
from html import escape
from typing import Literal

from edgewright_converter.report.document import CandidateReport, TargetReport

_WIDTH, _HEIGHT = 480, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 14, 40
Cost = Literal["latency", "size"]
_UNITS = {"latency": ("µs", "ms"), "size": ("kB", "MB")}
_LARGE = 10_000.0
"""From here on the larger unit reads better."""


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Three to six round numbers inside."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = math.ceil(self.low / step) * step
        count = int((self.high - first) / step + 1e-9) + 1
        return [first + i * step for i in range(count)]


def chart_measure(target: TargetReport) -> str:
    """What the vertical axis shows: accuracy, the first metric, top-1 agreement or SNR."""
    qualities = [c.quality for c in target.candidates if c.quality is not None]
    if all(quality.accuracy is not None for quality in qualities):
        return "accuracy, %"
    if qualities and qualities[0].metrics:
        first = qualities[0].metrics[0]
        return f"{first.name}, %" if first.unit == "share" else first.name
    if all(quality.top1_agreement is not None for quality in qualities):
        return "answers equal to float's, %"
    return "SNR, dB"


def up_is_better(target: TargetReport) -> bool:
    """False where the vertical axis shows errors."""
    measure = chart_measure(target).removesuffix(", %")
    figures = [f for c in target.candidates if c.quality is not None for f in c.quality.metrics]
    return all(figure.better == "higher" for figure in figures if figure.name == measure)


def render_chart(target: TargetReport, cost: Cost) -> str:
    """An SVG element; "" when nothing was measured. Left is better, and up, unless the measure is
    one of errors.

    Numbers are the candidates' places in the report, from 1.
    """
    measured = [
        (number, c)
        for number, c in enumerate(target.candidates, 1)
        if c.quality is not None and _cost(c, cost) is not None
    ]
    if not measured:
        return ""
    measure = chart_measure(target)
    large = max(_cost(c, cost) or 0.0 for _, c in measured) >= _LARGE
    points = [
        ((_cost(c, cost) or 0.0) / (1000 if large else 1), _quality(c, measure))
        for _, c in measured
    ]
    unit = _UNITS[cost][large]
    words = f"{cost}, {unit}{' (batch 1, one thread)' if cost == 'latency' else ''}"
    across = _axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT, at_zero=True)
    up = _axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP, at_zero=False)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(target.target)}: {escape(measure)} against {cost}">'
    ]
    for tick in up.ticks():
        y = up.place(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5:.1f}" '
            f'text-anchor="end">{tick:g}</text>'
        )
    for tick in across.ticks():
        x = across.place(tick)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}" '
            f'text-anchor="middle">{tick:g}</text>'
        )
    parts.append(
        f'<text class="tick" x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 6}" '
        f'text-anchor="middle">{words}</text>'
        f'<text class="tick" transform="translate(12 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) '
        f'rotate(-90)" text-anchor="middle">{escape(measure)}</text>'
    )
    marks = list(zip(measured, points, strict=True))
    marks.sort(key=lambda mark: mark[0][1].outcome == "shipped")  # on top of what it overlaps
    for (number, candidate), (x, y) in marks:
        kind = _mark(candidate)
        parts.append(
            f'<g class="{kind}"><title>{escape(candidate.recipe)}: {y:.2f}, {x:.4g} {unit}</title>'
            f'<circle cx="{across.place(x):.1f}" cy="{up.place(y):.1f}" r="7"/>'
            f'<text x="{across.place(x):.1f}" y="{up.place(y) + 3.2:.1f}" '
            f'text-anchor="middle">{number}</text></g>'
        )
    parts.append("</svg>")
    return "".join(parts)


def _axis(values: list[float], start: float, stop: float, *, at_zero: bool) -> _Axis:
    low, high = min(values), max(values)
    room = max((high - low) * 0.18, abs(high) * 0.004, 1e-6)
    return _Axis(0.0 if at_zero else low - room, high + room, start, stop)


def _mark(candidate: CandidateReport) -> str:
    if candidate.outcome == "shipped":
        return "mark shipped"
    return "mark float" if candidate.precision == "float" else "mark"


def _cost(candidate: CandidateReport, cost: Cost) -> float | None:
    if cost == "size":
        return None if candidate.size_bytes is None else candidate.size_bytes / 1e3
    return None if candidate.latency is None else candidate.latency.us_p50


def _quality(candidate: CandidateReport, measure: str) -> float:
    quality = candidate.quality
    assert quality is not None
    if measure.startswith("accuracy"):
        return 100 * (quality.accuracy or 0.0)
    for figure in quality.metrics:
        if f"{figure.name}, %" == measure:
            return 100 * figure.value
        if figure.name == measure:
            return figure.value
    if measure.startswith("answers"):
        return 100 * (quality.top1_agreement or 0.0)
    return quality.snr_db or 0.0
