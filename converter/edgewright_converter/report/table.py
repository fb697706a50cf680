"""The table that `edgewright convert` prints."""

from collections.abc import Sequence

from edgewright_manifests.variant import Quality

from edgewright_converter.report.document import CandidateReport, Report, TargetReport
from edgewright_converter.report.figures import (
    decibel_words,
    metric_names,
    metric_words,
    share_words,
)

_CLEARLY_SLOWER = 0.95
"""Speed-ups from here to 1 are noise."""


def render_table(report: Report) -> str:
    """Per target: quality, size and latency of float and of what was quantized, and what ships."""
    labelled = report.float_accuracy is not None
    classified = any(
        c.quality is not None and c.quality.top1_agreement is not None
        for target in report.targets
        for c in target.candidates
    )
    named = metric_names(report)
    measure = (
        "accuracy" if labelled else named[0] if named else "agreement" if classified else "SNR"
    )
    shown = [shown_small(target) for target in report.targets]
    words = {candidate.precision for candidate in shown if candidate is not None}
    small = words.pop() if len(words) == 1 else "quantized"
    head = ["target", "ships", f"{measure} float", f"{measure} {small}"]
    head += ["size float", f"size {small}", "latency float", f"latency {small}", "speed-up"]
    rows = [_row(target, measure) for target in report.targets]
    lines = _align([head, *rows])
    for target in report.targets:
        if target.reason:
            lines.append(f"{target.target}: {target.reason}")
        winner = target.find("shipped")
        if winner is not None and winner.latency is None:
            lines.append(f"{target.target}: {unmeasured_words(target)}")
        if winner is not None and winner.precision != "float":
            lines.append(f"{target.target}: {winner.recipe}{_slower(winner)}")
    return "\n".join(lines)


def quality_words(quality: Quality | None, measure: str) -> str:
    """One quality as it stands in tables."""
    if quality is None:
        return "–"
    if any(figure.name == measure for figure in quality.metrics):
        return metric_words(quality, measure)
    if measure == "accuracy" and quality.accuracy is not None:
        return share_words(quality.accuracy)
    if measure == "agreement" and quality.top1_agreement is not None:
        return share_words(quality.top1_agreement)
    return "–" if quality.snr_db is None else decibel_words(quality.snr_db)


def size_words(size_bytes: int | None) -> str:
    """Kilobytes, or megabytes from ten of them on."""
    if size_bytes is None:
        return "–"
    if size_bytes >= 10_000_000:
        return f"{size_bytes / 1e6:.1f} MB"
    return f"{size_bytes / 1e3:.1f} kB"


def latency_words(candidate: CandidateReport | None) -> str:
    """Median, in the unit that reads best."""
    if candidate is None or candidate.latency is None:
        return "–"
    return time_words(candidate.latency.us_p50)


def time_words(value_us: float) -> str:
    """Microseconds, or milliseconds from one of them on."""
    return f"{value_us / 1000:.2f} ms" if value_us >= 1000 else f"{value_us:.0f} µs"


def unmeasured_words(target: TargetReport) -> str:
    """Where the figures of a target that nothing here can run are from."""
    return f"quality is from {target.placement}; latency was not measured"


def shown_small(target: TargetReport) -> CandidateReport | None:
    """The quantized candidate to show beside float: the one that ships, else the best tried."""
    winner = target.find("shipped")
    if winner is not None and winner.precision != "float":
        return winner
    tried = [c for c in target.candidates if c.precision != "float" and c.quality is not None]
    return max(tried, key=_merit, default=None)


def _merit(candidate: CandidateReport) -> tuple[float, float]:
    quality = candidate.quality
    assert quality is not None
    return (quality.accuracy or quality.top1_agreement or 0.0, quality.snr_db or 0.0)


def _row(target: TargetReport, measure: str) -> list[str]:
    if target.outcome == "refused":
        return [target.target, "refused", *["–"] * 7]
    unquantized = target.candidates[0]
    small = shown_small(target)
    speed_up = "–" if small is None or small.latency is None else f"{small.latency.speed_up:.2f}x"
    return [
        target.target,
        target.shipped.removeprefix(f"{target.target}-"),
        quality_words(unquantized.quality, measure),
        quality_words(small.quality if small else None, measure),
        size_words(unquantized.size_bytes),
        size_words(small.size_bytes if small else None),
        latency_words(unquantized),
        latency_words(small),
        speed_up,
    ]


def _slower(winner: CandidateReport) -> str:
    if winner.latency is None or winner.latency.speed_up >= _CLEARLY_SLOWER:
        return ""
    return " (smaller, but slower than float on this machine)"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        words = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(words).rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in widths))
    return lines
