"""Channels-last inside costs one transposition at the boundary, and none where none is needed."""

import itertools
import random

import numpy as np
import onnx
import pytest
from edgewright_converter.graph.minimum_cut import FlowNetwork
from onnx import helper

from tests.converter.tflite.one_node import weights
from tests.converter.tflite.side_by_side import assert_agrees, chain, operators

IMAGE = {"x": ("n", 3, 8, 8)}


def _conv(source: str, target: str, name: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, name], [target], pads=[1, 1, 1, 1])


def test_a_classifier_has_one_transposition() -> None:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["a"]),
        _conv("a", "b", "w1"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[2, 2]),
        _conv("d", "e", "w2"),
        helper.make_node("Add", ["e", "d"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("GlobalAveragePool", ["g"], ["h"]),
        helper.make_node("Flatten", ["h"], ["i"]),
        helper.make_node("Gemm", ["i", "w3", "b3"], ["y"], transB=1),
    ]
    constants = {
        "mean": weights(3, 1, 1),
        "w1": weights(6, 3, 3, 3),
        "w2": weights(6, 6, 3, 3),
        "w3": weights(10, 6),
        "b3": weights(10),
    }
    written = operators(assert_agrees(chain(nodes, IMAGE, constants)))
    assert written.count("TRANSPOSE") == 1
    assert sorted(written)[:3] == ["ADD", "CONV_2D", "CONV_2D"]
    assert len(written) == 9


def test_a_single_channel_image_is_only_reshaped() -> None:
    nodes = [_conv("x", "y", "w")]
    data = assert_agrees(chain(nodes, {"x": ("n", 1, 8, 8)}, {"w": weights(1, 1, 3, 3)}))
    assert "TRANSPOSE" not in operators(data)


@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
@pytest.mark.parametrize("product", ["Gemm", "MatMul"])
def test_a_flattened_image_before_constant_weights_is_not_transposed(
    flatten: str, product: str
) -> None:
    inputs = ["b"] if flatten == "Flatten" else ["b", "s"]
    nodes = [
        _conv("x", "a", "w1"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node(flatten, inputs, ["c"]),
        helper.make_node(product, ["c", "w2"], ["y"]),
    ]
    constants = {
        "w1": weights(2, 1, 3, 3),
        "w2": weights(128, 5),
        "s": np.asarray([0, -1], np.int64),
    }
    data = assert_agrees(chain(nodes, {"x": ("n", 1, 8, 8)}, constants))
    assert operators(data) == ["RESHAPE", "CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_axes_are_remapped_through_concat_split_slice_pad_softmax_and_mean() -> None:
    nodes = [
        _conv("x", "a", "w1"),
        helper.make_node("Concat", ["a", "a"], ["b"], axis=1),
        helper.make_node("Split", ["b"], ["c", "d"], axis=1),
        helper.make_node("Mul", ["c", "d"], ["e"]),
        helper.make_node("Slice", ["e", "starts", "ends", "axes"], ["f"]),
        helper.make_node("Pad", ["f", "pads"], ["g"]),
        helper.make_node("Softmax", ["g"], ["h"], axis=1),
        helper.make_node("ReduceMean", ["h"], ["i"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["i", "w2"], ["y"]),
    ]
    constants = {
        "w1": weights(4, 3, 3, 3),
        "w2": weights(4, 3),
        "starts": np.asarray([1, 2], np.int64),
        "ends": np.asarray([3, 7], np.int64),
        "axes": np.asarray([1, 3], np.int64),
        "pads": np.asarray([0, 1, 0, 2, 0, 1, 0, 0], np.int64),
    }
    written = operators(assert_agrees(chain(nodes, IMAGE, constants)))
    assert written.count("TRANSPOSE") == 1


def test_transpositions_of_the_source_between_layouts_vanish() -> None:
    """A model that came from TensorFlow: channels last outside, transposed around a convolution."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        _conv("a", "b", "w"),
        helper.make_node("Transpose", ["b"], ["y"], perm=[0, 2, 3, 1]),
    ]
    data = assert_agrees(chain(nodes, {"x": ("n", 8, 8, 3)}, {"w": weights(4, 3, 3, 3)}))
    assert operators(data) == ["CONV_2D"]


def _last(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [target], perm=[0, 2, 3, 1])


ENDINGS = {
    "an image": ([_last("c", "y")], {}),
    "a flattened image": (
        [
            _last("c", "d"),
            helper.make_node("Reshape", ["d", "s"], ["e"]),
            helper.make_node("MatMul", ["e", "k"], ["y"]),
        ],
        {"s": np.asarray([-1, 256]), "k": weights(256, 5)},
    ),
    "heads": (
        [_last("c", "d"), helper.make_node("Reshape", ["d", "s"], ["y"])],
        {"s": np.asarray([0, -1, 2])},
    ),
    "a mean": (
        [_last("c", "d"), helper.make_node("ReduceMean", ["d"], ["y"], axes=[1, 2], keepdims=0)],
        {},
    ),
    "a softmax": ([_last("c", "d"), helper.make_node("Softmax", ["d"], ["y"], axis=-1)], {}),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_model_born_with_channels_last_has_no_transposition(ending: str) -> None:
    nodes, constants = ENDINGS[ending]
    first = [
        helper.make_node("Sub", ["x", "mean"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 3, 1, 2]),
        _conv("b", "c", "w"),
    ]
    known = {"mean": weights(3), "w": weights(4, 3, 3, 3), **constants}
    data = assert_agrees(chain([*first, *nodes], {"x": ("n", 8, 8, 3)}, known))
    assert "TRANSPOSE" not in operators(data)


def test_a_branch_that_is_also_an_output_is_transposed_once() -> None:
    nodes = [
        _conv("x", "a", "w"),
        helper.make_node("Relu", ["a"], ["y"]),
        helper.make_node("Sigmoid", ["y"], ["z"]),
        _conv("z", "t", "w2"),
    ]
    constants = {"w": weights(3, 3, 3, 3), "w2": weights(3, 3, 3, 3)}
    data = assert_agrees(chain(nodes, IMAGE, constants, ("y", "t")))
    assert operators(data).count("TRANSPOSE") == 3


def test_squeezed_and_one_dimensional_convolutions_need_no_transposition_between() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1]),
        helper.make_node("ReduceMean", ["c"], ["y"], axes=[2], keepdims=0),
    ]
    constants = {"w1": weights(4, 2, 3), "w2": weights(5, 4, 3)}
    written = operators(assert_agrees(chain(nodes, {"x": ("n", 2, 16)}, constants)))
    assert written == ["TRANSPOSE", "RESHAPE", "CONV_2D", "CONV_2D", "RESHAPE", "MEAN"]


def test_an_activation_is_not_fused_where_the_sum_before_it_is_read_elsewhere() -> None:
    nodes = [
        helper.make_node("Add", ["x", "z"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
        helper.make_node("Mul", ["a", "y"], ["t"]),
    ]
    shapes = {"x": ("n", 3), "z": ("n", 3)}
    assert operators(assert_agrees(chain(nodes, shapes, {}, ("t",)))) == ["ADD", "RELU", "MUL"]


def test_an_activation_is_not_fused_through_an_identity_that_is_read_elsewhere() -> None:
    nodes = [
        helper.make_node("Add", ["x", "z"], ["a"]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
        helper.make_node("Mul", ["a", "y"], ["t"]),
    ]
    shapes = {"x": ("n", 3), "z": ("n", 3)}
    assert operators(assert_agrees(chain(nodes, shapes, {}, ("t",)))) == ["ADD", "RELU", "MUL"]


@pytest.mark.parametrize("seed", range(40))
def test_the_minimum_cut_is_minimal(seed: int) -> None:
    """Against every assignment of up to six free vertices."""
    generator = random.Random(seed)
    free = generator.randint(1, 6)
    edges = [
        (tail, head, generator.randint(0, 9))
        for tail in range(free + 2)
        for head in range(free + 2)
        if tail != head and generator.random() < 0.5
    ]
    network = FlowNetwork()
    for _ in range(free):
        network.vertex()
    for edge in edges:
        network.edge(*edge)

    def cost(side: set[int]) -> int:
        return sum(size for tail, head, size in edges if tail in side and head not in side)

    choices = (
        {0, *(vertex + 2 for vertex in range(free) if bits[vertex])}
        for bits in itertools.product([False, True], repeat=free)
    )
    found = network.source_side()
    assert 0 in found
    assert 1 not in found
    assert cost(found) == min(cost(side) for side in choices)
