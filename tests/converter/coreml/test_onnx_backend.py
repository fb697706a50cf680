"""ONNX's own test cases are passed or refused, never answered wrongly."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.errors import ConverterError

from tests.converter.coreml.side_by_side import open_written
from tests.converter.tflite.test_onnx_backend import _agree, _array, _float_cases, _with_constants


def _sweep(folder: Path, *, constants: bool, every: int) -> Counter[str]:
    """Counts of passed and refused; fails with the names of those that were wrong."""
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for number, (name, case, inputs, expected) in enumerate(_float_cases()):
        if number % every:
            continue
        model: onnx.ModelProto = _with_constants(case, inputs) if constants else case
        try:
            data = write_coreml(model, fp16=False)
        except ConverterError as refusal:
            assert "\n" not in str(refusal)
            counts["refused"] += 1
            continue
        names = [value.name for value in model.graph.input]
        given = {key: np.asarray(_array(x)) for key, x in zip(names, inputs, strict=False)}
        if _agree(open_written(data, folder).run(given), model, expected):
            counts["passed"] += 1
        else:
            wrong.append(name)
    assert wrong == []
    return counts


def test_no_node_case_of_every_twenty_fourth_is_wrong(tmp_path: Path) -> None:
    counts = _sweep(tmp_path, constants=True, every=24)
    assert counts["passed"] >= 0.4 * counts.total()


@pytest.mark.long
@pytest.mark.parametrize(("constants", "share"), [(True, 0.5), (False, 0.35)])
def test_no_node_case_is_wrong(tmp_path: Path, constants: bool, share: float) -> None:
    counts = _sweep(tmp_path, constants=constants, every=1)
    assert counts["passed"] >= share * counts.total()
