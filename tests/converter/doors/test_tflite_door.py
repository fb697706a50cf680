"""A .tflite file through `edgewright convert`: read by us, compared with LiteRT."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.tflite import write_tflite

from tests.converter.command import Convert
from tests.converter.doors.opening import agreement_db, answers
from tests.converter.networks import classifier, images, save_samples
from tests.converter.tflite.side_by_side import run_tflite


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(write_tflite(onnx.load(classifier(tmp_path / "m.onnx"))))
    return path


def test_a_tflite_file_becomes_a_bundle_that_answers_as_it_does(
    convert: Convert, tmp_path: Path, tflite: Path
) -> None:
    samples = save_samples(tmp_path / "s.npz", x=images(16))
    outcome = convert(tflite, "--evaluate", samples, "--target", "onnx", "--precision", "float")
    assert outcome.status == 0, outcome
    assert outcome.warnings == []
    inputs = {"x": images(16)}
    wanted = {"y": np.concatenate([_alone(tflite, one) for one in inputs["x"]])}
    found = answers(convert.out, tmp_path, inputs)
    assert agreement_db(wanted, found, ["y"]) >= 90.0


def _alone(tflite: Path, image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> np.ndarray:
    return run_tflite(tflite.read_bytes(), {"x": image[None]})["y"]


def test_other_names_in_the_samples_are_told_with_both_lists(
    convert: Convert, tmp_path: Path, tflite: Path
) -> None:
    samples = save_samples(tmp_path / "s.npz", image=images(16), labels=np.zeros(16, np.int64))
    told = convert.must_refuse(tflite, "--evaluate", samples)
    assert "s.npz: has the arrays ['image', 'labels'], but" in told or (
        "s.npz: has the arrays ['image'], but" in told
    )
    assert "takes ['x']; save each array under its input's name" in told


def test_samples_of_another_shape_are_told_with_both(
    convert: Convert, tmp_path: Path, tflite: Path
) -> None:
    samples = save_samples(tmp_path / "s.npz", x=images(16)[:, :, :4])
    told = convert.must_refuse(tflite, "--evaluate", samples)
    assert "array 'x' has samples of shape [1, 4, 8], small.tflite takes [1, 8, 8]" in told


def test_samples_of_a_wider_type_are_told(convert: Convert, tmp_path: Path, tflite: Path) -> None:
    samples = save_samples(tmp_path / "s.npz", x=images(16).astype(np.float64))
    told = convert.must_refuse(tflite, "--evaluate", samples)
    assert "array 'x' is float64, which does not fit into the model's float32" in told


def test_an_input_shape_for_another_name_is_told(convert: Convert, tflite: Path) -> None:
    told = convert.must_refuse(tflite, "--input-shape", "image=1,1,8,8")
    assert "--input-shape image:" in told
    assert "it has ['x']" in told


@pytest.mark.parametrize("kept", [0, 100, 0.9])
def test_a_damaged_file_is_refused(
    convert: Convert, tmp_path: Path, tflite: Path, kept: float
) -> None:
    data = tflite.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    assert "cut.tflite" in convert.must_refuse(tmp_path / "cut.tflite")
