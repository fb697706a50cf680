"""ONNX's own test cases are passed or refused, never answered wrongly.

`python -m benchmarks.operators` drives every case through every target and writes
docs/operators.md; this holds the figures that issue 3 asks of Core ML.
"""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.operators.cases import Form, float_node_cases
from benchmarks.operators.judges import judge


def _sweep(folder: Path, *, form: Form, every: int) -> Counter[str]:
    """Counts of passed and refused; fails with the names of those that were wrong."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for number, case in enumerate(float_node_cases()):
        if number % every:
            continue
        verdict, reason = judge("coreml", case, form, folder)
        counts[verdict] += 1
        if verdict not in ("passed", "refused"):
            wrong.append(case.name)
        assert verdict != "refused" or reason, case.name
    assert wrong == []
    return counts


def test_no_node_case_of_every_twenty_fourth_is_wrong(tmp_path: Path) -> None:
    counts = _sweep(tmp_path, form="constants", every=24)
    assert counts["passed"] >= 0.55 * counts.total()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("form", "share"), [("constants", 0.6), ("given", 0.45)])
def test_no_node_case_is_wrong(tmp_path: Path, form: Form, share: float) -> None:
    counts = _sweep(tmp_path, form=form, every=1)
    assert counts["passed"] >= share * counts.total()
