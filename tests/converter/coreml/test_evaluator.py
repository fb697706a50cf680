"""The MIL evaluator: independent of the writer, strict, and right by hand-made figures."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.mil_evaluator import open_package
from edgewright_converter.measure.mil_evaluator.catalogue import computations
from edgewright_converter.measure.mil_evaluator.errors import OperationUnknown, PackageDamaged
from edgewright_converter.measure.mil_evaluator.registry import Arguments

from tests.converter.coreml.side_by_side import open_written
from tests.converter.tflite.one_node import IMAGE, weights
from tests.converter.tflite.side_by_side import single

MODEL = single("Conv", IMAGE, {"w": weights(40, 4, 3, 3)})
ROOT = "model.mlpackage/Data/com.apple.CoreML/"


def compute(kind: str, **given: object) -> np.ndarray:
    """One operation of the evaluator."""
    values = {k: [v if isinstance(v, str) else np.asarray(v)] for k, v in given.items()}
    arguments = Arguments(kind, values)
    result = computations()[kind](arguments)
    arguments.finish()
    assert isinstance(result, np.ndarray)
    return result


def test_it_imports_nothing_of_the_writer() -> None:
    program = (
        "import sys\n"
        "import edgewright_converter.measure.mil_evaluator\n"
        "from edgewright_converter.measure.mil_evaluator.catalogue import computations\n"
        "computations()\n"
        "sys.exit(','.join(m for m in sys.modules if 'emit' in m.split('.')) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_convolution_by_hand() -> None:
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    weight = np.asarray([[[[1, 10], [100, 1000]]]], np.float32)
    found = compute("conv", x=x, weight=weight, strides=[2, 2], pad_type="custom", pad=[0, 1, 1, 0])
    # Windows start at rows 0 and 2 of 4 (one row below), columns -1 and 1.
    assert found[0, 0].tolist() == [[3000, 5421], [60, 87]]


def test_a_transposed_convolution_by_hand() -> None:
    x = np.asarray([[[1, 2]]], np.float32)
    weight = np.asarray([[[1, 10, 100]]], np.float32)
    found = compute("conv_transpose", x=x, weight=weight, strides=[2], pad_type="valid")
    assert found.tolist() == [[[1, 10, 102, 20, 200]]]


@pytest.mark.parametrize(
    ("mode", "length", "grid"),
    [
        # The examples of the operator's own specification, for Xin = 2.
        ("UNALIGN_CORNERS", 5, [0, 0.1, 0.5, 0.9, 1]),
        ("STRICT_ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("STRICT_ALIGN_CORNERS", 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_the_grids_of_resize_bilinear_are_the_specifications(
    mode: str, length: int, grid: list[float]
) -> None:
    x = np.asarray([[[[0, 1]]]], np.float32)
    if mode.startswith("STRICT"):
        x = np.concatenate([x, x], axis=2)
    found = compute(
        "resize_bilinear", x=x, target_size_height=x.shape[2], target_size_width=length,
        sampling_mode=mode,
    )  # fmt: skip
    np.testing.assert_allclose(found[0, 0, 0], grid, atol=1e-6)


def test_depth_to_space_is_block_major_and_pixel_shuffle_channel_major() -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1)
    blocks = compute("depth_to_space", x=x, block_size=2)
    channels = compute("pixel_shuffle", x=x, upscale_factor=2)
    assert blocks[0].tolist() == [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]
    assert channels[0].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_affine_weights_are_scaled_along_their_axis() -> None:
    found = compute(
        "constexpr_affine_dequantize", quantized_data=np.asarray([[1, 2], [3, 4]], np.int8),
        zero_point=np.asarray([0, 1], np.int8), scale=np.asarray([10, 100], np.float32), axis=0,
    )  # fmt: skip
    assert found.tolist() == [[10, 20], [200, 300]]


def test_float16_results_are_rounded_after_every_operation(tmp_path: Path) -> None:
    model = single("Add", {"x": (1, 1)}, {"c": np.asarray([1], np.float32)})
    session = open_written(write_coreml(model, fp16=True), tmp_path)
    # 2048 + 1 has twelve bits; float16 has eleven and rounds to even.
    assert session.run({"x": np.asarray([[2048]], np.float32)})["y"].tolist() == [[2048]]


def test_a_parameter_that_it_does_not_know_is_an_error() -> None:
    with pytest.raises(OperationUnknown, match="relu: its inputs slope are not known"):
        compute("relu", x=np.zeros(3, np.float32), slope=2.0)


def test_another_batch_than_the_packages_is_an_error(tmp_path: Path) -> None:
    session = open_written(write_coreml(MODEL, fp16=True), tmp_path)
    with pytest.raises(ConverterError, match=r"'x' is \[1, 4, 9, 7\] in the package"):
        session.run({"x": np.zeros((2, 4, 9, 7), np.float32)})


def _changed(data: bytes, name: str, content: bytes | None) -> bytes:
    """The zip with one file replaced, or left out."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(sink, "w") as new:
        for entry in old.namelist():
            if entry != name:
                new.writestr(entry, old.read(entry))
        if content is not None:
            new.writestr(name, content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"{ROOT}model.mlmodel", None),
        (f"{ROOT}model.mlmodel", b"\xff" * 40),
        (f"{ROOT}model.mlmodel", b""),
        (f"{ROOT}weights/weight.bin", None),
        (f"{ROOT}weights/weight.bin", b"\0" * 4096),
    ],
)
def test_a_damaged_package_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    with pytest.raises(PackageDamaged):
        open_written(_changed(write_coreml(MODEL, fp16=True), name, content), tmp_path)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage.zip"
    path.write_bytes(b"nothing")
    with pytest.raises(PackageDamaged, match="no zip"):
        open_package(path)
