"""Latency and size as gates, and layers kept in float where INT8 loses too much."""

from pathlib import Path

from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode

from tests.converter.command import Convert
from tests.converter.networks import classifier, images, save_samples


def _report(out: Path) -> Report:
    return decode(open_bundle(out).entries[0].read_layer("report.json"), Report, source="report")


def test_a_size_that_nothing_meets_is_refused_with_the_size(
    convert: Convert, tmp_path: Path
) -> None:
    refusal = convert.must_refuse(
        classifier(tmp_path / "m.onnx"), "--target", "onnx", "--max-size", "10"
    )
    assert "bytes, at most 10 allowed" in refusal


def test_a_latency_that_nothing_meets_is_refused_with_the_latency(
    convert: Convert, tmp_path: Path
) -> None:
    refusal = convert.must_refuse(
        classifier(tmp_path / "m.onnx"), "--target", "onnx", "--max-latency-ms", "0.000001"
    )
    assert "ms allowed" in refusal


def test_a_limit_of_nothing_is_wrong_usage(convert: Convert, tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx")
    assert "more than 0" in convert.must_refuse(model, "--max-size", "0", status=2)


def test_layers_are_kept_in_float_only_where_all_int8_loses_too_much(
    convert: Convert, tmp_path: Path
) -> None:
    samples = save_samples(tmp_path / "s.npz", x=images(64, channels=2))
    model = classifier(tmp_path / "m.onnx", channels=2)
    strict = ("--calibration", samples, "--target", "onnx", "--min-agreement", "1")
    assert convert(model, *strict).status == 0
    tried = {c.precision for c in _report(convert.out).targets[0].candidates}
    assert "mixed" in tried
    loose = ("--calibration", samples, "--target", "onnx", "--min-agreement", "0", "--force")
    assert convert(model, *loose).status == 0
    assert "mixed" not in {c.precision for c in _report(convert.out).targets[0].candidates}
