"""Chooses the samples that the report shows, and asks the models what they look at in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.variant import Target

from edgewright_converter.jobs import SaliencyJob
from edgewright_converter.measure.saliency import Map, SaliencyMaps
from edgewright_converter.measure.view import View, find_view
from edgewright_converter.report.document import Difference, Report
from edgewright_converter.report.exhibits import Exhibit, Exhibits
from edgewright_converter.report.pictures import heat_uri, picture_uri, wave_svg
from edgewright_converter.samples import Samples, Tensor
from edgewright_converter.targets import Bench, TargetResult
from edgewright_converter.workshop import Made, Workshop

_EXPLAINED = 3
"""Samples per target of which saliency is asked; 64 inferences each, on two models."""


@dataclass(frozen=True, slots=True)
class _Looks:
    """Maps by sample and by who looks ("" is the float model)."""

    maps: Mapping[tuple[str, int], Map]
    note: str = ""


def exhibit(
    report: Report,
    results: Sequence[TargetResult],
    bench: Bench,
    samples: Samples,
    model: Path,
    workshop: Workshop,
) -> Exhibits:
    """Pictures or waveforms of the samples in `report.targets[...].differences`.

    A model that cannot be asked (too slow, or it fails on a covered input) costs the saliency,
    not the report: the note says so.
    """
    shown = {target.target: target.differences for target in report.targets if target.differences}
    view = find_view(samples.inputs)
    if view is None or not shown:
        plain = {name: tuple(Exhibit(one) for one in found) for name, found in shown.items()}
        return Exhibits(by_target=plain)
    rows = sorted({one.sample for found in shown.values() for one in found})
    pictures = {
        row: picture_uri(*_picture(view, samples, row)) for row in rows if view.kind == "picture"
    }
    looks = _ask(shown, results, bench, model, workshop)
    return Exhibits(
        tuple((f"sample-{row}", uri) for row, (uri, _, _) in pictures.items()),
        {
            target: tuple(
                _exhibit(one, target, view, samples.inputs[view.name][one.sample], pictures, looks)
                for one in found
            )
            for target, found in shown.items()
        },
        looks.note,
    )


def _picture(view: View, samples: Samples, row: int) -> tuple[View, Tensor]:
    """The raw sample where there is one that is a picture: people know it by its colours."""
    raw = samples.raw.get(view.name)
    seen = find_view({view.name: raw}) if raw is not None else None
    if raw is not None and seen is not None and seen.kind == "picture":
        return seen, raw[row]
    return view, samples.inputs[view.name][row]


def _ask(
    shown: Mapping[Target, tuple[Difference, ...]],
    results: Sequence[TargetResult],
    bench: Bench,
    model: Path,
    workshop: Workshop,
) -> _Looks:
    asked = {
        result.target: (result, tuple(one.sample for one in shown[result.target][:_EXPLAINED]))
        for result in results
        if result.target in shown and result.shipped.latency is not None
    }
    rows = tuple(sorted({row for _, some in asked.values() for row in some}))
    if not rows:
        return _Looks({})
    classes = bench.reference.predictions
    plain = SaliencyJob(
        bench.reading, bench.preparation, model, None, "", rows, _of(classes, rows), 0
    )
    (made,) = workshop.make([("saliency: float", plain)], bench.key)
    found = _maps(made)
    if not found.maps:
        return _Looks({}, "What the models look at is not shown: it would take too long here.")
    maps: dict[tuple[str, int], Map] = {
        ("", row): seen for row, seen in zip(rows, found.maps, strict=True)
    }
    orders = [
        (
            f"saliency: {target}",
            replace(
                plain,
                trial=result.crate,
                of=f"{target} {result.shipped.artifact.recipe}",
                rows=some,
                answers=_of(classes, some),
                parts=found.parts,
            ),
        )
        for target, (result, some) in asked.items()
    ]
    for (target, (_, some)), one in zip(
        asked.items(), workshop.make(orders, bench.key), strict=True
    ):
        maps |= {(target, row): seen for row, seen in zip(some, _maps(one).maps, strict=False)}
    return _Looks(maps)


def _maps(made: Made) -> SaliencyMaps:
    try:
        found: SaliencyMaps = made.value()
    except EdgewrightError:  # a covered input that a model cannot take; the rest is still right
        return SaliencyMaps(0, ())
    return found


def _of(classes: Sequence[int], rows: Sequence[int]) -> tuple[int, ...]:
    return tuple(classes[row] for row in rows) if classes else (-1,) * len(rows)


def _exhibit(
    one: Difference,
    target: Target,
    view: View,
    sample: Tensor,
    pictures: Mapping[int, tuple[str, int, int]],
    looks: _Looks,
) -> Exhibit:
    theirs, mine = looks.maps.get(("", one.sample)), looks.maps.get((target, one.sample))
    # One scale for both, so that a variant that looks less sharply is seen to.
    scale = 0.0 if theirs is None else float(np.abs(theirs).max())
    if view.kind == "sound":
        return Exhibit(
            one,
            wave=wave_svg(sample, None, 0),
            looks_float=wave_svg(sample, theirs, scale) if mine is not None else "",
            looks=wave_svg(sample, mine, scale) if mine is not None else "",
        )
    _, width, height = pictures[one.sample]
    return Exhibit(
        one,
        picture=f"sample-{one.sample}",
        width=width,
        height=height,
        looks_float=heat_uri(theirs, scale) if theirs is not None and mine is not None else "",
        looks=heat_uri(mine, scale) if mine is not None else "",
    )
