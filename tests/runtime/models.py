"""Small real models for the tests, one builder per kind of file."""

import itertools
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

FEATURES = 4
CLASSES = 3


def weights(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(w [4, 3], b [3]) of the linear model, FP32."""
    random = np.random.default_rng(seed)
    return (
        random.standard_normal((FEATURES, CLASSES)).astype(np.float32),
        random.standard_normal(CLASSES).astype(np.float32),
    )


def linear_onnx(path: Path, *, seed: int = 0) -> Path:
    """x FP32 [batch, 4] -> y FP32 [batch, 3]."""
    w, b = weights(seed)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )
    return save_onnx(graph, path)


def identity_onnx(path: Path, element_type: int, *, shape: list[int | str] | None = None) -> Path:
    """x -> y, the same values, of any ONNX element type."""
    dims: list[int | str] = ["batch", 2] if shape is None else shape
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", element_type, dims)],
        [helper.make_tensor_value_info("y", element_type, dims)],
    )
    return save_onnx(graph, path)


def reciprocal_onnx(path: Path) -> Path:
    """x FP32 [batch, 4] -> y = 1 / x: an input of zeros gives infinities."""
    graph = helper.make_graph(
        [helper.make_node("Reciprocal", ["x"], ["y"])],
        "reciprocal",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", FEATURES])],
    )
    return save_onnx(graph, path)


def gather_onnx(path: Path) -> Path:
    """x INT64 [batch] -> y FP32 [batch]: an index from 3 on makes the engine fail."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "gather",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
        [numpy_helper.from_array(np.arange(3, dtype=np.float32), "table")],
    )
    return save_onnx(graph, path)


def nonzero_onnx(path: Path) -> Path:
    """x FP32 [batch, 4] -> y INT64 [1, 2, found]: a size that depends on the values."""
    graph = helper.make_graph(
        [
            helper.make_node("NonZero", ["x"], ["places"]),
            helper.make_node("Unsqueeze", ["places", "axis"], ["y"]),
        ],
        "nonzero",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [1, 2, "found"])],
        [numpy_helper.from_array(np.array([0], np.int64), "axis")],
    )
    return save_onnx(graph, path)


def recurrent_onnx(path: Path, *, state_size: int = CLASSES) -> Path:
    """x FP32 [1, 4], state FP32 [1, n] -> stateN = tanh(x w + 0.5 state), y = 2 stateN.

    With the state's size 3 it is `recurrent_step`; others are other releases.
    """
    w = np.resize(weights()[0], (FEATURES, state_size))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["driven"]),
            helper.make_node("Mul", ["state", "half"], ["kept"]),
            helper.make_node("Add", ["driven", "kept"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["stateN"]),
            helper.make_node("Add", ["stateN", "stateN"], ["y"]),
        ],
        "recurrent",
        [
            info("x", TensorProto.FLOAT, [1, FEATURES]),
            info("state", TensorProto.FLOAT, [1, state_size]),
        ],
        [
            info("y", TensorProto.FLOAT, [1, state_size]),
            info("stateN", TensorProto.FLOAT, [1, state_size]),
        ],
        [
            numpy_helper.from_array(w, "w"),
            numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        ],
    )
    return save_onnx(graph, path)


def recurrent_step(x: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The next state, which is half of y; by numpy."""
    found: np.ndarray = np.tanh(x @ weights()[0] + np.float32(0.5) * state)
    return found


def wide_onnx(path: Path, *, width: int = 1024) -> Path:
    """x FP32 [batch, 64] -> y FP32 [batch, 10] over two wide layers: its time is its weights'."""
    random = np.random.default_rng(0)
    sizes = (64, width, width, 10)
    layers = [
        (random.standard_normal(pair) / np.sqrt(pair[0])).astype(np.float32)
        for pair in itertools.pairwise(sizes)
    ]
    names = ["x", "h0", "h1", "y"]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [names[at], f"w{at}"], [names[at + 1]])
            for at in range(len(layers))
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(layer, f"w{at}") for at, layer in enumerate(layers)],
    )
    return save_onnx(graph, path)


def cumulative_onnx(path: Path) -> Path:
    """x FP32 [batch, 64] -> y, the sums down the batch: its items see their neighbours."""
    graph = helper.make_graph(
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        "cumulative",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(np.array(0, np.int64), "axis")],
    )
    return save_onnx(graph, path)


def two_by_two_onnx(path: Path) -> Path:
    """a, b FP32 [batch, 4] -> total = a + b, difference = a - b."""
    names = ("a", "b"), ("total", "difference")
    info = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in side]
        for side in names
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["a", "b"], ["total"]),
            helper.make_node("Sub", ["a", "b"], ["difference"]),
        ],
        "two_by_two",
        info[0],
        info[1],
    )
    return save_onnx(graph, path)


def save_onnx(graph: onnx.GraphProto, path: Path) -> Path:
    """Write the graph as an opset 17 model."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def linear_openvino(path: Path, *, seed: int = 0) -> Path:
    """The linear model as `.xml` + `.bin`, built without the ONNX front end."""
    import openvino
    from openvino import opset13 as ops

    w, b = weights(seed)
    x = ops.parameter([-1, FEATURES], np.float32, name="x")
    x.output(0).set_names({"x"})
    y = ops.add(ops.matmul(x, ops.constant(w), False, False), ops.constant(b))
    y.output(0).set_names({"y"})
    model = openvino.Model([ops.result(y)], [x], "linear")
    openvino.save_model(model, str(path), compress_to_fp16=False)
    return path


def linear_tflite(path: Path, *, seed: int = 0) -> Path:
    """The linear model as a TFLite file with a SignatureDef and a dynamic batch."""
    import flatbuffers

    w, b = weights(seed)
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = []

    def tensor(name: str, shape: list[int], data: np.ndarray | None = None) -> int:
        made = schema.TensorT()
        made.name = name.encode()
        made.shape = np.array([max(size, 1) for size in shape], np.int32)
        made.shapeSignature = np.array(shape, np.int32) if -1 in shape else None
        made.type = schema.TensorType.FLOAT32
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    x = tensor("serving_x:0", [-1, FEATURES])
    y = tensor("StatefulPartitionedCall:0", [-1, CLASSES])
    operator = schema.OperatorT()
    operator.inputs = np.array(
        [x, tensor("w", [CLASSES, FEATURES], np.ascontiguousarray(w.T)), tensor("b", [CLASSES], b)],
        np.int32,
    )
    operator.outputs = np.array([y], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    graph.operators = [operator]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    model.operatorCodes, model.subgraphs = [code], [graph]
    model.signatureDefs = [_signature_def(x, y)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _signature_def(x: int, y: int) -> schema.SignatureDefT:
    made = schema.SignatureDefT()
    made.signatureKey = b"serving_default"
    made.subgraphIndex = 0
    made.inputs, made.outputs = [schema.TensorMapT()], [schema.TensorMapT()]
    made.inputs[0].name, made.inputs[0].tensorIndex = b"x", x
    made.outputs[0].name, made.outputs[0].tensorIndex = b"y", y
    return made
