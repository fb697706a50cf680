from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.converter.command import Convert
from tests.converter.networks import classifier, write_model


def test_a_file_that_is_not_there_is_said_to_be_missing(convert: Convert, tmp_path: Path) -> None:
    line = convert.must_refuse(tmp_path / "none.onnx")
    assert "none.onnx: cannot be read: No such file" in line


def test_a_folder_is_no_model(convert: Convert, tmp_path: Path) -> None:
    assert "is a folder" in convert.must_refuse(tmp_path)


@pytest.mark.parametrize(
    "content", [b"a text about models\n" * 20, bytes(range(256)) * 4, b"PK\x03\x04" + b"\0" * 60]
)
def test_a_file_of_another_kind_is_no_onnx_model(
    convert: Convert, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    line = convert.must_refuse(path)
    assert "is no ONNX model" in line
    assert "export" in line


def test_an_empty_file_holds_no_graph(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    assert "holds no graph" in convert.must_refuse(path)


def test_a_model_without_nodes_holds_no_graph(convert: Convert, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", [], {}, inputs={"x": ["n"]}, outputs={"x": ["n"]})
    assert "holds no graph" in convert.must_refuse(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_model_is_refused(convert: Convert, tmp_path: Path, share: float) -> None:
    whole = classifier(tmp_path / "whole.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "cut.onnx: is no ONNX model, or is cut short" in convert.must_refuse(path)


@pytest.mark.parametrize("opset", [6, 99])
def test_an_opset_out_of_range_names_the_range(
    convert: Convert, tmp_path: Path, opset: int
) -> None:
    path = classifier(tmp_path / "m.onnx", opset=opset)
    assert f"is of opset {opset}; 7 to " in convert.must_refuse(path)


def test_a_graph_that_breaks_the_specification_says_where(convert: Convert, tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["nowhere"], ["y"], name="relu_1")],
        {},
        inputs={"x": ["n", 4]},
        outputs={"y": ["n", 4]},
    )
    line = convert.must_refuse(path)
    assert "breaks the ONNX specification" in line
    assert "nowhere" in line


def test_an_operator_that_onnx_runtime_lacks_is_named(convert: Convert, tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "m.onnx",
        [helper.make_node("Mystery", ["x"], ["y"], domain="example.org", name="mystery_1")],
        {},
        inputs={"x": ["n", 4]},
        outputs={"y": ["n", 4]},
    )
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("example.org", 1))
    onnx.save(model, path)
    line = convert.must_refuse(path)
    assert "ONNX Runtime cannot load it" in line
    assert "Mystery" in line


def external_model(folder: Path, location: str) -> Path:
    path = classifier(folder / "m.onnx")
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == "dense")
    values = numpy_helper.to_array(tensor)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(values.nbytes))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "a/../../secret.bin"])
def test_data_outside_the_models_folder_is_never_read(
    convert: Convert, tmp_path: Path, location: str
) -> None:
    (tmp_path / "secret.bin").write_bytes(b"x" * 4096)
    (tmp_path / "inside").mkdir()
    line = convert.must_refuse(external_model(tmp_path / "inside", location))
    assert "outside its folder" in line


def test_a_link_that_leads_out_of_the_folder_is_not_followed(
    convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "secret.bin").write_bytes(b"x" * 4096)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "weights.bin").symlink_to(tmp_path / "secret.bin")
    line = convert.must_refuse(external_model(tmp_path / "inside", "weights.bin"))
    assert "outside its folder" in line


def test_missing_and_short_external_data_are_told_apart(convert: Convert, tmp_path: Path) -> None:
    path = external_model(tmp_path, "weights.bin")
    assert "which is not there" in convert.must_refuse(path)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 10)
    assert "does not fit" in convert.must_refuse(path)


def test_external_data_beside_the_model_is_read(convert: Convert, tmp_path: Path) -> None:
    path = external_model(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(np.ones((4, 16), np.float32).tobytes())
    assert convert(path, "--target", "onnx").status == 0


def test_a_batch_that_is_fixed_to_eight_is_refused_with_advice(
    convert: Convert, tmp_path: Path
) -> None:
    path = write_model(
        tmp_path / "m.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        {},
        inputs={"x": [8, 4]},
        outputs={"y": [8, 4]},
    )
    assert "export the model with a dynamic batch axis" in convert.must_refuse(path)
