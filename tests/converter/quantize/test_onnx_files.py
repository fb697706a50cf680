"""What is done to ONNX files themselves, held against ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_int4 import to_int4
from edgewright_converter.quantize.onnx_names import name_nodes, strip_names
from edgewright_converter.quantize.onnx_qdq import quantize_qdq
from edgewright_converter.quantize.onnx_weights import compress_weights
from edgewright_converter.samples import Samples
from edgewright_manifests.golden import snr_db
from onnx import TensorProto, helper, numpy_helper

Floats = "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"
RNG = np.random.default_rng(4)


def model_of(nodes: list[onnx.NodeProto], shape: list[int], **weights: object) -> bytes:
    """One input `x`, one output `y`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


def run(data: bytes, x: object) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (value,) = session.run(["y"], {"x": x})
    return np.asarray(value)


def normal(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return RNG.standard_normal(shape).astype(np.float32)


def conv() -> tuple[bytes, object]:
    spread = np.logspace(-3, 2, 32, dtype=np.float32)[:, None, None, None]
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    return model_of([node], [1, 8, 9, 9], w=normal(32, 8, 3, 3) * spread), normal(1, 8, 9, 9)


def gemm() -> tuple[bytes, object]:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm", transB=1)
    return model_of([node], [1, 32], w=normal(48, 32), b=normal(48)), normal(1, 32)


def lstm() -> tuple[bytes, object]:
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["h"], "lstm", hidden_size=16),
        helper.make_node("Identity", ["h"], ["y"], "out"),
    ]
    return model_of(nodes, [5, 1, 16], w=normal(1, 64, 16), r=normal(1, 64, 16)), normal(5, 1, 16)


def embedding() -> tuple[bytes, object]:
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], "cast", to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["y"], "gather"),
    ]
    return model_of(nodes, [4], table=normal(64, 16)), np.array([0, 9, 63, 5], np.float32)


@pytest.mark.parametrize("made", [conv, gemm, lstm, embedding])
def test_int8_weights_answer_nearly_as_float_and_take_a_quarter(made: object) -> None:
    data, x = made()  # type: ignore[operator]  # the functions above
    small, count = compress_weights(data)
    assert count == (2 if made is lstm else 1)
    assert snr_db({"y": run(data, x)}, {"y": run(small, x)}) > 35
    assert len(strip_names(small)) < 0.45 * len(data)


def test_weights_of_a_node_that_is_kept_stay_as_they_are() -> None:
    data, x = gemm()
    same, count = compress_weights(data, kept_float=["gemm"])
    assert count == 0
    assert np.array_equal(run(data, x), run(same, x))


def test_per_channel_scales_keep_the_quiet_channels() -> None:
    data, x = conv()
    (fine, _), (rough, _) = compress_weights(data), compress_weights(data, per_channel=False)
    quiet = [run(m, x)[:, :8] for m in (data, fine, rough)]
    assert snr_db({"y": quiet[0]}, {"y": quiet[1]}) > 35
    assert snr_db({"y": quiet[0]}, {"y": quiet[2]}) < 5


@pytest.mark.parametrize("k", [64, 100])
def test_int4_is_what_onnx_runtime_multiplies_with(k: int) -> None:
    weight, x = normal(k, 80), normal(3, k)
    data = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "m")], [3, k], w=weight)
    small, count = to_int4(data)
    assert count == 1
    assert len(small) < 0.25 * len(data)
    assert snr_db({"y": x @ weight}, {"y": run(small, x)}) > 15


def test_names_go_and_answers_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node(
            "Constant", [], ["two"], value=numpy_helper.from_array(np.array(2, np.float32))
        ),
        helper.make_node("Mul", ["x", "two"], ["a_very_long_name/of/a/tensor"]),
        helper.make_node("Relu", ["a_very_long_name/of/a/tensor"], ["y"]),
    ]
    data, x = model_of(nodes, [1, 4]), normal(1, 4)
    named = name_nodes(data)
    graph = onnx.load_model_from_string(named).graph
    assert [node.name for node in graph.node] == ["a_very_long_name/of/a/tensor", "y"]
    short = strip_names(named)
    assert b"very_long" not in short
    assert np.array_equal(run(data, x), run(short, x))


def test_layers_that_share_a_bias_are_quantized_with_one_each(tmp_path: Path) -> None:
    """basic-pitch shares 36 numbers among 18 convolutions; onnxruntime mixed up their integers,
    and refused the file that it had made.
    """
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "w2", "b"], ["c"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["a", "c"], ["y"], "sum"),
    ]
    weights = {"w1": normal(8, 8, 3, 3), "w2": normal(8, 8, 3, 3) * 40}
    data = model_of(nodes, [1, 8, 6, 6], **weights, b=normal(8))
    named = onnx.load_model_from_string(name_nodes(data)).graph
    first, second = (node.input[2] for node in named.node if node.op_type == "Conv")
    assert first != second
    x = normal(16, 8, 6, 6)
    feed = CalibrationFeed(Samples({"x": x}, None, "here"))
    made = quantize_qdq(tmp_path, data, feed, ranges="minmax", per_channel=True)
    found, wanted = ({"y": run(one, x[:1])} for one in (made.data, data))
    assert snr_db(wanted, found) > 25
