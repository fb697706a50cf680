"""What samples may say of themselves, and raw samples that become inputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright_converter.errors import SampleError
from edgewright_converter.sample_file import read_samples
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.cli import main
from edgewright_manifests.documents import decode
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.signature import ModelSignature, TensorSpec

from tests.converter.command import Convert
from tests.converter.networks import classifier, images, save_samples

SIGNATURE = ModelSignature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 1, 8, 8)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 4)),),
)
GOOD = images(12)
STEPS = [{"step": "scale", "factor": 0.5, "offset": -1}, {"step": "reshape", "shape": [1, 8, 8]}]
DOCUMENT = {"format": "edgewright.preprocessing.v1", "inputs": {"x": STEPS}}
RAW = np.random.default_rng(2).integers(0, 9, (12, 8, 8), dtype=np.uint8)
Arrays = dict[str, np.ndarray[Any, Any]]


def parsed() -> Preprocessing:
    return decode(json.dumps(DOCUMENT), Preprocessing, source="here")


def test_all_that_samples_say_is_kept_and_goes_with_each_sample(tmp_path: Path) -> None:
    words = np.array(["day", "night", "dusk"] * 4)
    parts: Arrays = {"truth": np.arange(24).reshape(12, 2), "slice.light": words}
    path = save_samples(tmp_path / "s.npz", x=GOOD, slices=np.arange(12) % 2, **parts)
    samples = read_samples(path, SIGNATURE)
    some = samples.take([4, 1], "some")
    assert some.truth is not None
    assert some.truth.tolist() == [[8, 9], [2, 3]]
    assert {facet: told.tolist() for facet, told in some.slices.items()} == {
        "slices": ["0", "1"],
        "light": ["night", "night"],
    }
    plain = read_samples(save_samples(tmp_path / "p.npz", x=GOOD), SIGNATURE)
    assert samples.digest != plain.digest


def test_files_of_a_folder_are_joined_with_all_they_say(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    save_samples(folder / "a.npz", x=GOOD, slices=np.array(["a"] * 12))
    save_samples(folder / "b.npz", x=GOOD[:3], slices=np.array(["longer"] * 3))
    samples = read_samples(folder, SIGNATURE)
    assert samples.slices["slices"].tolist() == ["a"] * 12 + ["longer"] * 3
    save_samples(folder / "c.npz", x=GOOD)
    with pytest.raises(SampleError, match=r"c.npz: has no slices of 'slices', while other files"):
        read_samples(folder, SIGNATURE)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"slices": np.arange(11)}, "slices are int64 [11]; expected words or integers [12]"),
        ({"slices": np.zeros((12, 2))}, "slices are float64 [12, 2]"),
        ({"slices": np.array(["a\nb"] * 12)}, "slices has a group 'a\\nb'"),
        ({"slices": np.array([""] * 12)}, "slices has a group ''"),
        ({"slices": np.array(["w" * 65] * 12)}, "use 1 to 64 printable characters"),
        ({"slice.a b": np.arange(12)}, "array 'slice.a b' names no facet"),
        ({"truth": np.zeros((11, 3))}, "truth is float64 [11, 3]; expected numbers [12, ...]"),
        ({"truth": np.full((12, 3), np.nan)}, "truth has NaN or infinite values"),
        ({"truth": np.array(["a"] * 12)}, "truth is <U1 [12]"),
        ({"raw.z": RAW}, "has an array 'raw.z', which is no input of the model"),
        ({"raw.x": RAW}, "say how they become the input, --preprocessing F"),
    ],
)
def test_what_samples_say_wrongly_is_one_line(tmp_path: Path, arrays: Arrays, told: str) -> None:
    with pytest.raises(SampleError) as raised:
        read_samples(save_samples(tmp_path / "s.npz", x=GOOD, **arrays), SIGNATURE)
    assert told in str(raised.value)


def test_identifiers_are_no_slices(tmp_path: Path) -> None:
    path = save_samples(tmp_path / "s.npz", x=images(300), slices=np.arange(300))
    with pytest.raises(SampleError, match="slices has 300 groups; make it 200 or fewer"):
        read_samples(path, SIGNATURE)


def test_raw_samples_become_the_input_and_must_agree_with_it(tmp_path: Path) -> None:
    path = save_samples(tmp_path / "s.npz", **{"raw.x": RAW})
    samples = read_samples(path, SIGNATURE, parsed())
    wanted = (RAW / 2 - 1).reshape(12, 1, 8, 8).astype(np.float32)
    np.testing.assert_array_equal(samples.inputs["x"], wanted)
    np.testing.assert_array_equal(samples.raw["x"], RAW)
    read_samples(save_samples(path, x=wanted, **{"raw.x": RAW}), SIGNATURE, parsed())
    with pytest.raises(SampleError, match="array 'x' is not what the pre-processing makes"):
        read_samples(save_samples(path, x=wanted * 2, **{"raw.x": RAW}), SIGNATURE, parsed())
    with pytest.raises(SampleError, match=r"step 2 \(reshape\): does not fit samples"):
        read_samples(save_samples(path, **{"raw.x": RAW[:, 1:]}), SIGNATURE, parsed())


def test_golden_vectors_start_from_raw_samples_and_are_checked_so(
    convert: Convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recorded, kept in the bundle, and carried out again by `bundle check`."""
    how = tmp_path / "preprocessing.json"
    how.write_text(json.dumps(DOCUMENT))
    many = np.random.default_rng(2).integers(0, 9, (40, 8, 8), dtype=np.uint8)
    samples = save_samples(tmp_path / "s.npz", **{"raw.x": many})
    model = classifier(tmp_path / "m.onnx")
    options = ("--precision", "float", "--preprocessing", how, "--target", "onnx")
    outcome = convert(model, "--evaluate", samples, *options)
    assert outcome.status == 0, outcome
    entry = open_bundle(convert.out).entries[0]
    assert entry.variant.preprocessing == parsed()
    golden = entry.read_golden()
    assert golden.raw["x"].shape == (40, 8, 8)
    assert "reshape(shape=(1, 8, 8))" in entry.read_layer("report.html").decode()
    assert main(["bundle", "check", str(convert.out)]) == 0
    assert "passed" in capsys.readouterr().out
    again = tmp_path / "again.bundle"
    words = ["bundle", "assemble", "--name", "m", "--release-version", "2", "--out", str(again)]
    words += ["--golden-from", str(convert.out), "--variant", f"onnx:float={model}"]
    assert main([*words, "--min-snr-db", "60"]) == 0
    assert open_bundle(again).entries[0].variant.preprocessing == parsed()
    assert main(["bundle", "check", str(again)]) == 0


def test_a_document_with_an_unknown_step_or_input_is_refused(
    convert: Convert, tmp_path: Path
) -> None:
    how = tmp_path / "preprocessing.json"
    model, samples = classifier(tmp_path / "m.onnx"), save_samples(tmp_path / "s.npz", x=GOOD)
    how.write_text(json.dumps(DOCUMENT).replace("reshape", "sharpen"))
    line = convert.must_refuse(model, "--evaluate", samples, "--preprocessing", how)
    assert "preprocessing.json: is no valid Preprocessing: Invalid value 'sharpen'" in line
    how.write_text(json.dumps(DOCUMENT).replace('"x"', '"pixels"'))
    line = convert.must_refuse(model, "--evaluate", samples, "--preprocessing", how)
    assert "pre-processing of 'pixels', which is no input of the model; it has ['x']" in line
