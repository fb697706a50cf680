"""The `tensorrt` target: explicit QDQ that TensorRT takes, and the recipe to build the engine."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.quantize.recipes.tensorrt_qdq import explicit_qdq_problem
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.cli import main
from edgewright_manifests.documents import decode
from onnx import TensorProto, helper, numpy_helper

from tests.converter.command import Convert
from tests.converter.networks import classifier, images, save_samples


def _converted(convert: Convert, tmp_path: Path) -> Path:
    samples = save_samples(tmp_path / "s.npz", x=images(64))
    done = convert(
        classifier(tmp_path / "m.onnx"), "--calibration", samples, "--target", "tensorrt",
        "--min-agreement", "0.5", "--precision", "int8",
    )  # fmt: skip
    assert done.status == 0, done.errors
    return convert.out


def test_the_file_has_symmetric_pairs_and_a_build_recipe(convert: Convert, tmp_path: Path) -> None:
    entry = open_bundle(_converted(convert, tmp_path)).entry("tensorrt")
    assert entry.variant.id == "tensorrt-int8"
    assert entry.variant.constraints.tensorrt == "10.0"
    assert [file.name for file in entry.variant.files] == ["model.onnx", "build.json"]
    entry.unpack(tmp_path / "unpacked")
    data = (tmp_path / "unpacked" / "model.onnx").read_bytes()
    assert explicit_qdq_problem(data) == ""
    assert "QuantizeLinear" in {n.op_type for n in onnx.load_model_from_string(data).graph.node}
    recipe = json.loads((tmp_path / "unpacked" / "build.json").read_bytes())
    assert "--int8" in recipe["trtexec"]
    assert "--maxShapes=x:8x1x8x8" in recipe["trtexec"]
    assert recipe["onnxruntime_tensorrt_execution_provider"]["trt_int8_enable"] == "1"
    assert "no GPU" in recipe["verified"]


def test_no_latency_is_reported_because_none_was_measured(convert: Convert, tmp_path: Path) -> None:
    bundle = open_bundle(_converted(convert, tmp_path))
    report = decode(bundle.entries[0].read_layer("report.json"), Report, source="report")
    assert {candidate.latency for candidate in report.targets[0].candidates} == {None}


def test_bundle_check_says_that_it_was_not_run_here(
    convert: Convert, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _converted(convert, tmp_path)
    assert main(["bundle", "check", str(out), "--json"]) == 0
    (check,) = json.loads(capsys.readouterr().out)["variants"]
    assert check["passed"] is None
    assert "TensorRT" in check["reason"]


@pytest.mark.parametrize(
    ("zero_point", "kind", "said"),
    [(3, np.int8, "zero point"), (0, np.uint8, "not of int8"), (None, np.int32, "int32 bias")],
)
def test_what_tensorrt_refuses_is_found(
    zero_point: int | None, kind: type[np.generic], said: str
) -> None:
    first = "x" if zero_point is not None else "bias"
    inputs = [first, "s", "z"] if zero_point is not None else [first, "s"]
    constants = [numpy_helper.from_array(np.array(0.1, np.float32), "s")]
    constants.append(numpy_helper.from_array(np.array(zero_point or 0, kind), "z"))
    constants.append(numpy_helper.from_array(np.zeros(4, np.int32), "bias"))
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", inputs, ["y"], name="pair")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        constants,
    )
    assert said in explicit_qdq_problem(helper.make_model(graph).SerializeToString())
