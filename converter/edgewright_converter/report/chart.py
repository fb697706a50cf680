"""Quality against latency as a small inline SVG, one per target."""

import math
from dataclasses import dataclass
from html import escape

from edgewright_converter.report.document import CandidateReport, TargetReport

_WIDTH, _HEIGHT = 560, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 14, 40


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
    """What the vertical axis shows: accuracy, top-1 agreement or SNR."""
    qualities = [c.quality for c in target.candidates if c.quality is not None]
    if all(quality.accuracy is not None for quality in qualities):
        return "accuracy, %"
    if all(quality.top1_agreement is not None for quality in qualities):
        return "answers equal to float's, %"
    return "SNR, dB"


def render_chart(target: TargetReport) -> str:
    """An SVG element; "" when nothing was measured. Up and left is better."""
    measured = [c for c in target.candidates if c.quality is not None and c.latency is not None]
    if not measured:
        return ""
    measure = chart_measure(target)
    points = [(_latency_us(c), _quality(c, measure)) for c in measured]
    across = _axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT, at_zero=True)
    up = _axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP, at_zero=False)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(target.target)}: {escape(measure)} against latency">'
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
        'text-anchor="middle">latency, µs (batch 1, one thread)</text>'
        f'<text class="tick" transform="translate(12 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) '
        f'rotate(-90)" text-anchor="middle">{escape(measure)}</text>'
    )
    numbered = list(zip(range(1, len(measured) + 1), measured, points, strict=True))
    numbered.sort(key=lambda mark: mark[1].outcome == "shipped")  # on top of what it overlaps
    for number, candidate, (x, y) in numbered:
        kind = _mark(candidate)
        parts.append(
            f'<g class="{kind}"><title>{escape(candidate.recipe)}: {y:.2f}, {x:.0f} µs</title>'
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


def _latency_us(candidate: CandidateReport) -> float:
    assert candidate.latency is not None
    return candidate.latency.us_p50


def _quality(candidate: CandidateReport, measure: str) -> float:
    quality = candidate.quality
    assert quality is not None
    if measure.startswith("accuracy"):
        return 100 * (quality.accuracy or 0.0)
    if measure.startswith("answers"):
        return 100 * (quality.top1_agreement or 0.0)
    return quality.snr_db or 0.0
