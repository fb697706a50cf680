"""A source that is quantized already: every target answers as its integers do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode
from onnx import TensorProto, helper

from tests.converter.command import Convert
from tests.converter.coreml.side_by_side import evaluated
from tests.converter.networks import save_samples
from tests.converter.tflite.side_by_side import chain, run_onnx, run_tflite

_RANDOM = np.random.default_rng(11)
_NODE = helper.make_node


def _quantized(*, zero: int, per_channel: bool) -> onnx.ModelProto:
    """x int8 [n, 2, 6, 6] -> y int8 [n, 6, 6, 4]: a convolution of int8 weights per channel, its
    result moved as integers, and tanh.
    """
    scales = np.linspace(0.03, 0.06, 4, dtype=np.float32) if per_channel else np.float32(0.05)
    constants: dict[str, np.ndarray[Any, Any]] = {
        "s": np.asarray(0.04, np.float32),
        "z": np.asarray(zero, np.int8),
        "w8": _RANDOM.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8),
        "ws": np.full(4, 0.01, np.float32),
        "b32": _RANDOM.integers(-999, 999, 4).astype(np.int32),
        "bs": np.full(4, 0.0004, np.float32),
        "s2": np.asarray(scales),
        "z2": np.full(np.shape(scales), zero, np.int8),
        "s3": np.asarray(1 / 128, np.float32),
        "z3": np.asarray(zero, np.int8),
    }
    nodes = [
        _NODE("DequantizeLinear", ["x", "s", "z"], ["xf"]),
        _NODE("DequantizeLinear", ["w8", "ws"], ["wf"], axis=0),
        _NODE("DequantizeLinear", ["b32", "bs"], ["bf"], axis=0),
        _NODE("Conv", ["xf", "wf", "bf"], ["c"], pads=[1, 1, 1, 1]),
        _NODE("QuantizeLinear", ["c", "s2", "z2"], ["c8"], axis=1),
        _NODE("Transpose", ["c8"], ["t8"], perm=[0, 2, 3, 1]),
        _NODE("DequantizeLinear", ["t8", "s2", "z2"], ["t"], axis=3),
        _NODE("Tanh", ["t"], ["g"]),
        _NODE("QuantizeLinear", ["g", "s3", "z3"], ["y"]),
    ]
    shape = {"x": ("n", 2, 6, 6)}
    kinds = {"x": TensorProto.INT8}
    return chain(nodes, shape, constants, dtypes=kinds, kind=TensorProto.INT8)


def _pixels(count: int) -> np.ndarray[Any, Any]:
    return _RANDOM.integers(-128, 128, (count, 2, 6, 6)).astype(np.int8)


@pytest.mark.parametrize("zero", [0, 5])
@pytest.mark.parametrize("per_channel", [False, True])
def test_litert_computes_the_same_integers(zero: int, per_channel: bool) -> None:
    model = _quantized(zero=zero, per_channel=per_channel)
    data, inputs = write_tflite(model), {"x": _pixels(5)}
    wanted, got = run_onnx(model, inputs)["y"], run_tflite(data, inputs)["y"]
    assert got.dtype == wanted.dtype == np.int8
    steps = np.abs(got.astype(int) - wanted)
    assert steps.max() <= 1  # a sum in another order may fall on the other side of a half
    assert np.mean(steps > 0) < 0.002


def test_core_ml_computes_the_same_integers(tmp_path: Path) -> None:
    model, inputs = _quantized(zero=5, per_channel=False), {"x": _pixels(1)}
    wanted = run_onnx(model, inputs)["y"]
    got = evaluated(model, inputs, tmp_path, fp16=False)["y"]
    assert np.abs(got.astype(int) - wanted).max() <= 1
    assert np.mean(got != wanted) < 0.01


def test_the_command_ships_it_and_does_not_quantize_twice(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"
    model = _quantized(zero=5, per_channel=False)
    result = helper.make_tensor_value_info("y", TensorProto.INT8, ["n", 6, 6, 4])
    model.graph.output[0].CopyFrom(result)
    onnx.save(model, path)
    samples = save_samples(tmp_path / "s.npz", x=_pixels(24))
    outcome = convert(
        path, "--calibration", samples, "--target", "onnx", "--target", "tflite",
        "--min-snr", "10",
    )  # fmt: skip  # one command
    assert outcome.status == 0, outcome
    report = decode(
        open_bundle(convert.out).entries[0].read_layer("report.json"), Report, source="report"
    )
    for target in report.targets:
        snr = target.candidates[0].quality
        assert snr is not None
        assert snr.snr_db is not None
        assert snr.snr_db > 60
    refused = [c.reason for c in report.targets[0].candidates if c.outcome == "failed"]
    assert refused
    assert set(refused) == {"it is quantized already"}
