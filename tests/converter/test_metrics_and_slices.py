"""What a person asks to be measured, through the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode
from onnx import helper

from tests.converter.command import Convert
from tests.converter.networks import classifier, images, save_samples, write_model


def read_report(bundle: Path) -> Report:
    return decode(open_bundle(bundle).entries[0].read_layer("report.json"), Report, source="report")


def line_reader(path: Path) -> Path:
    """x [n, 6, 5] -> y [n, 6, 5]: what is said at each of six steps, hardly changed."""
    weights = {"w": (np.eye(5) + 0.03).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="matmul_1"),
        helper.make_node("Softmax", ["a"], ["y"], name="softmax_1", axis=2),
    ]
    return write_model(path, nodes, weights, inputs={"x": ["n", 6, 5]}, outputs={"y": ["n", 6, 5]})


def spoken(count: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (np.random.default_rng(seed).random((count, 6, 5)) * 8).astype(np.float32)


def test_metrics_are_measured_reported_and_gated(convert: Convert, tmp_path: Path) -> None:
    calibration = save_samples(tmp_path / "c.npz", x=spoken(40, 1))
    x = spoken(80, 2)
    truth = x.argmax(axis=2)
    evaluation = save_samples(tmp_path / "e.npz", x=x, truth=truth)
    outcome = convert(
        line_reader(tmp_path / "lines.onnx"), "--target", "onnx", "--calibration", calibration,
        "--evaluate", evaluation, "--metric", "lines", "--metric",
        "cer:decode=argmax,against=truth", "--gate", "cer<=0.2", "--gate", "lines>=0.5",
    )  # fmt: skip
    assert outcome.status == 0, outcome
    report = read_report(convert.out)
    assert report.gates.metrics == ("cer<=0.2", "lines>=0.5")
    assert report.data.evaluation.truth
    measured = [c for c in report.targets[0].candidates if c.outcome != "failed"]
    assert len(measured) > 3
    for candidate in measured:
        assert candidate.quality is not None
        lines, errors = candidate.quality.metrics
        assert (lines.name, lines.value_float, lines.better) == ("lines", None, "higher")
        assert errors.name == "cer:decode=argmax,against=truth"
        assert errors.value_float == pytest.approx(0.0, abs=0.05)
    assert "lines float" in outcome.stdout.splitlines()[0]
    card = open_bundle(convert.out).entries[0].read_layer("model_card.md").decode()
    assert "| lines | cer:decode=argmax,against=truth | SNR |" in card
    assert "What had to be kept: cer‹=0.2; lines›=0.5" in card


def test_a_metric_gate_that_nothing_passes_ships_float_with_the_figure(
    convert: Convert, tmp_path: Path
) -> None:
    samples = save_samples(tmp_path / "s.npz", x=images(80))
    model = classifier(tmp_path / "m.onnx")
    options = ("--target", "onnx", "--calibration", samples, "--gate", "snr>=150")
    outcome = convert(model, *options)
    assert outcome.status == 0, outcome
    assert open_bundle(convert.out).entries[0].variant.id == "onnx-float"
    assert "at least 150 wanted" in outcome.stdout


OWN = """
import numpy as np
calls = []
def near(reference, outputs, labels):
    calls.append(None if labels is None else labels.shape)
    return -float(np.abs(reference["y"] - outputs["y"]).max())
def broken(reference, outputs, labels):
    return outputs["z"]
NUMBER = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's, in the folder that they are in."""
    (tmp_path / "my_metrics_of_a_test.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("own")
def test_a_function_of_the_user_s_own_is_a_metric(convert: Convert, tmp_path: Path) -> None:
    labels = np.zeros(80, np.int64)
    samples = save_samples(tmp_path / "s.npz", x=images(80), labels=labels)
    outcome = convert(
        classifier(tmp_path / "m.onnx"), "--target", "onnx", "--calibration", samples,
        "--metric", "my_metrics_of_a_test:near", "--gate", "my_metrics_of_a_test:near>=-9",
    )  # fmt: skip
    assert outcome.status == 0, outcome
    import my_metrics_of_a_test  # type: ignore[import-not-found]  # made by the fixture

    assert my_metrics_of_a_test.calls[0] == (20,)
    every = read_report(convert.out).targets[0].candidates
    plain, *quantized = [c for c in every if c.outcome != "failed"]
    assert plain.quality is not None
    assert [figure.name for figure in plain.quality.metrics] == ["my_metrics_of_a_test:near"]
    assert plain.quality.metrics[0].value == pytest.approx(0, abs=1e-5)
    assert all(c.quality is not None and c.quality.metrics[0].value < -1e-4 for c in quantized)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("word", "status", "told"),
    [
        ("my_metrics_of_a_test:broken", 1, "your function failed: KeyError: 'z'; it is called"),
        ("my_metrics_of_a_test:NUMBER", 2, "is no function"),
        ("my_metrics_of_a_test:absent", 2, "has no attribute 'absent'"),
        ("no_such_module_here:f", 2, "cannot be imported: No module named"),
        ("accuracy", 1, "metric accuracy: needs the right classes; add an array `labels`"),
        ("recall:boxes=a,scores=b", 1, "the model has no output 'a'; it has y [20, 4]"),
        ("nonsense", 2, "--metric list says what each is for"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_one_line_before_any_work(
    convert: Convert, tmp_path: Path, word: str, status: int, told: str
) -> None:
    samples = save_samples(tmp_path / "s.npz", x=images(80))
    model = classifier(tmp_path / "m.onnx")
    line = convert.must_refuse(model, "--calibration", samples, "--metric", word, status=status)
    assert told in line


def test_the_list_of_metrics_says_what_each_is_for(convert: Convert, tmp_path: Path) -> None:
    outcome = convert(tmp_path / "none.onnx", "--metric", "list")
    assert outcome.status == 0
    assert "cer (lower is better, share)\n    character error rate" in outcome.stdout
    assert "    blank=  index of CTC's blank; -1 is the last (default: 0)" in outcome.stdout


def test_classes_and_slices_are_compared_and_the_worst_is_in_the_variant(
    convert: Convert, tmp_path: Path
) -> None:
    x = images(400, seed=5)
    light = np.where(np.arange(400) % 4 == 0, "night", "day")
    rare = np.where(np.arange(400) < 6, 1, 0)
    calibration = save_samples(tmp_path / "c.npz", x=images(40))
    parts = {"slice.light": light, "slices": rare}
    evaluation = save_samples(tmp_path / "e.npz", x=x, **parts)
    outcome = convert(
        classifier(tmp_path / "m.onnx"), "--target", "onnx", "--calibration", calibration,
        "--evaluate", evaluation, "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome
    report = json.loads(outcome.stdout)
    assert report["data"]["evaluation"]["facets"] == ["light", "slices"]
    (target,) = report["targets"]
    groups = {(g["facet"], g["group"]): g for g in target["groups"]}
    assert groups["light", "night"]["samples"] == 100
    assert groups["slices", "1"]["samples"] == 6
    assert sum(g["samples"] for (facet, _), g in groups.items() if facet == "class") == 400
    worst = open_bundle(convert.out).entries[0].variant.quality.worst_group
    assert worst is not None
    assert worst.samples >= 50


def test_a_variant_that_is_worse_for_one_group_does_not_ship(
    convert: Convert, tmp_path: Path
) -> None:
    """Quiet samples are a tenth of all: what drowns them costs the average too little to fail."""
    loud, quiet = images(900, channels=2, seed=7), images(100, channels=2, seed=8)
    quiet[:, 0] /= 1e3
    loud[:, 0] /= 1e3
    loud[:, 1] *= 200
    x = np.concatenate([loud, quiet])
    words = np.array(["loud"] * 900 + ["quiet"] * 100)
    model = classifier(tmp_path / "m.onnx", channels=2)
    calibration = save_samples(tmp_path / "c.npz", x=x[::10])
    rest = np.arange(1000) % 10 > 0
    evaluation = save_samples(tmp_path / "e.npz", x=x[rest], slices=words[rest])
    options = ("--target", "onnx", "--calibration", calibration, "--evaluate", evaluation)
    outcome = convert(model, *options, "--min-agreement", "0.5")
    assert outcome.status == 0, outcome
    lost = [c for c in read_report(convert.out).targets[0].candidates if "slices quiet" in c.reason]
    assert lost, outcome
    assert "below the" in lost[0].reason
    outcome = convert(model, *options, "--min-agreement", "0.5", "--max-slice-drop", "1", "--force")
    assert outcome.status == 0, outcome
    assert not [
        c for c in read_report(convert.out).targets[0].candidates if "slices quiet" in c.reason
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--gate", "cer"), "expected METRIC<=NUMBER or METRIC>=NUMBER"),
        (("--gate", "top1<=0.9"), "higher is better for top1; use >="),
        (("--max-slice-drop", "5"), "--max-slice-drop 5.0: expected 0 to 1"),
    ],
)
def test_wrong_gates_are_wrong_usage(
    convert: Convert, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    line = convert.must_refuse(classifier(tmp_path / "m.onnx"), *options, status=2)
    assert told in line
