"""Every operator of the TFLite writer's table gives onnxruntime's answer in a Core ML package."""

from pathlib import Path

import pytest
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.emit.coreml.catalogue import registry
from edgewright_converter.emit.tflite.catalogue import registry as tflite_registry
from edgewright_converter.errors import TargetRefused

from tests.converter.coreml.side_by_side import assert_agrees
from tests.converter.tflite.cases import CASES
from tests.converter.tflite.one_node import Case

# Core ML's tensors have five axes at most.
REFUSED = {"Unsqueeze": "6 axes"}
_WRITTEN = [
    case
    for case in CASES
    if case.name not in REFUSED
    and {node.op_type for node in case.model.graph.node} <= {*registry().operators(), "Mish"}
]


@pytest.mark.parametrize("case", _WRITTEN, ids=lambda case: case.name)
def test_operator_agrees_with_onnxruntime_in_float32(case: Case, tmp_path: Path) -> None:
    assert_agrees(case.model, tmp_path, fp16=False)


@pytest.mark.parametrize("case", _WRITTEN[::4], ids=lambda case: case.name)
def test_operator_keeps_40_db_in_float16(case: Case, tmp_path: Path) -> None:
    assert_agrees(case.model, tmp_path, fp16=True)


@pytest.mark.long
@pytest.mark.parametrize("case", _WRITTEN, ids=lambda case: case.name)
def test_every_operator_keeps_40_db_in_float16(case: Case, tmp_path: Path) -> None:
    assert_agrees(case.model, tmp_path, fp16=True)


@pytest.mark.parametrize("name", REFUSED)
def test_what_core_ml_cannot_hold_is_refused(name: str) -> None:
    model = next(case.model for case in CASES if case.name == name)
    with pytest.raises(TargetRefused, match=REFUSED[name]):
        write_coreml(model, fp16=False)


def test_the_operators_that_only_the_tflite_writer_has_are_known_by_name() -> None:
    missing = set(tflite_registry().operators()) - set(registry().operators())
    # Swish is written by its definition; IsNaN rests on comparisons that fast kernels drop.
    assert missing <= {"Compress", "IsInf", "IsNaN", "LSTM", "GRU", "Shrink", "Swish"}
