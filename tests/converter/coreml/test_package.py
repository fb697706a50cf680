"""The written package: one deterministic zip that coremltools opens as its own."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
from edgewright_converter.emit.coreml import quantize_weights, write_coreml
from edgewright_converter.emit.coreml.package import features_of, unpack
from onnx import TensorProto, helper

from tests.converter.coreml.side_by_side import open_written
from tests.converter.tflite.one_node import IMAGE, weights
from tests.converter.tflite.side_by_side import Arrays, chain, run_onnx, single

MODEL = single("Conv", IMAGE, {"w": weights(40, 4, 3, 3), "b": weights(40)}, pads=[1, 1, 1, 1])


def test_equal_models_give_equal_bytes() -> None:
    for fp16 in (False, True):
        assert write_coreml(MODEL, fp16=fp16) == write_coreml(MODEL, fp16=fp16)
    half = write_coreml(MODEL, fp16=True)
    assert quantize_weights(half) == quantize_weights(half)


def test_the_zip_is_stored_without_times_and_its_manifest_names_the_files() -> None:
    with zipfile.ZipFile(io.BytesIO(write_coreml(MODEL, fp16=True))) as archive:
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
        names = set(archive.namelist())
        manifest = json.loads(archive.read("model.mlpackage/Manifest.json"))
    paths = {entry["path"] for entry in manifest["itemInfoEntries"].values()}
    assert paths == {"com.apple.CoreML/model.mlmodel", "com.apple.CoreML/weights"}
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]
    assert "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin" in names


def test_coremltools_opens_the_unpacked_folder(tmp_path: Path) -> None:
    import coremltools

    path = unpack(write_coreml(MODEL, fp16=True), tmp_path)
    model = coremltools.models.MLModel(str(path), skip_model_load=True)
    assert model.get_spec().specificationVersion == 7  # iOS 16, macOS 13
    # Its own reader parses the program and validates every operation.
    from coremltools.converters.mil.frontend.milproto.load import load

    program = load(model.get_spec(), 7, file_weights_dir=model.weights_dir)
    kinds = {operation.op_type for operation in program.functions["main"].operations}
    assert {"cast", "conv"} <= kinds


def test_int8_weights_are_less_than_six_tenths_of_float16() -> None:
    large = single("Gemm", {"x": ("n", 128)}, {"w": weights(128, 256)})
    half = write_coreml(large, fp16=True)
    assert len(quantize_weights(half)) < 0.6 * len(half)


def test_int8_weights_keep_the_features_and_30_db(tmp_path: Path) -> None:
    half = write_coreml(MODEL, fp16=True)
    small = open_written(quantize_weights(half), tmp_path)
    given = {"x": np.random.default_rng(3).standard_normal((1, 4, 9, 7)).astype(np.float32)}
    reference = run_onnx(MODEL, given)["y"]
    noise = np.square(small.run(given)["y"] - reference).sum() / np.square(reference).sum()
    assert noise < 1e-3


def test_names_types_and_scalars_come_back_as_the_source_has_them(tmp_path: Path) -> None:
    """int64, bool, a scalar, and names that are no MIL identifiers."""
    nodes = [
        helper.make_node("Greater", ["input.1", "1/limit"], ["is above"]),
        helper.make_node("Add", ["count:0", "count:0"], ["twice"]),
        helper.make_node("ReduceSum", ["input.1"], ["sum"], keepdims=0),
    ]
    model = chain(
        nodes,
        {"input.1": ("n", 3), "1/limit": (), "count:0": ("n", 2)},
        {},
        ("is above", "twice", "sum"),
        dtypes={
            "count:0": TensorProto.INT64, "is above": TensorProto.BOOL, "twice": TensorProto.INT64,
        },
    )  # fmt: skip
    session = open_written(write_coreml(model, fp16=False), tmp_path)
    assert [(s.name, s.datatype, s.shape) for s in session.signature.inputs] == [
        ("input.1", "FP32", (1, 3)), ("1/limit", "FP32", ()), ("count:0", "INT64", (1, 2)),
    ]  # fmt: skip
    given: Arrays = {
        "input.1": np.asarray([[1, 2, 3]], np.float32),
        "1/limit": np.asarray(1.5, np.float32),
        "count:0": np.asarray([[4, 5]], np.int64),
    }
    expected, actual = run_onnx(model, given), session.run(given)
    for name, reference in expected.items():
        assert actual[name].dtype == reference.dtype
        np.testing.assert_array_equal(actual[name], reference)


def test_the_metadata_says_what_each_feature_stands_for(tmp_path: Path) -> None:
    import coremltools

    model: onnx.ModelProto = single("Relu", {"x.1": ("n", 3)}, inputs=["x.1"])
    path = unpack(write_coreml(model, fp16=True), tmp_path)
    spec = coremltools.utils.load_spec(str(path))
    assert [(f.feature, f.source, f.is_input) for f in features_of(spec)] == [
        ("x_1", "x.1", True), ("y", "y", False),
    ]  # fmt: skip
    assert [entry.name for entry in spec.description.input] == ["x_1"]
