"""ONNX's own test cases are passed or refused, never answered wrongly."""

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import ConverterError
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase as BackendCase

from tests.converter.tflite.side_by_side import Arrays, run_tflite

# The cases' own tolerance is 1e-3 relative.
RELATIVE, ABSOLUTE = 1e-3, 1e-5


def _node_cases() -> list[BackendCase]:
    with warnings.catch_warnings():
        # Making the cases divides by zero and overflows on purpose.
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return list(load_model_tests(kind="node"))


def _float_cases() -> Iterator[tuple[str, onnx.ModelProto, list[Any], list[Any]]]:
    """Cases whose first input is a float32 tensor, with their tensors."""
    for case in _node_cases():
        model, data = case.model, case.data_sets
        if model is None or not data or not model.graph.input:
            continue
        kinds = [value.type for value in model.graph.input]
        if not all(kind.HasField("tensor_type") for kind in kinds):
            continue
        if kinds[0].tensor_type.elem_type == TensorProto.FLOAT:
            inputs, outputs = data[0]
            yield case.name, model, [*inputs], [*outputs]


def _array(value: Any) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def _with_constants(model: onnx.ModelProto, inputs: list[Any]) -> onnx.ModelProto:
    """The same model with everything but its first input constant: as real models hold it."""
    baked = onnx.ModelProto()
    baked.CopyFrom(model)
    del baked.graph.input[1:]
    for value, given in zip(model.graph.input[1:], inputs[1:], strict=True):
        baked.graph.initializer.append(numpy_helper.from_array(_array(given), value.name))
    return baked


def _agree(actual: Arrays, model: onnx.ModelProto, expected: list[Any]) -> bool:
    for value, reference in zip(model.graph.output, map(_array, expected), strict=True):
        found = actual[value.name]
        if found.shape != reference.shape or found.dtype != reference.dtype:
            return False
        if not np.allclose(found, reference, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
            return False
    return True


@pytest.mark.parametrize(("constants", "at_least"), [(False, 490), (True, 700)])
def test_no_node_case_is_wrong(constants: bool, at_least: int) -> None:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for name, case, inputs, expected in _float_cases():
        model = _with_constants(case, inputs) if constants else case
        try:
            data = write_tflite(model)
        except ConverterError as refusal:
            assert "\n" not in str(refusal)
            counts["refused"] += 1
            continue
        names = [value.name for value in model.graph.input]
        given = {name: _array(x) for name, x in zip(names, inputs, strict=False)}
        if _agree(run_tflite(data, given), model, expected):
            counts["passed"] += 1
        else:
            wrong.append(name)
    assert wrong == []
    assert counts["passed"] >= at_least
