from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode
from onnx import helper

from tests.converter.command import Convert
from tests.converter.conftest import FASHION
from tests.converter.networks import classifier, images, save_samples, write_model


@pytest.fixture
def fragile(tmp_path: Path) -> tuple[Path, Path]:
    """A model whose quiet input channel decides, and samples in which the loud one drowns it."""
    samples = save_samples(tmp_path / "s.npz", x=images(120, channels=2))
    return classifier(tmp_path / "fragile.onnx", channels=2), samples


def test_a_model_that_int8_ruins_ships_with_its_worst_layers_in_float(
    convert: Convert, fragile: tuple[Path, Path]
) -> None:
    model, samples = fragile
    outcome = convert(model, "--calibration", samples)
    assert outcome.status == 0, outcome
    bundle = open_bundle(convert.out)
    # Core ML's INT8 is of the weights alone, which this model survives. With OpenVINO and LiteRT
    # the search tries its two layers together and each alone; what keeps the answers is larger
    # than the float file of 3 or 4 kB, and not faster.
    assert [e.variant.id for e in bundle.entries] == [
        "onnx-mixed",
        "openvino-float",
        "tflite-float",
        "coreml-int8",
        "tensorrt-mixed",
    ]
    assert "worst 1 layer float" in outcome.stdout
    report = decode(bundle.entries[0].read_layer("report.json"), Report, source="report")
    for told in report.targets[:3]:
        int8 = [c for c in told.candidates if c.precision == "int8" and c.outcome == "lost"]
        assert len(int8) >= 2
        assert all("of the answers equal float's, at least 95.00% wanted" in c.reason for c in int8)
        shipped = told.find("shipped")
        assert shipped is not None
        mixed = shipped.precision == "mixed"
        assert mixed == any(layer.kept_float for layer in shipped.layers)


def test_int8_that_was_asked_for_by_name_and_fails_its_gate_is_an_error(
    convert: Convert, fragile: tuple[Path, Path]
) -> None:
    model, samples = fragile
    options = ("--precision", "int8", "--target", "tflite", "--calibration", samples)
    line = convert.must_refuse(model, *options)
    assert "float ships" not in line
    assert "of the answers equal float's" in line
    assert "--precision auto" in line


def test_a_gate_can_be_widened_until_int8_ships(
    convert: Convert, fragile: tuple[Path, Path]
) -> None:
    model, samples = fragile
    options = ("--target", "onnx", "--calibration", samples, "--min-agreement", "0")
    outcome = convert(model, *options)
    assert outcome.status == 0
    assert open_bundle(convert.out).entries[0].variant.id == "onnx-int8"


def test_without_samples_float_ships_measured_on_noise_and_says_so(
    convert: Convert, tmp_path: Path
) -> None:
    outcome = convert(classifier(tmp_path / "m.onnx"), "--target", "onnx")
    assert outcome.status == 0
    assert "INT8 needs samples; give --calibration" in outcome.stdout
    assert any("figures are on random numbers" in line for line in outcome.warnings)
    card = open_bundle(convert.out).entries[0].read_layer("model_card.md").decode()
    assert "No real samples were given" in card


def test_an_old_opset_is_raised_for_quantization(convert: Convert, tmp_path: Path) -> None:
    """Per-channel quantization at opset 11 used to give graphs that do not load."""
    samples = save_samples(tmp_path / "s.npz", x=images(40))
    model = classifier(tmp_path / "old.onnx", opset=11)
    outcome = convert(model, "--target", "onnx", "--calibration", samples)
    assert outcome.status == 0
    report = decode(
        open_bundle(convert.out).entries[0].read_layer("report.json"), Report, source="report"
    )
    static = [c for c in report.targets[0].candidates if "onnxruntime static" in c.recipe]
    assert {c.outcome for c in static} <= {"shipped", "lost"}
    assert len(static) >= 5


def test_fp16_is_smaller_and_near_the_float_model_on_every_target(convert: Convert) -> None:
    samples = FASHION / "data" / "evaluation.npz"
    model = FASHION / "models" / "v1.onnx"
    outcome = convert(model, "--precision", "fp16", "--evaluate", samples)
    assert outcome.status == 0, outcome
    bundle = open_bundle(convert.out)
    assert [e.variant.id for e in bundle.entries] == [
        "onnx-fp16", "openvino-fp16", "tflite-fp16", "coreml-fp16",
    ]  # fmt: skip
    for entry in bundle.entries:
        assert entry.variant.quality.snr_db is not None
        assert entry.variant.quality.snr_db > 40


def test_bytes_are_widened_and_samples_on_an_extra_axis_are_accepted(
    convert: Convert, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 1, 8, 8), dtype=np.uint8)
    folder = tmp_path / "samples"
    folder.mkdir()
    save_samples(folder / "a.npz", x=pixels[:12])
    save_samples(folder / "b.npz", x=pixels[12:, None])
    model = classifier(tmp_path / "m.onnx")
    assert convert(model, "--target", "onnx", "--evaluate", folder).status == 0
    golden = open_bundle(convert.out).entries[0].read_golden()
    assert golden.samples == 24
    assert golden.inputs["x"].dtype == np.float32
    assert {row.tobytes() for row in golden.inputs["x"]} == {
        row.tobytes() for row in pixels.astype(np.float32)
    }


def test_several_inputs_and_no_classes_are_gated_by_signal_to_noise(
    convert: Convert, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    weights = {"w": rng.standard_normal((6, 3, 3, 3)).astype(np.float32) * 0.2}
    model = write_model(
        tmp_path / "two.onnx",
        [
            helper.make_node("Conv", ["left", "w"], ["a"], name="conv_1", pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["right", "w"], ["b"], name="conv_2", pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["a", "b"], ["sum"], name="add_1"),
            helper.make_node("Relu", ["sum"], ["positive"], name="relu_1"),
        ],
        weights,
        inputs={"left": ["n", 3, 8, 8], "right": ["n", 3, 8, 8]},
        outputs={"sum": ["n", 6, 8, 8], "positive": ["n", 6, 8, 8]},
    )
    pairs = {side: rng.random((40, 3, 8, 8)).astype(np.float32) for side in ("left", "right")}
    outcome = convert(model, "--calibration", save_samples(tmp_path / "s.npz", **pairs))
    assert outcome.status == 0, outcome
    assert outcome.stdout.splitlines()[0].split()[2] == "SNR"
    for entry in open_bundle(convert.out).entries:
        assert [spec.name for spec in entry.variant.signature.outputs] == ["sum", "positive"]
        assert entry.variant.quality.top1_agreement is None
        assert entry.variant.tolerance.min_top1_agreement is None
        assert entry.variant.tolerance.min_snr_db is not None


def test_a_model_with_a_fixed_batch_of_one_converts_to_every_target(
    convert: Convert, tmp_path: Path
) -> None:
    weights = {"w": np.random.default_rng(6).standard_normal((3, 16)).astype(np.float32)}
    model = write_model(
        tmp_path / "one.onnx",
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm_1", transB=1)],
        weights,
        inputs={"x": [1, 16]},
        outputs={"y": [1, 3]},
    )
    samples = save_samples(tmp_path / "s.npz", x=images(40)[:, 0, :2].reshape(40, 16))
    # What is searched for by measuring has tests of its own, and no axis to look at.
    assert convert(model, "--evaluate", samples, "--precision", "float").status == 0
    bundle = open_bundle(convert.out)
    assert [e.variant.target for e in bundle.entries] == [
        "onnx", "openvino", "tflite", "coreml", "tensorrt",
    ]  # fmt: skip
    assert bundle.entries[0].variant.signature.inputs[0].shape == (1, 16)
