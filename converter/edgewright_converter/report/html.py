"""report.html: one page without outside resources, for people."""

from dataclasses import dataclass
from importlib.resources import files

import jinja2
from markupsafe import Markup

from edgewright_converter.measure.groups import MIN_SAMPLES
from edgewright_converter.report.chart import chart_measure, render_chart, up_is_better
from edgewright_converter.report.document import CandidateReport, Report, TargetReport
from edgewright_converter.report.exhibits import Exhibit, Exhibits
from edgewright_converter.report.figures import (
    decibel_words,
    gate_words,
    metric_names,
    metric_words,
    preprocessing_words,
    share_words,
)
from edgewright_converter.report.groups import FacetTable, facet_tables
from edgewright_converter.report.layers import hidden_layers, layered_candidate, render_layers
from edgewright_converter.report.table import latency_words, size_words, time_words

_MAX_CLASSES_DRAWN = 30
"""More cells than 30 x 30 cannot be told apart on a screen; report.json has all."""


def render_html(report: Report, exhibits: Exhibits) -> str:
    """The whole page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["share"] = share_words
    environment.filters["decibels"] = decibel_words
    environment.filters["size"] = size_words
    environment.filters["latency"] = latency_words
    environment.filters["microseconds"] = time_words
    environment.filters["figure"] = metric_words
    environment.filters["gates"] = gate_words
    # These make SVG and data URIs, and escape all that they take from the report.
    environment.filters["svg"] = Markup
    template = environment.from_string(
        (files("edgewright_converter.report") / "report.html.jinja").read_text("utf-8")
    )
    return template.render(
        report=report,
        metrics=metric_names(report),
        targets=[_view(target, exhibits) for target in report.targets],
        exhibits=exhibits,
        confusion_float=_heat(report.confusion_float) if _drawn(report.confusion_float) else (),
        min_samples=MIN_SAMPLES,
        classified=any(
            candidate.quality is not None and candidate.quality.top1_agreement is not None
            for target in report.targets
            for candidate in target.candidates
        ),
        preprocessing=preprocessing_words(report),
    )


@dataclass(frozen=True, slots=True)
class _TargetView:
    """What the page shows of one target besides its report."""

    report: TargetReport
    charts: tuple[str, ...]
    measure: str
    up_is_better: bool
    layered: CandidateReport | None
    layers: str
    hidden_layers: int
    facets: tuple[FacetTable, ...]
    exhibits: tuple[Exhibit, ...]
    confusion: tuple[tuple[tuple[int, str, float], ...], ...]
    changed: str


def _view(target: TargetReport, exhibits: Exhibits) -> _TargetView:
    layered = layered_candidate(target)
    charts = (render_chart(target, "latency"), render_chart(target, "size"))
    return _TargetView(
        report=target,
        charts=tuple(chart for chart in charts if chart),
        measure=chart_measure(target),
        up_is_better=up_is_better(target),
        layered=layered,
        layers="" if layered is None else render_layers(layered),
        hidden_layers=0 if layered is None else hidden_layers(layered),
        facets=facet_tables(target, MIN_SAMPLES),
        exhibits=exhibits.by_target.get(target.target, ()),
        confusion=_heat(target.confusion) if _drawn(target.confusion) else (),
        changed=_worst(target),
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
