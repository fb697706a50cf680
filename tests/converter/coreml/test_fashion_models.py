"""The example models, end to end: written, evaluated, quantized, and through the command."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.coreml import quantize_weights, write_coreml
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.cli import main
from edgewright_manifests.documents import decode

from tests.converter.command import Convert
from tests.converter.coreml.side_by_side import open_written, snr_db
from tests.converter.tflite.side_by_side import run_onnx

FASHION = Path(__file__).parents[3] / "examples" / "fashion"
MODELS = sorted((FASHION / "models").glob("*.onnx"))


def _outputs(data: bytes, folder: Path, images: np.ndarray) -> np.ndarray:
    session = open_written(data, folder)
    return np.concatenate([session.run({"image": image[None]})["logits"] for image in images])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_fashion_model_keeps_its_answers_in_every_precision(path: Path, tmp_path: Path) -> None:
    model = onnx.load(path)
    with np.load(FASHION / "data" / "evaluation.npz") as file:
        images = np.asarray(file["image"][:64], np.float32)
    expected = run_onnx(model, {"image": images})["logits"]
    half = write_coreml(model, fp16=True)
    full_db = snr_db(expected, _outputs(write_coreml(model, fp16=False), tmp_path, images))
    half_db = snr_db(expected, _outputs(half, tmp_path, images))
    small = _outputs(quantize_weights(half), tmp_path, images)
    assert full_db >= 100
    assert half_db >= 40
    assert np.mean(small.argmax(axis=1) == expected.argmax(axis=1)) >= 0.95


@pytest.fixture
def few(tmp_path: Path) -> tuple[str, ...]:
    """Options with a hundred labelled samples."""
    with np.load(FASHION / "data" / "evaluation.npz") as file:
        path = tmp_path / "few.npz"
        np.savez(path, image=file["image"][:100], labels=file["labels"][:100])
    return ("--target", "coreml", "--evaluate", str(path), "--golden", "8")


def test_the_command_ships_fp16_and_says_that_no_apple_device_measured_it(
    convert: Convert, few: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = convert(FASHION / "models" / "v1.onnx", *few)
    assert outcome.status == 0, outcome
    row = outcome.stdout.splitlines()[2].split()
    assert row[:2] == ["coreml", "fp16"]
    assert row[-3:] == ["–", "–", "–"]
    assert "no Apple device was available; latency was not measured" in outcome.stdout
    entry = open_bundle(convert.out).entries[0]
    assert [file.name for file in entry.variant.files] == ["model.mlpackage.zip"]
    quality = entry.variant.quality
    assert quality.snr_db is not None
    assert quality.snr_db >= 40
    report = decode(entry.read_layer("report.json"), Report, source="report")
    tried = {c.recipe: c for c in report.targets[0].candidates}
    assert set(tried) == {
        "float", "coremltools fp16", "coremltools linear int8 weights, fp16 activations",
    }  # fmt: skip
    assert all(c.latency is None and c.quality is not None for c in tried.values())
    page = entry.read_layer("report.html").decode()
    assert "no Apple device was available" in page
    assert "latency was not measured" in page
    assert "no Apple device was available" in entry.read_layer("model_card.md").decode()
    assert main(["bundle", "check", str(convert.out)]) == 0
    assert "not run here: Core ML" in capsys.readouterr().out


@pytest.mark.parametrize(("precision", "ships"), [("float", "float"), ("fp16", "fp16")])
def test_the_precision_that_was_asked_for_ships(
    convert: Convert, few: tuple[str, ...], precision: str, ships: str
) -> None:
    outcome = convert(FASHION / "models" / "v1.onnx", *few, "--precision", precision)
    assert outcome.status == 0, outcome
    assert outcome.stdout.splitlines()[2].split()[:2] == ["coreml", ships]


def test_int8_weights_ship_when_int8_is_asked_for(convert: Convert, few: tuple[str, ...]) -> None:
    calibration = FASHION / "data" / "calibration.npz"
    options = (*few, "--precision", "int8", "--calibration", str(calibration))
    outcome = convert(FASHION / "models" / "v1.onnx", *options)
    assert outcome.status == 0, outcome
    assert outcome.stdout.splitlines()[2].split()[:2] == ["coreml", "int8"]


def test_without_coremltools_a_named_target_is_refused_and_all_goes_on(
    convert: Convert, few: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright_converter import pipeline

    monkeypatch.setattr(pipeline, "coreml_problem", lambda: "coremltools is not installed")
    line = convert.must_refuse(FASHION / "models" / "v1.onnx", *few)
    assert "coreml: coremltools is not installed" in line
    outcome = convert(FASHION / "models" / "v1.onnx", *few[2:], "--precision", "float")
    assert outcome.status == 0, outcome
    made = {entry.variant.target for entry in open_bundle(convert.out).entries}
    assert made >= {"onnx", "openvino", "tflite"}
    assert "coreml" not in made
    assert any("coreml is left out: coremltools" in line for line in outcome.warnings)
