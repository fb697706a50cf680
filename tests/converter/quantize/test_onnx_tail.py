"""What stands behind the last weights stays in float, and gets floats from where it can."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_qdq import quantize_qdq
from edgewright_converter.quantize.onnx_tail import tail_of
from edgewright_converter.samples import Samples
from edgewright_manifests.golden import snr_db
from onnx import helper

from tests.converter.quantize.test_onnx_files import model_of, normal, run


def _head(*, dense: bool) -> bytes:
    """A convolution and a matrix or a second convolution, then scores put together."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], "pool"),
        helper.make_node("Flatten", ["c"], ["d"], "flat"),
        helper.make_node("Gemm", ["d", "w2"], ["e"], "dense", transB=1),
    ]
    if not dense:
        nodes[2:] = [
            helper.make_node("Conv", ["b", "w3"], ["c"], "second"),
            helper.make_node("Relu", ["c"], ["d"], "relu_2"),
            helper.make_node("Flatten", ["d"], ["e"], "flat"),
        ]
    nodes += [
        helper.make_node("Softmax", ["e"], ["f"], "softmax"),
        helper.make_node("ReduceMax", ["e"], ["g"], "best", axes=[1]),
        helper.make_node("Concat", ["f", "g"], ["h"], "together", axis=1),
        helper.make_node("Identity", ["h"], ["y"], "out"),
    ]
    constants = {"w2": normal(4, 8)} if dense else {"w3": normal(4, 8, 1, 1)}
    return model_of(nodes, [1, 3, 8, 8], w1=normal(8, 3, 3, 3), **constants)


def test_the_tail_begins_behind_the_last_weights_and_what_is_done_with_them() -> None:
    behind = ["softmax", "best", "together", "out"]
    assert tail_of(_head(dense=True)) == behind
    assert tail_of(_head(dense=False)) == behind


def test_nothing_that_weights_wait_for_is_in_the_tail() -> None:
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"], "gate"),
        helper.make_node("MatMul", ["a", "w"], ["b"], "dense"),
        helper.make_node("Mul", ["b", "b"], ["y"], "square"),
    ]
    assert tail_of(model_of(nodes, [1, 8], w=normal(8, 8))) == ["square"]


@pytest.mark.parametrize("dense", [True, False])
def test_a_gemm_gives_its_tail_floats_and_a_convolution_integers(
    dense: bool, tmp_path: Path
) -> None:
    data, x = _head(dense=dense), normal(24, 3, 8, 8)
    feed = CalibrationFeed(Samples({"x": x}, None, "here"))
    made = quantize_qdq(tmp_path, data, feed, ranges="minmax", per_channel=True, float_tail=True)
    nodes = onnx.load_model_from_string(made.data).graph.node
    makers = {name: node.op_type for node in nodes for name in node.output}
    readers = {node.op_type: node for node in nodes}
    assert makers[readers["Softmax"].input[0]] == ("Gemm" if dense else "DequantizeLinear")
    assert makers[readers["ReduceMax"].input[0]] == ("Gemm" if dense else "DequantizeLinear")
    assert makers[readers["Concat"].input[0]] == "Softmax"
    wanted = np.concatenate([run(data, one[None]) for one in x])
    found = np.concatenate([run(made.data, one[None]) for one in x])
    assert snr_db({"y": wanted}, {"y": found}) > 20
