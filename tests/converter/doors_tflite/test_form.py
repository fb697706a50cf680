"""What the model looks like that comes in: names, types, axes, and no needless transposition."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.frontend import read_onnx
from edgewright_converter.frontend.tflite import read_tflite

from tests.converter.doors_tflite.networks import small_network
from tests.converter.doors_tflite.one_operator import Single, options, read, run_litert, run_read


def _kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_nothing_is_transposed_between_convolutions() -> None:
    """The writer's own transposition at the entrance meets the door's, and both go."""
    model = read(write_tflite(small_network()))
    kinds = _kinds(model)
    convolutions = [place for place, kind in enumerate(kinds) if kind == "Conv"]
    assert len(convolutions) == 3
    assert "Transpose" not in kinds[convolutions[0] : convolutions[-1]]
    assert kinds.count("Transpose") == 1  # [n, 1, 1, 6] to [n, 6, 1, 1], before the dense layer


def test_an_addition_between_pools_stays_with_channels_in_front() -> None:
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 4)).astype(np.float32)
    table = options("Pool2D", padding=1, strideH=1, strideW=1, filterHeight=3, filterWidth=3)
    single = Single("MAX_POOL_2D", ["x"], {"x": x}, [((1, 6, 6, 4), "float32")], table)
    assert _kinds(read(single.pack())) == ["Transpose", "MaxPool", "Transpose"]


def test_names_and_the_dynamic_batch_are_those_of_the_signature() -> None:
    model = read(write_tflite(small_network()))
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert _shape(model.graph.input[0]) == ["batch", 3, 12, 12]
    assert _shape(model.graph.output[0]) == ["batch", 5]


def test_without_a_signature_tensors_give_the_names() -> None:
    x = np.zeros((2, 3), np.float32)
    model = read(Single("ABS", ["x"], {"x": x}, [((2, 3), "float32")]).pack())
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["y0"]
    assert _kinds(model) == ["Abs"]


def test_the_model_passes_the_door_for_onnx_files(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(read_tflite(write_tflite(small_network()), Path("small.tflite")), path)
    assert read_onnx(path).opset == 17


def test_reading_twice_gives_the_same_bytes() -> None:
    data = write_tflite(small_network())
    first, second = (read(data).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_weights_of_half_precision_become_plain_constants() -> None:
    """Behind DEQUANTIZE, as TensorFlow's converter writes them."""
    weights = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float16)
    x = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)
    dense = Single("FULLY_CONNECTED", ["x", weights], {"x": x}, [((3, 5), "float32")],
                   options("FullyConnected"))  # fmt: skip  # one call
    model = schema.ModelT.InitFromPackedBuf(dense.pack())
    _dequantize(model, 1)
    data = _packed(model)
    read_in = read(data)
    assert _kinds(read_in) == ["Gemm"]
    expected, actual = run_litert(data, [x])[0], run_read(read_in, [x])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def _dequantize(model: Any, index: int) -> None:  # Any: schema objects without types
    """Puts DEQUANTIZE between tensor `index` and its reader."""
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3
    model.operatorCodes.append(code)
    wide = schema.TensorT()
    wide.name, wide.shape = b"wide", graph.tensors[index].shape
    graph.tensors.append(wide)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = np.asarray([index], np.int32)
    operator.outputs = np.asarray([len(graph.tensors) - 1], np.int32)
    first = graph.operators[0]
    first.inputs = np.asarray(
        [operator.outputs[0] if i == index else i for i in first.inputs], np.int32
    )
    graph.operators.insert(0, operator)


def _packed(model: Any) -> bytes:  # Any: schema objects without types
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("block", [(), (1,)])
def test_a_sparse_constant_is_unfolded(block: tuple[int, ...]) -> None:
    """Rows dense, columns compressed; with blocks of two columns too."""
    dense = np.zeros((3, 4), np.float32)
    dense[0, :2], dense[2, 2:] = (1, 2), (3, 4)
    x = np.ones((1, 4), np.float32)
    single = Single("DENSIFY", [dense], {}, [((3, 4), "float32")])
    model = schema.ModelT.InitFromPackedBuf(single.pack())
    _make_sparse(model, block)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MUL
    model.operatorCodes.append(code)
    graph = model.subgraphs[0]
    for name, shape in (("x", (1, 4)), ("product", (3, 4))):
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), np.asarray(shape, np.int32)
        graph.tensors.append(tensor)
    product = schema.OperatorT()
    product.opcodeIndex = 1
    product.inputs, product.outputs = np.asarray([1, 2], np.int32), np.asarray([3], np.int32)
    product.builtinOptions, product.builtinOptionsType = (
        schema.MulOptionsT(),
        schema.BuiltinOptions.MulOptions,
    )
    graph.operators.append(product)
    graph.inputs, graph.outputs = np.asarray([2], np.int32), np.asarray([3], np.int32)
    data = _packed(model)
    np.testing.assert_array_equal(run_read(read(data), [x])[0], dense)
    np.testing.assert_array_equal(run_litert(data, [x])[0], dense)


def _make_sparse(model: Any, block: tuple[int, ...]) -> None:  # Any: schema objects without types
    def whole(size: int) -> Any:  # Any: as above
        made = schema.DimensionMetadataT()
        made.format, made.denseSize = schema.DimensionType.DENSE, size
        return made

    def compressed(segments: list[int], indices: list[int]) -> Any:  # Any: as above
        made = schema.DimensionMetadataT()
        made.format = schema.DimensionType.SPARSE_CSR
        made.arraySegmentsType = schema.SparseIndexVector.Int32Vector
        made.arraySegments = schema.Int32VectorT()
        made.arraySegments.values = np.asarray(segments, np.int32)
        made.arrayIndicesType = schema.SparseIndexVector.Uint8Vector
        made.arrayIndices = schema.Uint8VectorT()
        made.arrayIndices.values = np.asarray(indices, np.uint8)
        return made

    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = np.arange(2 + len(block), dtype=np.int32)
    if block:
        sparsity.blockMap = np.asarray(block, np.int32)
        sparsity.dimMetadata = [whole(3), compressed([0, 1, 1, 2], [0, 1]), whole(2)]
    else:
        sparsity.dimMetadata = [whole(3), compressed([0, 2, 2, 4], [0, 1, 2, 3])]
    tensor = model.subgraphs[0].tensors[0]
    tensor.sparsity = sparsity
    values = np.asarray([1, 2, 3, 4], np.float32)
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
