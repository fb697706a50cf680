from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.errors import ConverterError, SampleError
from edgewright_converter.frontend import raise_opset, simplify
from edgewright_converter.held_out import draw_golden, split_samples
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.recipes.library_recipe import Files, LibraryRecipe
from edgewright_converter.samples import Samples
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.variant import Precision

from tests.converter.networks import classifier, images

HERE = Path("samples.npz")
SIGNATURE = ModelSignature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 1, 8, 8)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 4)),),
)


def samples(count: int, seed: int = 3) -> Samples:
    return Samples({"x": images(count, seed=seed)}, None, "here")


def test_a_library_that_reads_only_some_calibration_samples_is_an_error() -> None:
    feed = CalibrationFeed(samples(10))
    for index in range(9):
        feed[index]
    with pytest.raises(ConverterError, match="a library: read 9 of 10 calibration samples"):
        feed.require_consumed("a library")
    assert len(list(feed)) == 10
    feed.require_consumed("a library")


@dataclass(frozen=True, slots=True)
class Careless(LibraryRecipe):
    """A library that stops one sample early."""

    target = "onnx"
    reads_samples = True

    @property
    def name(self) -> str:
        return "careless"

    @property
    def precision(self) -> Precision:
        return "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        assert feed is not None
        for index in range(len(feed) - 1):
            feed[index]
        return (("model.onnx", b""),)


def test_no_artifact_comes_of_a_recipe_that_did_not_read_all_samples(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx").read_bytes()
    plain = Artifact("onnx", "float", "float", (("model.onnx", model),))
    with pytest.raises(ConverterError, match="careless: read 11 of 12 calibration samples"):
        Careless().build(RecipeSource(plain, model, "", model), samples(12))


def test_a_quarter_is_held_out_and_no_sample_is_in_both() -> None:
    split = split_samples(samples(40), None, SIGNATURE, HERE)
    assert split.calibration is not None
    assert (split.calibration.count, split.evaluation.count) == (30, 10)
    assert not set(split.calibration.row_digests()) & set(split.evaluation.row_digests())
    assert split.note == "10 of 40 calibration samples, held out by a fixed seed"


def test_evaluation_samples_that_were_calibrated_with_are_left_out() -> None:
    both = samples(20)
    fresh = samples(5, seed=9)
    evaluation = Samples(
        {"x": np.concatenate([both.inputs["x"][:3], fresh.inputs["x"]])}, None, "there"
    )
    split = split_samples(both, evaluation, SIGNATURE, HERE)
    assert split.evaluation.row_digests() == fresh.row_digests()
    assert split.note == "3 evaluation samples are in the calibration set and were left out"


def test_only_known_samples_leave_nothing_to_measure_on() -> None:
    with pytest.raises(SampleError, match="only samples that are in the calibration set"):
        split_samples(samples(20), samples(20).take(range(4), "there"), SIGNATURE, HERE)


def test_golden_samples_are_always_the_same_and_of_every_label() -> None:
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    labelled = Samples({"x": images(100)}, labels, "here")
    rows = draw_golden(labelled, 12)
    assert rows == draw_golden(labelled, 12)
    assert np.bincount(labels[list(rows)]).tolist() == [5, 5, 2]
    assert draw_golden(labelled, 500) == tuple(range(100))


def test_a_rewrite_that_fails_gives_its_reason_and_takes_nobody_down() -> None:
    for rewrite in (simplify(b"no model"), raise_opset(b"no model", 11)):
        assert rewrite.data is None
        assert rewrite.problem
