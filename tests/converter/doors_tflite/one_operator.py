"""Writes TFLite files of one operator, which LiteRT runs as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from edgewright_converter.frontend.tflite import read_tflite

# Any: tests feed arrays of every element type.
Array = np.ndarray[Any, Any]

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "bool": schema.TensorType.BOOL,
}
BUILTIN = vars(schema.BuiltinOperator)


@dataclass(frozen=True)
class Single:
    """One operator: inputs in order (an array is constant, a name refers to `given`, a tuple is
    the shape of a state, None is left out), and the outputs' shapes and types.
    """

    kind: str
    inputs: Sequence[Array | str | tuple[int, ...] | None]
    given: Mapping[str, Array]
    outputs: Sequence[tuple[Sequence[int], str]]
    options: Any = None  # one of some hundred option classes without a common type
    version: int = 1
    custom: bytes = b""
    quantization: Mapping[str, tuple[float, int]] = field(default_factory=dict)

    def pack(self) -> bytes:
        """The file."""
        model, graph = schema.ModelT(), schema.SubGraphT()
        model.version, model.buffers = 3, [schema.BufferT()]
        graph.tensors, operator = [], schema.OperatorT()
        named = {
            name: self._add(model, graph, name, a.shape, a.dtype.name)
            for name, a in self.given.items()
        }
        places = []
        for entry in self.inputs:
            if isinstance(entry, str):
                places.append(named[entry])
            elif entry is None:
                places.append(-1)
            elif isinstance(entry, tuple):
                places.append(self._add(model, graph, "state", entry, "float32"))
                graph.tensors[-1].isVariable = True
            else:
                index = self._add(model, graph, "constant", entry.shape, entry.dtype.name)
                buffer = schema.BufferT()
                buffer.data = np.frombuffer(np.ascontiguousarray(entry).tobytes(), np.uint8)
                graph.tensors[index].buffer = len(model.buffers)
                model.buffers.append(buffer)
                places.append(index)
        operator.inputs = np.asarray(places, np.int32)
        made = [
            self._add(model, graph, f"y{number}", shape, dtype)
            for number, (shape, dtype) in enumerate(self.outputs)
        ]
        operator.outputs = np.asarray(made, np.int32)
        operator.builtinOptions = self.options
        if self.options is not None:
            name = type(self.options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        code = schema.OperatorCodeT()
        code.builtinCode = BUILTIN[self.kind]
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = self.version, self.custom or None
        model.operatorCodes, graph.operators = [code], [operator]
        graph.inputs = np.asarray(list(named.values()), np.int32)
        graph.outputs = np.asarray(made, np.int32)
        model.subgraphs = [graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _add(
        self, model: Any, graph: Any, name: str, shape: Sequence[int], dtype: str
    ) -> int:  # Any: schema objects without types
        tensor = schema.TensorT()
        tensor.name, tensor.type = name.encode(), _TYPES[dtype]
        tensor.shape = np.asarray(shape, np.int32)
        if name in self.quantization:
            scale, zero_point = self.quantization[name]
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray([scale], np.float32)
            tensor.quantization.zeroPoint = np.asarray([zero_point], np.int64)
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1


def options(kind: str, **fields: Any) -> Any:  # schema objects without types
    """An option table with these fields."""
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


def run_litert(data: bytes, inputs: Sequence[Array], *, plain: bool = True) -> list[Array]:
    """The outputs in order, by the kernels themselves or (not `plain`) as LiteRT chooses."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=kernels)
    details = interpreter.get_input_details()
    for detail, array in zip(details, inputs, strict=True):
        interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(details, inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def read(data: bytes) -> onnx.ModelProto:
    """The file through the door, checked as the converter checks every ONNX model."""
    model = read_tflite(data, Path("model.tflite"))
    onnx.checker.check_model(model, full_check=True)
    return model


def run_read(model: onnx.ModelProto, inputs: Sequence[Array]) -> list[Array]:
    """The outputs in order, by onnxruntime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))
