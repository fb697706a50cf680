"""Dynamic axes: the samples decide, `--input-shape` decides where there are none."""

from pathlib import Path

import numpy as np
import pytest
from edgewright_manifests.bundle import open_bundle
from onnx import helper

from tests.converter.command import Convert
from tests.converter.networks import save_samples, write_model


def _any_size(path: Path) -> Path:
    """x [n, 3, any, any] -> y [n, 8, any, any]."""
    rng = np.random.default_rng(2)
    weights = {"w": rng.standard_normal((8, 3, 3, 3)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["y"], name="relu"),
    ]
    return write_model(
        path,
        nodes,
        weights,
        inputs={"x": ["n", 3, "h", "w0"]},
        outputs={"y": ["n", 8, "h", "w0"]},
    )


def test_the_samples_decide_the_size_and_a_note_says_so(convert: Convert, tmp_path: Path) -> None:
    images = np.random.default_rng(4).standard_normal((8, 3, 16, 24)).astype(np.float32)
    samples = save_samples(tmp_path / "s.npz", x=images)
    done = convert(
        _any_size(tmp_path / "m.onnx"), "--evaluate", samples, "--precision", "float",
        "--target", "tflite", "--target", "onnx",
    )  # fmt: skip
    assert done.status == 0, done.errors
    assert any("'x'" in line and "[any, 3, 16, 24]" in line for line in done.warnings)
    for entry in open_bundle(convert.out).entries:
        assert entry.variant.signature.inputs[0].shape == (-1, 3, 16, 24)
        assert entry.variant.signature.outputs[0].shape == (-1, 8, 16, 24)


def test_input_shape_decides_where_there_are_no_samples(convert: Convert, tmp_path: Path) -> None:
    model = _any_size(tmp_path / "m.onnx")
    refusal = convert.must_refuse(model, "--target", "tflite")
    assert "'x'" in refusal
    done = convert(model, "--target", "tflite", "--input-shape", "x=1,3,8,12")
    assert done.status == 0, done.errors
    signature = open_bundle(convert.out).entries[0].variant.signature
    assert signature.inputs[0].shape == (-1, 3, 8, 12)


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("z=1,3,8,8", 1, "no such input"),
        ("x=1,3,8", 1, "does not fit"),
        ("x=1,4,8,8", 1, "does not fit"),
        ("x=1,3,0,8", 2, "expected NAME="),
        ("x", 2, "expected NAME="),
    ],
)
def test_an_input_shape_that_does_not_fit_is_refused(
    text: str, status: int, said: str, convert: Convert, tmp_path: Path
) -> None:
    model = _any_size(tmp_path / "m.onnx")
    assert said in convert.must_refuse(model, "--input-shape", text, status=status)
