"""Recorded pre-processing against other implementations of the same steps."""

import json
from typing import Any

import numpy as np
import pytest
from edgewright_manifests.documents import decode
from edgewright_manifests.errors import BundleError, DocumentError
from edgewright_manifests.golden import GoldenVectors, read_golden, write_golden
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.raw_input import difference, preprocess, raw_problem
from edgewright_manifests.signature import ModelSignature, TensorSpec
from PIL import Image

RNG = np.random.default_rng(4)
PHOTO = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def document(*steps: dict[str, object], name: str = "x") -> Preprocessing:
    whole = {"format": "edgewright.preprocessing.v1", "inputs": {name: steps}}
    return decode(json.dumps(whole), Preprocessing, source="preprocessing.json")


def spec(*shape: int, datatype: Any = "FP32") -> TensorSpec:  # Any: a word of the protocol
    return TensorSpec(name="x", datatype=datatype, shape=(-1, *shape))


def run(*steps: dict[str, object], on: np.ndarray[Any, Any], gives: TensorSpec) -> Any:
    return preprocess(document(*steps), gives, on[None])[0]


def test_the_usual_steps_of_a_photo_are_numpy_s_own() -> None:
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    found = run(
        {"step": "center_crop", "height": 17, "width": 21},
        {"step": "reverse_channels"},
        {"step": "scale", "factor": 1 / 255},
        {"step": "normalize", "mean": mean, "deviation": deviation},
        {"step": "transpose", "axes": [2, 0, 1]},
        on=PHOTO,
        gives=spec(3, 17, 21),
    )
    plain = (PHOTO[1:18, 4:25, ::-1] / 255 - mean) / deviation
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plain.transpose(2, 0, 1).astype(np.float32))


def test_enlarging_is_what_pillow_does_with_floats() -> None:
    """Where it enlarges, Pillow's filter does no antialiasing either."""
    plane = RNG.random((13, 9)).astype(np.float32)
    larger = Image.fromarray(plane).resize((31, 40), Image.Resampling.BILINEAR)
    step = {"step": "resize", "height": 40, "width": 31, "method": "bilinear"}
    found = run(step, on=plane, gives=spec(40, 31))
    np.testing.assert_allclose(found, np.asarray(larger), atol=2e-6)
    step["method"] = "nearest"
    larger = Image.fromarray(plane).resize((18, 26), Image.Resampling.NEAREST)
    step |= {"height": 26, "width": 18}
    np.testing.assert_array_equal(run(step, on=plane, gives=spec(26, 18)), larger)


def test_making_smaller_takes_the_two_nearest_and_keeps_the_channels() -> None:
    step = {"step": "resize", "height": 10, "width": 15, "method": "bilinear"}
    found = run(step, on=PHOTO, gives=spec(10, 15, 3))
    exact = PHOTO.astype(np.float64)
    plain = (exact[::2, ::2] + exact[1::2, ::2] + exact[::2, 1::2] + exact[1::2, 1::2]) / 4
    np.testing.assert_allclose(found, plain, atol=1e-5)


def test_sounds_are_mixed_resampled_fitted_and_cut_into_windows() -> None:
    stereo = RNG.standard_normal((800, 2))
    found = run(
        {"step": "mono"},
        {"step": "resample", "from_hz": 8000, "to_hz": 16000},
        {"step": "fit_length", "length": 1700, "fill": -1},
        {"step": "window", "size": 500, "hop": 300},
        on=stereo,
        gives=spec(5, 500),
    )
    mono = stereo.mean(axis=1)
    twice = np.interp(np.arange(1600) / 2, np.arange(800), mono)
    whole = np.concatenate([twice, np.full(100, -1.0)])
    plain = np.stack([whole[start : start + 500] for start in range(0, 1201, 300)])
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_grey_reshape_and_whole_numbers() -> None:
    found = run(
        {"step": "grey"}, {"step": "reshape", "shape": [1, 600]}, on=PHOTO,
        gives=spec(1, 600, datatype="UINT8"),
    )  # fmt: skip
    grey = np.asarray(Image.fromarray(PHOTO).convert("L"), np.int64).reshape(1, 600)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(np.int64) - grey).max() <= 1  # Pillow computes in 16 bits


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"step": "sharpen"}, "Invalid value 'sharpen'"),
        ({"step": "resize", "height": 4, "width": 4, "method": "lanczos"}, "lanczos"),
        ({"step": "resize", "height": 0, "width": 4, "method": "nearest"}, ">= 1"),
        ({"step": "scale"}, "factor"),
        ({"step": "scale", "factor": 1, "ofset": 2}, "ofset"),
    ],
)
def test_a_step_that_is_not_known_exactly_is_refused(step: dict[str, object], told: str) -> None:
    with pytest.raises(DocumentError) as raised:
        document(step)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"step": "center_crop", "height": 21, "width": 3}, "step 1 (center_crop): does not fit"),
        ({"step": "normalize", "mean": [1], "deviation": [1]}, "1 means and 1 deviations"),
        ({"step": "normalize", "mean": [1] * 3, "deviation": [0] * 3}, "a deviation is 0"),
        ({"step": "mono"}, "takes samples of 2 axes"),
        ({"step": "transpose", "axes": [0, 1]}, "step 1 (transpose)"),
        ({"step": "reverse_channels", "axis": 7}, "step 1 (reverse_channels)"),
        ({"step": "fit_length", "length": 90_000_000}, "at most 67108864 are allowed"),
        (
            {"step": "resize", "height": 65536, "width": 65536, "method": "nearest"},
            "it would become",
        ),
        ({"step": "scale", "factor": 2}, "gives samples of shape [20, 30, 3], the model takes [4]"),
    ],
)
def test_a_step_that_does_not_fit_the_samples_is_named(step: dict[str, object], told: str) -> None:
    with pytest.raises(BundleError) as raised:
        run(step, on=PHOTO, gives=spec(4))
    assert told in str(raised.value)


def test_inputs_that_are_not_the_pre_processed_raw_samples_are_found() -> None:
    raw = PHOTO[None].repeat(3, axis=0)
    asked = document({"step": "scale", "factor": 1 / 127.5, "offset": -1})
    right = preprocess(asked, spec(20, 30, 3), raw)
    assert difference(asked, spec(20, 30, 3), raw, right) == ""
    wrong = right.copy()
    wrong[2, 0, 0, 0] += 0.01
    assert "sample 2 differs by 0.01" in difference(asked, spec(20, 30, 3), raw, wrong)
    assert "has shape [3, 20, 30]" in difference(asked, spec(20, 30, 3), raw, wrong[..., 0])


def test_golden_vectors_keep_the_raw_samples_and_are_held_against_them() -> None:
    signature = ModelSignature(
        inputs=(spec(20, 30, 3),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),),
    )
    raw = PHOTO[None].repeat(2, axis=0)
    asked = document({"step": "scale", "factor": 0.5})
    inputs = {"x": preprocess(asked, spec(20, 30, 3), raw)}
    golden = GoldenVectors(inputs, {"y": np.ones((2, 2), np.float32)}, raw={"x": raw})
    back = read_golden(write_golden(golden), signature)
    assert back.raw["x"].dtype == np.uint8
    assert raw_problem(asked, signature, back) == ""
    assert "no pre-processing is recorded" in raw_problem(None, signature, back)
    other = document({"step": "scale", "factor": 0.25})
    assert "golden input 'x' is not what" in raw_problem(other, signature, back)
    elsewhere = document({"step": "scale", "factor": 0.5}, name="z")
    assert "for the raw samples of 'x'" in raw_problem(elsewhere, signature, back)
    assert raw_problem(None, signature, GoldenVectors(inputs, golden.outputs)) == ""


def test_raw_samples_of_no_input_or_of_another_count_are_refused() -> None:
    signature = ModelSignature(
        inputs=(spec(2),), outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),)
    )
    values = np.ones((3, 2), np.float32)
    with pytest.raises(BundleError, match=r"'raw.z' is in no signature"):
        stray = GoldenVectors({"x": values}, {"y": values}, raw={"z": values})
        read_golden(write_golden(stray), signature)
    with pytest.raises(BundleError, match="different sample counts"):
        write_golden(GoldenVectors({"x": values}, {"y": values}, raw={"x": values[:2]}))
