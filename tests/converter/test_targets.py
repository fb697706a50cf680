from pathlib import Path

from edgewright_manifests.bundle import open_bundle

from tests.converter.command import Convert
from tests.converter.networks import with_operator


def test_a_named_target_that_lacks_an_operator_is_refused_by_node(
    convert: Convert, tmp_path: Path
) -> None:
    model = with_operator(tmp_path / "m.onnx", "Det")
    for target, library in (("tflite", "TFLite"), ("openvino", "OpenVINO"), ("coreml", "MIL")):
        line = convert.must_refuse(model, "--target", "onnx", "--target", target)
        assert f"{target}: Det node 'the_culprit': {library} has no" in line
        assert f"leave the target {target} out" in line


def test_all_targets_ship_without_those_that_lack_an_operator(
    convert: Convert, tmp_path: Path
) -> None:
    outcome = convert(with_operator(tmp_path / "m.onnx", "Det"), "--target", "all")
    assert outcome.status == 0
    shipped = [e.variant.id for e in open_bundle(convert.out).entries]
    assert shipped == ["onnx-float", "tensorrt-float"]
    rows = [line.split()[:2] for line in outcome.stdout.splitlines()[2:]]
    for row in (["onnx", "float"], ["openvino", "refused"], ["tflite", "refused"]):
        assert row in rows
    culprits = [line for line in outcome.warnings if "the_culprit" in line]
    assert {"openvino", "tflite"} <= {word for line in culprits for word in line.split()}
