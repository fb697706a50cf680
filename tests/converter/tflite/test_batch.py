"""The batch stays dynamic, through shape computations too; a baked batch size is refused."""

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import ConverterError, TargetRefused, UnsupportedOperator
from onnx import TensorProto, helper

from tests.converter.tflite.one_node import weights
from tests.converter.tflite.side_by_side import (
    assert_agrees,
    chain,
    operators,
    random_inputs,
    run_resized,
    single,
)

IMAGE = {"x": ("n", 3, 4, 4)}


def _shape_of_image() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["b"], axis=0),
        helper.make_node("Unsqueeze", ["b", "zeros"], ["u"]),
    ]


SHAPE_CONSTANTS = {
    "zero": np.asarray(0, np.int64),
    "zeros": np.asarray([0], np.int64),
    "rest": np.asarray([-1], np.int64),
}


def test_a_shape_computed_from_the_batch_is_folded_away() -> None:
    nodes = [
        *_shape_of_image(),
        helper.make_node("Concat", ["u", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    data = assert_agrees(chain(nodes, IMAGE, SHAPE_CONSTANTS))
    assert operators(data) == ["RESHAPE"]


def test_an_expansion_to_the_batch_is_computed_while_the_model_runs() -> None:
    nodes = [
        *_shape_of_image(),
        helper.make_node("Concat", ["u", "five"], ["t"], axis=0),
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["m"], ["r"], axes=[0], keepdims=1),
        helper.make_node("Unsqueeze", ["r", "zeros"], ["q"]),
        helper.make_node("Expand", ["q", "t"], ["y"]),
    ]
    constants = {**SHAPE_CONSTANTS, "five": np.asarray([5], np.int64)}
    assert_agrees(chain(nodes, IMAGE, constants))


def test_a_static_part_of_a_shape_is_a_constant() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=1, end=2),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "c"], ["y"]),
    ]
    assert operators(assert_agrees(chain(nodes, IMAGE, {}))) == ["MUL"]


def test_a_number_computed_from_the_batch_is_refused() -> None:
    nodes = [
        *_shape_of_image(),
        helper.make_node("Cast", ["u"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "c"], ["y"], name="scale"),
    ]
    with pytest.raises(UnsupportedOperator, match=r"scale.*computed from the batch size"):
        write_tflite(chain(nodes, IMAGE, SHAPE_CONSTANTS))


@pytest.mark.parametrize("shape", [[1, 48], [1, -1], [-1, 3, 8, 2, 1, 1]])
def test_a_reshape_keeps_every_element_of_every_batch_or_is_refused(shape: list[int]) -> None:
    model = single("Reshape", IMAGE, {"s": np.asarray(shape, np.int64)})
    if shape == [1, 48]:
        with pytest.raises(UnsupportedOperator, match="node"):
            write_tflite(model)
    else:
        assert_agrees(model, batches=(1, 3))


def test_a_batch_baked_into_a_reshape_before_weights_is_refused() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["a"], name="baked"),
        helper.make_node("MatMul", ["a", "w"], ["y"], name="classifier"),
    ]
    constants = {"s": np.asarray([1, -1], np.int64), "w": weights(48, 2)}
    with pytest.raises(UnsupportedOperator, match="classifier"):
        write_tflite(chain(nodes, IMAGE, constants))


def test_a_fixed_batch_stays_fixed() -> None:
    data = assert_agrees(single("Relu", {"x": (2, 3)}), batches=(1,))
    interpreter = Interpreter(model_content=data)
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [2, 3]


def test_the_signature_has_the_names_of_the_model() -> None:
    model = single("Add", {"left": ("n", 3), "right": ("n", 3)}, outputs=("total",))
    data = assert_agrees(model)
    interpreter = Interpreter(model_content=data)
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["left", "right"], "outputs": ["total"]}
    }
    details = interpreter.get_input_details()
    assert [detail["name"] for detail in details] == ["left", "right"]
    assert [detail["shape_signature"].tolist() for detail in details] == [[-1, 3], [-1, 3]]


def test_an_input_that_is_an_output_and_an_output_given_twice_are_copied() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("Relu", ["x"], ["z"]),
        helper.make_node("Identity", ["z"], ["t"]),
    ]
    assert_agrees(chain(nodes, {"x": ("n", 3)}, {}, ("y", "z", "t")))


def test_a_constant_output_is_written() -> None:
    nodes = [
        helper.make_node("Add", ["c", "c"], ["z"]),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    assert_agrees(chain(nodes, {"x": ("n", 3)}, {"c": weights(2, 2)}, ("y", "z")))


def test_a_dynamic_height_is_refused_by_name() -> None:
    with pytest.raises(TargetRefused, match=r"'x'.*axis 2"):
        write_tflite(single("Relu", {"x": ("n", 3, "h", 4)}))


def test_dropping_an_axis_only_at_batch_one_is_refused() -> None:
    with pytest.raises(ConverterError):
        write_tflite(single("Squeeze", {"x": ("n", 1, 3)}))


def test_two_conversions_give_the_same_bytes() -> None:
    model = single("Conv", IMAGE, {"w": weights(2, 3, 3, 3)})
    assert write_tflite(model) == write_tflite(model)


def test_the_file_runs_after_its_inputs_were_resized_to_another_batch() -> None:
    model = single("Softmax", IMAGE, axis=1)
    data = write_tflite(model)
    for batch in (4, 1, 3):
        outputs = run_resized(data, random_inputs(model, batch))
        assert outputs["y"].shape == (batch, 3, 4, 4)
        assert outputs["y"].sum(axis=1) == pytest.approx(1, abs=1e-5)
