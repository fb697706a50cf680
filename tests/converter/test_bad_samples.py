from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.converter.command import Convert
from tests.converter.networks import classifier, images, save_samples

GOOD = images(16)
SPOILT = images(16)
SPOILT[5, 0, 2, 2] = np.nan
ENDLESS = images(16)
ENDLESS[7, 0, 0, 0] = np.inf


@pytest.mark.parametrize("option", ["--calibration", "--evaluate"])
@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"X": GOOD}, "has an array 'X', which is no input of the model; did you mean 'x'?"),
        ({"pixels": GOOD}, "name it as the model does: ['x']"),
        ({"labels": np.zeros(16, np.int64)}, "has no array for the input 'x'"),
        ({"x": GOOD[:, :, :4]}, "has shape [16, 1, 4, 8], the model takes FP32 [any, 1, 8, 8]"),
        ({"x": GOOD[:, 0]}, "has shape [16, 8, 8]"),
        ({"x": np.stack([GOOD, GOOD])}, "each sample is a batch of 16"),
        ({"x": GOOD.astype(np.float64)}, "is float64, which does not fit"),
        ({"x": GOOD.astype(np.int32)}, "is int32, which does not fit"),
        ({"x": GOOD.astype(np.complex64)}, "is complex64"),
        ({"x": GOOD.astype(np.str_)}, "which does not fit"),
        ({"x": SPOILT}, "NaN or infinite values, first in sample 5 (1 samples)"),
        ({"x": ENDLESS}, "NaN or infinite values, first in sample 7"),
        ({"x": GOOD[:0]}, "holds no samples"),
        ({"x": GOOD, "labels": np.zeros(15, np.int64)}, "expected integers [16]"),
        ({"x": GOOD, "labels": np.zeros(16)}, "labels are float64 [16]"),
        ({"x": GOOD, "labels": np.full(16, -1)}, "labels go down to -1"),
        ({"x": GOOD, "labels": np.full(16, 4)}, "has the label 4, but the model has 4 classes"),
    ],
)
def test_samples_that_do_not_fit_are_refused_in_one_line(
    convert: Convert,
    tmp_path: Path,
    option: str,
    arrays: dict[str, NDArray[np.generic]],
    told: str,
) -> None:
    samples = save_samples(tmp_path / "s.npz", **arrays)
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), option, samples)
    assert "s.npz: " in line
    assert told in line


def test_float64_samples_come_with_advice(convert: Convert, tmp_path: Path) -> None:
    samples = save_samples(tmp_path / "s.npz", x=GOOD.astype(np.float64))
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), "--calibration", samples)
    assert "store it with .astype('float32')" in line


def test_pickled_objects_are_never_loaded(convert: Convert, tmp_path: Path) -> None:
    samples = save_samples(tmp_path / "s.npz", x=np.array([{"a": 1}], dtype=object))
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), "--calibration", samples)
    assert "holds pickled Python objects, which are never loaded" in line


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(convert: Convert, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), "--calibration", path)
    assert "is no .npz file, or is damaged" in line


def test_a_damaged_npz_is_refused(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez_compressed(path, x=GOOD)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), "--calibration", path)
    assert "s.npz: " in line


def test_a_missing_sample_file_is_said_to_be_missing(convert: Convert, tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx")
    line = convert.must_refuse(model, "--evaluate", tmp_path / "none.npz")
    assert "none.npz: cannot be read: No such file" in line


def test_a_folder_without_samples_is_refused(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    model = classifier(tmp_path / "m.onnx")
    assert "holds no .npz file" in convert.must_refuse(model, "--calibration", tmp_path / "samples")


def test_labels_in_only_some_files_of_a_folder_name_the_one_without(
    convert: Convert, tmp_path: Path
) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    save_samples(folder / "a.npz", x=GOOD, labels=np.zeros(16, np.int64))
    save_samples(folder / "b.npz", x=GOOD)
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), "--evaluate", folder)
    assert "b.npz: has no `labels`" in line


def test_too_few_calibration_samples_to_hold_any_out_are_refused(
    convert: Convert, tmp_path: Path
) -> None:
    samples = save_samples(tmp_path / "s.npz", x=GOOD[:7])
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), "--calibration", samples)
    assert "give at least 8, or samples to measure on with --evaluate" in line


def test_measuring_only_on_calibration_samples_is_refused(convert: Convert, tmp_path: Path) -> None:
    samples = save_samples(tmp_path / "s.npz", x=GOOD)
    model = classifier(tmp_path / "m.onnx")
    line = convert.must_refuse(model, "--calibration", samples, "--evaluate", samples)
    assert "evaluate on samples that the quantizer has not seen" in line
