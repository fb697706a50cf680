"""Every operator in onnxruntime against the same file in LiteRT."""

import numpy as np
import pytest
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.frontend.tflite.catalogue import registry

from tests.converter.doors_tflite.cases import CASES
from tests.converter.doors_tflite.cases import Case as Own
from tests.converter.doors_tflite.one_operator import BUILTIN, Array, read, run_litert, run_read
from tests.converter.tflite.cases import CASES as WRITTEN
from tests.converter.tflite.one_node import Case
from tests.converter.tflite.recurrent_cases import RECURRENT_CASES
from tests.converter.tflite.side_by_side import (
    RELATIVE_TOLERANCE,
    random_inputs,
    run_onnx,
    run_tflite,
)
from tests.converter.tflite.window_cases import WINDOW_CASES


def _assert_same(actual: Array, expected: Array) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    size = max(1.0, float(np.abs(expected.astype(np.float64)).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RELATIVE_TOLERANCE * size)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_operator_computes_what_litert_computes(case: Own) -> None:
    data, inputs = case.single.pack(), list(case.single.given.values())
    for actual, expected in zip(
        run_read(read(data), inputs), run_litert(data, inputs), strict=True
    ):
        _assert_same(actual, expected)


@pytest.mark.parametrize(
    "case", [*WRITTEN, *WINDOW_CASES, *RECURRENT_CASES], ids=lambda case: case.name
)
def test_what_our_writer_writes_comes_back(case: Case) -> None:
    data = write_tflite(case.model)
    model = read(data)
    for batch in (1, 4):
        inputs = random_inputs(case.model, batch, seed=batch)
        expected, actual = run_tflite(data, inputs), run_onnx(model, inputs)
        assert actual.keys() == expected.keys()
        for name in expected:
            _assert_same(actual[name], expected[name])


def test_every_registered_operator_is_one_of_litert() -> None:
    assert set(registry().operators()) <= BUILTIN.keys()
