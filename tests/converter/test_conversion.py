import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.report.document import CandidateReport, Measurements, Report
from edgewright_manifests.documents import decode
from edgewright_manifests.golden import judge
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.variant import Variant
from edgewright_runtime.engine import open_session

from tests.converter.conftest import FASHION, Converted

TARGETS = ["onnx", "openvino", "tflite"]


def test_one_int8_variant_per_target_is_in_a_bundle_that_verifies(converted: Converted) -> None:
    converted.bundle.verify()
    assert [e.variant.id for e in converted.bundle.entries] == [f"{t}-int8" for t in TARGETS]


def test_every_variant_has_the_signature_of_the_source(converted: Converted) -> None:
    wanted = ModelSignature(
        inputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, 1, 28, 28)),),
        outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, 10)),),
    )
    assert {e.variant.signature for e in converted.bundle.entries} == {wanted}


def test_no_variant_loses_more_than_a_point_and_every_file_is_smaller(
    converted: Converted,
) -> None:
    for target in converted.report.targets:
        plain, winner = target.candidates[0], target.find("shipped")
        assert winner is not None
        assert winner.quality is not None
        assert winner.quality.samples == 1000
        assert winner.quality.accuracy is not None
        assert winner.quality.accuracy_float is not None
        assert winner.quality.accuracy_float > 0.89
        assert winner.quality.accuracy >= winner.quality.accuracy_float - 0.01
        assert winner.size_bytes is not None
        assert plain.size_bytes is not None
        assert winner.size_bytes < plain.size_bytes


def test_float_conversions_are_exact_to_a_hundred_decibels(converted: Converted) -> None:
    for target in converted.report.targets:
        quality = target.candidates[0].quality
        assert quality is not None
        assert quality.snr_db is not None
        assert quality.snr_db > 100


@pytest.mark.parametrize("target", TARGETS)
def test_a_variant_passes_its_golden_vectors_and_another_models_answers_fail(
    converted: Converted, tmp_path: Path, target: str
) -> None:
    entry = converted.bundle.entry(target)
    entry.unpack(tmp_path / "slot")
    golden = entry.read_golden()
    session = open_session(entry.variant.target, tmp_path / "slot" / entry.variant.files[0].name)
    rows = [session.run(golden.sample(i)) for i in range(golden.samples)]
    session.close()
    outputs = {name: np.concatenate([row[name] for row in rows]) for name in golden.outputs}
    assert judge(golden, outputs, entry.variant.tolerance).passed
    assert not judge(golden, {"logits": outputs["logits"] * 1.5}, entry.variant.tolerance).passed
    shuffled = {"logits": np.roll(outputs["logits"], 1, axis=1)}
    assert not judge(golden, shuffled, entry.variant.tolerance).passed


def test_golden_vectors_are_64_evaluation_samples_spread_over_all_labels(
    converted: Converted,
) -> None:
    golden = converted.bundle.entries[0].read_golden()
    assert golden.samples == 64
    assert golden.labels is not None
    counts = Counter(golden.labels.tolist())
    assert set(counts) == set(range(10))
    assert set(counts.values()) == {6, 7}
    with np.load(FASHION / "data" / "evaluation.npz") as evaluation:
        known = {image.tobytes() for image in evaluation["image"].astype(np.float32)}
    assert all(image.tobytes() in known for image in golden.inputs["image"])


def test_every_recipe_is_told_with_its_figures_or_why_it_failed(converted: Converted) -> None:
    for target in converted.report.targets:
        assert len(target.candidates) >= 3
        assert target.candidates[0].precision == "float"
        outcomes = Counter(candidate.outcome for candidate in target.candidates)
        assert outcomes["shipped"] == 1
        for candidate in target.candidates:
            assert bool(candidate.reason) == (candidate.outcome != "shipped")
            if candidate.outcome != "failed":
                assert_measured(candidate)


def assert_measured(candidate: CandidateReport) -> None:
    assert candidate.quality is not None
    assert candidate.latency is not None
    assert 0 < candidate.latency.us_p50 <= candidate.latency.us_p90
    assert candidate.latency.runs >= 25


def test_the_table_has_quality_size_latency_and_speed_up_per_target(converted: Converted) -> None:
    head, rule, *rows = converted.stdout.splitlines()
    for word in ("accuracy float", "size float", "latency float", "speed-up"):
        assert word in head
    assert set(rule) <= {"─", " "}
    for target, row in zip(TARGETS, rows, strict=False):
        assert re.match(rf"{target} +int8( +\d+\.\d\d%){{2}}( +[\d.]+ kB){{2}}", row)
        assert re.search(r"\d (µs|ms) +\d.* (µs|ms) +\d+\.\d\dx$", row)
    assert str(converted.out) in converted.stdout.splitlines()[-1]


def test_progress_goes_to_stderr_and_libraries_add_nothing(converted: Converted) -> None:
    assert "[1/5] reading v1.onnx" in converted.stderr
    for line in converted.stderr.splitlines():
        assert re.match(r" *\d+\.\d s ", line), line


def test_json_prints_the_report_and_nothing_else(converted_again: Converted) -> None:
    assert json.loads(converted_again.stdout)["format"] == "edgewright.report.v1"
    assert decode(converted_again.stdout, Report, source="stdout") == converted_again.report


def test_two_conversions_differ_only_in_their_times(
    converted: Converted, converted_again: Converted
) -> None:
    for one, two in zip(converted.bundle.entries, converted_again.bundle.entries, strict=True):
        timed = {"report.json", "report.html", "measurements.json", "model_card.md"}
        first = {layer.title: layer.digest for layer in one.layers if layer.title not in timed}
        second = {layer.title: layer.digest for layer in two.layers if layer.title not in timed}
        assert first == second
        assert {"variant.json", "golden.npz"} < set(first)


def test_times_are_in_no_variant_document(converted: Converted) -> None:
    assert not {name for name in Variant.__struct_fields__ if "latency" in name}
    measured = decode(
        converted.bundle.entries[0].read_layer("measurements.json"), Measurements, source="m"
    )
    assert {target for target, _, _ in measured.latencies} == set(TARGETS)


def test_the_page_needs_nothing_from_outside_and_shows_charts_and_confusion(
    converted: Converted,
) -> None:
    page = converted.bundle.entries[0].read_layer("report.html").decode()
    assert not re.search(r"https?:|<script|@import", page)
    assert not re.search(r"(src=\"|url\()(?!data:image/png;base64,)", page)
    for target in converted.report.targets:
        assert page.count(f'aria-label="{target.target}: accuracy') == 2  # by latency, by size
    assert "prefers-color-scheme: dark" in page
    assert "Confusion" in page
    for target in converted.report.targets:
        for candidate in target.candidates:
            assert candidate.recipe in page


def test_the_confusion_matrix_counts_every_sample_once(converted: Converted) -> None:
    for target in converted.report.targets:
        matrix = np.array(target.confusion)
        winner = target.find("shipped")
        assert winner is not None
        assert winner.quality is not None
        assert matrix.sum() == 1000
        assert np.trace(matrix) / 1000 == winner.quality.accuracy


def test_the_model_card_has_the_customary_parts_and_says_what_it_does_not_know(
    converted: Converted,
) -> None:
    card = converted.bundle.entries[0].read_layer("model_card.md").decode()
    for part in ("Intended use", "Training data", "Metrics", "Caveats and limitations"):
        assert f"## {part}" in card
    assert "Not stated when the model was converted" in card


def test_provenance_names_tools_source_and_samples(converted: Converted) -> None:
    report = converted.report
    assert {"onnxruntime", "openvino", "nncf", "ai-edge-quantizer", "onnxsim"} <= {
        tool for tool, _ in report.provenance.tools
    }
    assert report.source.digest.startswith("sha256:")
    assert report.data.calibration is not None
    assert report.data.calibration.samples == 256
    assert report.data.evaluation.samples == 1000
    assert report.data.evaluation.digest != report.data.calibration.digest


def test_nothing_is_left_in_scratch_or_home_where_telemetry_would_leave_its_mark(
    converted: Converted,
) -> None:
    assert list((converted.out.parent / "scratch").iterdir()) == []
    assert list((converted.out.parent / "home").rglob("*")) == []
    assert sorted(path.name for path in converted.out.parent.iterdir()) == [
        "home", "scratch", "v1.bundle",
    ]  # fmt: skip  # one list
