"""What nobody should have sent: every file is read, or refused in one line."""

import warnings
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import ModelFileError
from edgewright_converter.frontend.tflite import read_tflite
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.converter.doors_tflite.networks import small_network
from tests.converter.doors_tflite.one_operator import Array, Single, options

PATH = Path("model.tflite")
WHOLE = write_tflite(small_network())


def _read(data: bytes) -> str:
    """The refusal; "" where it was read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_tflite(data, PATH)
    except ModelFileError as error:
        assert "\n" not in str(error)
        assert str(error).startswith("model.tflite: ")
        return str(error)
    return ""


def _packed(model: Any) -> bytes:  # Any: schema objects without types
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_the_whole_file_is_read() -> None:
    assert _read(WHOLE) == ""


@pytest.mark.parametrize("length", [0, 3, 8, 40, 400, len(WHOLE) // 2, len(WHOLE) - 1])
def test_a_truncated_file_is_refused(length: int) -> None:
    assert _read(WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=12))
@settings(max_examples=300, deadline=2000)
def test_flipped_bytes_are_read_or_refused(flips: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for place, value in flips:
        data[place] = value
    _read(bytes(data))


@given(
    st.integers(0, len(WHOLE) // 4 - 1),
    st.sampled_from([0, 1, 127, 128, 65535, 2**31 - 1, 2**31, 2**32 - 1, len(WHOLE)]),
)
@settings(max_examples=500, deadline=2000)
def test_wrong_offsets_and_lengths_are_read_or_refused(word: int, value: int) -> None:
    data = bytearray(WHOLE)
    data[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
    _read(bytes(data))


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_noise_is_refused(noise: bytes) -> None:
    assert _read(noise)
    assert _read(noise[:4] + b"TFL3" + noise[4:])


def test_another_file_is_named_as_what_it_is_not() -> None:
    assert "identifier TFL3 is missing" in _read(b"PK\x03\x04" + bytes(100))


def test_a_custom_operator_is_refused_by_name() -> None:
    x = np.zeros((1, 2), np.float32)
    custom = Single("CUSTOM", ["x"], {"x": x}, [((1, 2), "float32")], custom=b"Special")
    assert "operator 0 CUSTOM Special (output 'y0')" in _read(custom.pack())


def test_an_unknown_version_is_refused_by_name() -> None:
    x = np.zeros((1, 2), np.float32)
    table = options("Softmax", beta=1.0)
    newer = Single("SOFTMAX", ["x"], {"x": x}, [((1, 2), "float32")], table, version=99)
    assert "operator 0 SOFTMAX (output 'y0'): its version 99" in _read(newer.pack())


@pytest.mark.parametrize("kind", ["WHILE", "IF", "VAR_HANDLE", "READ_VARIABLE", "CALL_ONCE"])
def test_control_flow_and_variables_are_refused_by_name(kind: str) -> None:
    x = np.zeros((1, 2), np.float32)
    assert f"operator 0 {kind} (output 'y0')" in _read(
        Single(kind, ["x"], {"x": x}, [((1, 2), "float32")]).pack()
    )


@pytest.mark.parametrize("missing", [1, 2])
def test_an_operator_without_its_inputs_is_refused(missing: int) -> None:
    inputs: list[Array | str | tuple[int, ...] | None] = ["x"]
    inputs += [None] * (2 - missing)
    x = np.zeros((1, 4, 4, 2), np.float32)
    assert "lacks input 1" in _read(
        Single("CONV_2D", inputs, {"x": x}, [((1, 4, 4, 2), "float32")]).pack()
    )


def test_a_folded_constant_of_another_shape_is_refused() -> None:
    packed = np.zeros((3, 4), np.float16)
    folded = Single("DEQUANTIZE", [packed], {}, [((2, 6, 1), "float32")])
    assert "has the shape (2, 6, 1), and holds (3, 4)" in _read(folded.pack())


def test_a_transposed_convolution_to_no_image_is_refused() -> None:
    x, weights = np.zeros((1, 4, 4, 2), np.float32), np.zeros((3, 3, 3, 2), np.float32)
    table = options("TransposeConv", strideH=1, strideW=1, padding=schema.Padding.VALID)
    shape = np.asarray([1, 6], np.int32)
    single = Single(
        "TRANSPOSE_CONV", [shape, weights, "x"], {"x": x}, [((1, 6, 6, 3), "float32")], table
    )
    assert "is none of an image" in _read(single.pack())


def test_gates_of_different_sizes_are_refused() -> None:
    x = np.zeros((1, 3, 2), np.float32)
    gates: list[Array | str | tuple[int, ...] | None] = ["x"]
    gates += [np.zeros((4, width), np.float32) for width in (2, 2, 3, 2)]
    gates += [np.zeros((4, 4), np.float32) for _ in range(4)]
    gates += [None] * 3 + [np.zeros(4, np.float32) for _ in range(4)]
    table = options("UnidirectionalSequenceLSTM", fusedActivationFunction=4)
    kind = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    single = Single(kind, gates, {"x": x}, [((1, 3, 4), "float32")], table)
    assert "of different sizes" in _read(single.pack())


def test_contents_that_do_not_fit_the_shape_are_refused() -> None:
    model = schema.ModelT.InitFromPackedBuf(WHOLE)
    tensors = model.subgraphs[0].tensors
    weights = next(tensor for tensor in tensors if len(tensor.shape) == 4 and tensor.buffer > 0)
    weights.shape = np.asarray([1 << 30, 1 << 30, 3, 3], np.int32)
    assert "its shape" in _read(_packed(model))


def test_a_constant_used_a_million_times_over_is_refused() -> None:
    """Ten thousand tensors share a buffer of a megabyte; a copy of each would be ten gigabytes."""
    model = schema.ModelT.InitFromPackedBuf(WHOLE)
    graph = model.subgraphs[0]
    buffer = schema.BufferT()
    buffer.data = np.zeros(1 << 20, np.uint8)
    model.buffers.append(buffer)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    model.operatorCodes.append(code)
    for number in range(2000):
        for dtype in (schema.TensorType.FLOAT16, schema.TensorType.FLOAT32):
            tensor = schema.TensorT()
            tensor.shape, tensor.type = np.asarray([1 << 19], np.int32), dtype
            tensor.name = f"{dtype} {number}".encode()
            tensor.buffer = len(model.buffers) - 1 if dtype else 0
            graph.tensors.append(tensor)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs = np.asarray([len(graph.tensors) - 2], np.int32)
        operator.outputs = np.asarray([len(graph.tensors) - 1], np.int32)
        graph.operators.append(operator)
    assert "far larger than the file" in _read(_packed(model))


def test_overlapping_parts_are_refused() -> None:
    """Ten thousand entries that are all one operator with ten thousand inputs."""
    count = 10_000
    builder = flatbuffers.Builder(1024)
    inputs = builder.CreateNumpyVector(np.zeros(count, np.int32))
    schema.OperatorStart(builder)
    schema.OperatorAddInputs(builder, inputs)
    schema.OperatorAddOutputs(builder, inputs)
    operator = schema.OperatorEnd(builder)
    operators = _vector_of(builder, [operator] * count)
    codes = _vector_of(builder, [schema.OperatorCodeT().Pack(builder)])
    tensors = _vector_of(builder, [schema.TensorT().Pack(builder)])
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    schema.SubGraphAddOutputs(builder, inputs)
    schema.SubGraphAddOperators(builder, operators)
    graphs = _vector_of(builder, [schema.SubGraphEnd(builder)])
    buffers = _vector_of(builder, [schema.BufferT().Pack(builder)])
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddOperatorCodes(builder, codes)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    assert "its parts overlap" in _read(bytes(builder.Output()))


def _vector_of(builder: Any, tables: list[int]) -> int:  # Any: flatbuffers has no types
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    end: int = builder.EndVector()
    return end
