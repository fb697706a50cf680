"""Sums cut in two: the same model, and nearer to the exact result."""

from typing import Any

import numpy as np
import onnx
from edgewright_converter.emit.tflite import write_tflite
from edgewright_manifests.golden import snr_db
from onnx import helper

from tests.converter.tflite.side_by_side import chain, operators, run_onnx, run_tflite

_RANDOM = np.random.default_rng(4)


def _wide() -> onnx.ModelProto:
    """x [n, 48, 8, 8]: 432 and then 400 terms to a sum."""
    constants: dict[str, np.ndarray[Any, Any]] = {
        "w1": _RANDOM.standard_normal((400, 48, 3, 3)).astype(np.float32) * 0.05,
        "b1": _RANDOM.standard_normal(400).astype(np.float32),
        "w2": _RANDOM.standard_normal((400, 7)).astype(np.float32) * 0.05,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["t", "w2"], ["y"]),
    ]
    return chain(nodes, {"x": ("n", 48, 8, 8)}, constants)


def test_long_sums_are_cut_and_the_model_stays_what_it_is() -> None:
    model = _wide()
    plain, cut = write_tflite(model), write_tflite(model, short_sums=True)
    assert operators(plain).count("CONV_2D") == 1
    assert operators(cut).count("CONV_2D") == 2
    assert operators(cut).count("SPLIT_V") == 2
    assert not {"TRANSPOSE", "RELU"} & set(operators(cut)[1:])
    inputs = {"x": _RANDOM.standard_normal((3, 48, 8, 8)).astype(np.float32)}
    wanted = run_onnx(model, inputs)
    assert snr_db(wanted, run_tflite(cut, inputs)) > 120
