"""What a person finds in report.html, from a real conversion."""

import re
from html.parser import HTMLParser

import pytest
from edgewright_converter.report.document import CandidateReport, LayerFacts
from edgewright_converter.report.exhibits import Exhibits
from edgewright_converter.report.html import render_html
from edgewright_converter.report.layers import render_layers

from tests.converter.conftest import Converted


class Outline(HTMLParser):
    """Every tag closed in order, and what the page would fetch."""

    VOID = frozenset({"meta", "img", "br", "line", "circle", "rect", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.classes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith(("data:", "#")):
                self.fetched.append(value or "")
            if name == "class":
                self.classes += (value or "").split()
        assert tag not in ("script", "link", "iframe", "object")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="session")
def page(converted: Converted) -> str:
    return converted.bundle.entries[0].read_layer("report.html").decode()


def test_the_page_is_whole_and_fetches_nothing(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.fetched == []
    assert not re.search(r"url\((?!data:image/png;base64,)", page)
    assert "@import" not in page


def test_each_target_shows_candidates_groups_and_what_differs(
    converted: Converted, page: str
) -> None:
    report = converted.report
    for target in report.targets:
        assert f'<h2 id="{target.target}">' in page
        assert len([g for g in target.groups if g.facet == "class"]) == 10
        assert sum(g.samples for g in target.groups) == report.data.evaluation.samples
        if not target.differences:
            assert target.shipped.endswith("-float")  # which may answer exactly alike
            continue
        first = target.differences[0]
        assert first.changed == (sum(target.changed) > 0)
        assert f"sample&nbsp;{first.sample}, labelled&nbsp;{first.label}" in page
    assert page.count('aria-label="onnx: accuracy, % against latency"') == 1
    assert page.count('aria-label="onnx: accuracy, % against size"') == 1
    changed = sum(d.changed for t in report.targets for d in t.differences)
    assert page.count('<figure class="changed">') == changed


def test_pictures_are_there_once_and_three_of_each_target_are_explained(
    converted: Converted, page: str
) -> None:
    shown = {d.sample for t in converted.report.targets for d in t.differences}
    for sample in shown:
        assert page.count(f".sample-{sample} {{ background-image: url(data:") == 1
    small = [t for t in converted.report.targets if not t.shipped.endswith("-float")]
    assert page.count(">float looks at<") + page.count("</div>float looks at") >= len(small)


def test_changed_answers_come_first_and_are_counted_alike(converted: Converted) -> None:
    for target in converted.report.targets:
        flags = [difference.changed for difference in target.differences]
        assert flags == sorted(flags, reverse=True)
        assert sum(flags) == min(8, sum(target.changed))


def test_text_from_outside_is_text_in_the_page(converted: Converted) -> None:
    import msgspec

    report = msgspec.structs.replace(converted.report, name="<script>alert(1)</script>")
    page = render_html(report, Exhibits())
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_layers_are_bars_worst_first_and_names_are_escaped() -> None:
    layers = tuple(
        LayerFacts(name=f"<layer {n}>", operator="Conv", sqnr_db=2.0 * n, kept_float=n == 0)
        for n in range(30)
    )
    candidate = CandidateReport(
        recipe="r", precision="mixed", outcome="lost", reason="", layers=layers
    )
    svg = render_layers(candidate)
    assert svg.count("<rect") == 24
    assert svg.count('class="bar kept"') == 1
    assert "<layer" not in svg
    assert "&lt;layer 0&gt; (Conv): 0.0 dB, kept in float" in svg
