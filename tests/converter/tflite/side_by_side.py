"""Runs an ONNX model in onnxruntime and its TFLite file in LiteRT on the same inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from edgewright_converter.emit.tflite import write_tflite
from onnx import TensorProto, helper, numpy_helper

# Any: tests feed arrays of every element type.
Arrays = dict[str, np.ndarray[Any, Any]]
Dims = Sequence[int | str]

# Both sides sum the same float32 products in another order: with some thousand terms of unit size
# the results differ by less than 1e-5 of the largest one (100 dB), while a misplaced element
# differs by about 1.
RELATIVE_TOLERANCE = 1e-5


def single(
    operator: str,
    shapes: Mapping[str, Dims],
    constants: Mapping[str, np.ndarray[Any, Any]] | None = None,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    dtypes: Mapping[str, int] | None = None,
    output_dtype: int = TensorProto.FLOAT,
    **attributes: Any,  # Any: as onnx.helper.make_node takes them
) -> onnx.ModelProto:
    """A model of one node named `node`; `inputs` defaults to the shapes' then the
    constants' names.
    """
    constants = constants or {}
    names = list(inputs) if inputs is not None else [*shapes, *constants]
    node = helper.make_node(operator, names, list(outputs), name="node", **attributes)
    return chain([node], shapes, constants, outputs, opset=opset, dtypes=dtypes, kind=output_dtype)


def chain(
    nodes: Sequence[onnx.NodeProto],
    shapes: Mapping[str, Dims],
    constants: Mapping[str, np.ndarray[Any, Any]],
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 17,
    dtypes: Mapping[str, int] | None = None,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model of these nodes; a string in a shape is a dynamic dimension."""
    dtypes = dtypes or {}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [
            helper.make_tensor_value_info(name, dtypes.get(name, TensorProto.FLOAT), list(shape))
            for name, shape in shapes.items()
        ],
        [
            helper.make_tensor_value_info(name, dtypes.get(name, kind), None)
            for name in outputs
            if name
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model


def random_inputs(model: onnx.ModelProto, batch: int, seed: int = 0) -> Arrays:
    """Normal floats; small non-negative integers; `batch` for each dynamic dimension."""
    generator = np.random.default_rng(seed)
    constants = {tensor.name for tensor in model.graph.initializer}
    found: Arrays = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        shape = [
            dim.dim_value if dim.HasField("dim_value") else batch
            for dim in value.type.tensor_type.shape.dim
        ]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype.kind == "f":
            found[value.name] = generator.standard_normal(shape).astype(dtype)
        else:
            found[value.name] = generator.integers(0, 2, shape).astype(dtype)
    return found


def run_onnx(model: onnx.ModelProto, inputs: Arrays) -> Arrays:
    """The outputs by onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def run_tflite(data: bytes, inputs: Arrays) -> Arrays:
    """The outputs by LiteRT's signature, which resizes the inputs to the arrays' shapes.

    ai-edge-quantizer renames output tensors, so only the signature knows the model's names.
    """
    runner = Interpreter(model_content=data).get_signature_runner("serving_default")
    return dict(runner(**inputs))


def run_resized(data: bytes, inputs: Arrays) -> Arrays:
    """The outputs by LiteRT's tensors, after `resize_tensor_input` to the arrays' shapes."""
    interpreter = Interpreter(model_content=data)
    details = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    for name, array in inputs.items():
        interpreter.resize_tensor_input(details[name], array.shape, strict=True)
    interpreter.allocate_tensors()
    for name, array in inputs.items():
        interpreter.set_tensor(details[name], array)
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    }


def operators(data: bytes) -> list[str]:
    """The operators of a TFLite file in order."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if name[0] != "_"}
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    codes = [code.builtinCode for code in model.operatorCodes]
    return [names[codes[operator.opcodeIndex]] for operator in model.subgraphs[0].operators]


def assert_agrees(
    model: onnx.ModelProto, *, batches: Sequence[int] = (1, 4), inputs: Arrays | None = None
) -> bytes:
    """Writes the model and compares both sides at each batch size; returns the file."""
    data = write_tflite(model)
    for batch in batches:
        given = inputs or random_inputs(model, batch, seed=batch)
        expected, actual = run_onnx(model, given), run_tflite(data, given)
        assert actual.keys() == expected.keys()
        for name, reference in expected.items():
            assert actual[name].shape == reference.shape, name
            assert actual[name].dtype == reference.dtype, name
            size = max(1.0, float(np.abs(reference.astype(np.float64)).max()))
            np.testing.assert_allclose(
                actual[name], reference, rtol=0, atol=RELATIVE_TOLERANCE * size, err_msg=name
            )
    return data
