"""Classes and slices of one target, ready for a table: who lost, and whether that is chance."""

from dataclasses import dataclass

from edgewright_manifests.variant import GroupFigure

from edgewright_converter.report.document import TargetReport

_SHOWN = 20
"""Rows of one facet; report.json has all."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One class or slice."""

    figure: GroupFigure
    drop_points: float
    verdict: str
    """`worse` or `better` beyond noise, `noise`, or `few` samples."""


@dataclass(frozen=True, slots=True)
class FacetTable:
    """All groups of one facet, the largest drop first."""

    facet: str
    rows: tuple[GroupRow, ...]
    hidden: int


def facet_tables(target: TargetReport, min_samples: int) -> tuple[FacetTable, ...]:
    """One table per facet, in the report's order."""
    tables = []
    for facet in dict.fromkeys(group.facet for group in target.groups):
        rows = [_row(group, min_samples) for group in target.groups if group.facet == facet]
        rows.sort(key=lambda row: (-row.drop_points, row.figure.group))
        tables.append(FacetTable(facet, tuple(rows[:_SHOWN]), max(0, len(rows) - _SHOWN)))
    return tuple(tables)


def _row(group: GroupFigure, min_samples: int) -> GroupRow:
    drop = group.share_float - group.share
    if group.samples < min_samples:
        verdict = "few"
    elif abs(drop) <= 2 * group.noise or not drop:
        verdict = "noise"
    else:
        verdict = "worse" if drop > 0 else "better"
    return GroupRow(group, 100 * drop, verdict)
