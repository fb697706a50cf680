"""IR files that are small: integers for LSTM's weights too, and no text that nobody reads."""

from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from edgewright_converter.candidate import RecipeSource
from edgewright_converter.emit.openvino import emit_openvino
from edgewright_converter.frontend import raise_opset
from edgewright_converter.openvino_ir import save_ir
from edgewright_converter.quantize.recipes.nncf_ptq import NncfWeights
from edgewright_converter.quantize.recipes.openvino_from_onnx import OpenvinoFromWeights
from edgewright_manifests.golden import snr_db
from edgewright_runtime.engine import open_session
from onnx import TensorProto, helper, numpy_helper

from tests.converter.quantize.test_onnx_files import normal


@pytest.fixture
def source() -> RecipeSource:
    """x [1, 64] -> LSTM of one step -> dense -> y [1, 8]."""
    weights = {
        "axes": np.array([0], np.int64),
        "w": normal(1, 256, 64) * 0.1,
        "r": normal(1, 256, 64) * 0.1,
        "h0": normal(1, 1, 64),
        "c0": normal(1, 1, 64),
        "d": normal(64, 8),
        "end": np.array([1, 64], np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["t"], "steps"),
        helper.make_node(
            "LSTM", ["t", "w", "r", "", "", "h0", "c0"], ["", "h"], "memory", hidden_size=64
        ),
        helper.make_node("Reshape", ["h", "end"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "d"], ["y"], "dense"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return RecipeSource(emit_openvino(data), raise_opset(data, 17).data or data, "", data)


def test_the_weights_of_an_lstm_are_integers_and_it_answers_as_before(
    source: RecipeSource, tmp_path: Path
) -> None:
    plain, small = source.float_artifact, OpenvinoFromWeights().build(source, None)
    weights, in_float = (dict(made.files)["model.bin"] for made in (small, plain))
    assert len(weights) < 0.3 * len(in_float)
    x = {"x": normal(1, 64)}
    found = []
    for index, artifact in enumerate((plain, small)):
        session = open_session("openvino", artifact.write(tmp_path / str(index)), threads=1)
        assert [spec.name for spec in session.signature.outputs] == ["y"]
        found.append(dict(session.run(x)))
        session.close()
    assert snr_db(found[0], found[1]) > 30


def test_only_inputs_and_outputs_have_names_in_what_ships(
    source: RecipeSource, tmp_path: Path
) -> None:
    recipe = NncfWeights("int8_sym")
    files = dict(recipe.build(source, None).files)
    assert b'names="y"' in files["model.xml"]
    assert b'names="f"' not in files["model.xml"]
    model = openvino.Core().read_model(source.float_artifact.write(tmp_path / "float"))
    named = dict(save_ir(model, tmp_path, named=True))
    assert b'names="f"' in named["model.xml"]
