"""Every operator of the table gives onnxruntime's answer on LiteRT, at batch 1 and 4."""

import pytest

from tests.converter.tflite.cases import CASES
from tests.converter.tflite.function_cases import FUNCTION_CASES
from tests.converter.tflite.indexing_cases import INDEXING_CASES
from tests.converter.tflite.one_node import Case
from tests.converter.tflite.recurrent_cases import RECURRENT_CASES
from tests.converter.tflite.side_by_side import assert_agrees
from tests.converter.tflite.window_cases import WINDOW_CASES

ALL = (*CASES, *WINDOW_CASES, *RECURRENT_CASES, *INDEXING_CASES, *FUNCTION_CASES)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_operator_agrees_with_onnxruntime(case: Case) -> None:
    assert_agrees(case.model)


def test_names_of_cases_are_unique() -> None:
    names = [case.name for case in ALL]
    assert len(names) == len(set(names))
