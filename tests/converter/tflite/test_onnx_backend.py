"""ONNX's own test cases are passed or refused, never answered wrongly.

`python -m benchmarks.operators` drives every case through every target and writes
docs/operators.md; this holds the figures that issue 3 asks of TFLite.
"""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.operators.cases import Form, float_node_cases
from benchmarks.operators.judges import judge


@pytest.mark.parametrize(("form", "at_least"), [("given", 860), ("constants", 1065)])
def test_no_node_case_is_wrong(tmp_path: Path, form: Form, at_least: int) -> None:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for case in float_node_cases():
        verdict, reason = judge("tflite", case, form, tmp_path)
        counts[verdict] += 1
        if verdict not in ("passed", "refused"):
            wrong.append(case.name)
        assert verdict != "refused" or reason, case.name
    assert wrong == []
    assert counts["passed"] >= at_least
