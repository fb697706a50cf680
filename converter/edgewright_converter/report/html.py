"""report.html: one page without outside resources, for people."""

from importlib.resources import files

import jinja2
from edgewright_manifests.golden import EXACT_SNR_DB
from markupsafe import Markup

from edgewright_converter.report.chart import chart_measure, render_chart
from edgewright_converter.report.document import Report, TargetReport
from edgewright_converter.report.table import latency_words, shown_small, size_words

_MAX_CLASSES_DRAWN = 30
"""More cells than 30 x 30 cannot be told apart on a screen; report.json has all."""


def render_html(report: Report) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["share"] = _share
    environment.filters["decibels"] = _decibels
    environment.filters["size"] = size_words
    environment.filters["latency"] = latency_words
    template = environment.from_string(
        (files("edgewright_converter.report") / "report.html.jinja").read_text("utf-8")
    )
    return template.render(
        report=report,
        # render_chart escapes all that it takes from the report.
        charts={t.target: Markup(render_chart(t)) for t in report.targets},  # noqa: S704 - as above
        measures={t.target: chart_measure(t) for t in report.targets},
        small={t.target: shown_small(t) for t in report.targets},
        confusions=[(t.target, _heat(t.confusion)) for t in report.targets if _drawn(t.confusion)],
        confusion_float=_heat(report.confusion_float) if _drawn(report.confusion_float) else (),
        changed=[(t, _worst(t)) for t in report.targets if t.changed],
    )


def _drawn(confusion: tuple[tuple[int, ...], ...]) -> bool:
    return 0 < len(confusion) <= _MAX_CLASSES_DRAWN


def _heat(
    confusion: tuple[tuple[int, ...], ...],
) -> tuple[tuple[tuple[int, str, float], ...], ...]:
    """Per cell: count, whether it is right or wrong, and how strongly to colour it (0..1)."""
    return tuple(
        tuple(
            (count, "right" if i == j else "wrong", round((count / max(1, sum(row))) ** 0.5, 2))
            for j, count in enumerate(row)
        )
        for i, row in enumerate(confusion)
    )


def _worst(target: TargetReport) -> str:
    """The classes with the most changed answers, in words."""
    order = sorted(range(len(target.changed)), key=lambda c: -target.changed[c])[:3]
    told = [f"class {c}: {target.changed[c]}" for c in order if target.changed[c]]
    return ", ".join(told) or "none"


def _decibels(value: float) -> str:
    return "exact" if value >= EXACT_SNR_DB else f"{value:.1f} dB"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"
