"""What a TFLite file says, parsed and checked: tensors, operators, inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.frontend.tflite.flatbuffer import Source, Table
from edgewright_converter.frontend.tflite.refusal import Refusal, Remedy, damaged
from edgewright_converter.frontend.tflite.tables import (
    BufferTable,
    ModelTable,
    OperatorCodeTable,
    QuantizationTable,
    SignatureTable,
    SparsityTable,
    SubgraphTable,
    TensorTable,
)
from edgewright_converter.graph.model import Array, Shape

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every TFLite file."""
VERSION = 3

_Type = schema.TensorType
DTYPES: dict[int, np.dtype[np.generic]] = {
    _Type.FLOAT32: np.dtype("<f4"),
    _Type.FLOAT16: np.dtype("<f2"),
    _Type.FLOAT64: np.dtype("<f8"),
    _Type.INT8: np.dtype("i1"),
    _Type.UINT8: np.dtype("u1"),
    _Type.INT16: np.dtype("<i2"),
    _Type.UINT16: np.dtype("<u2"),
    _Type.INT32: np.dtype("<i4"),
    _Type.UINT32: np.dtype("<u4"),
    _Type.INT64: np.dtype("<i8"),
    _Type.UINT64: np.dtype("<u8"),
    _Type.BOOL: np.dtype("?"),
    _Type.INT4: np.dtype("i1"),
}
"""INT4 is unpacked to a byte for each element."""
OPERATOR_NAMES: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
_TYPE_NAMES = {code: name for name, code in vars(_Type).items() if isinstance(code, int)}
_CUSTOM = schema.BuiltinOperator.CUSTOM


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale * (stored - zero_point); one of each, or one for each index of `axis`."""

    scale: Array
    zero_point: Array
    axis: int


@dataclass(frozen=True)
class FileTensor:
    """One tensor as the file describes it; None in the shape is dynamic."""

    index: int
    name: str
    shape: Shape
    type: int
    buffer: memoryview | None
    quantization: Quantization | None
    sparsity: SparsityTable | None
    is_variable: bool

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_constant(self) -> bool:
        """Whether the file has contents for it."""
        return self.buffer is not None and not self.is_variable

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Its element type. Raises Refusal where ONNX has no use for it."""
        if self.type not in DTYPES:
            name = _TYPE_NAMES.get(self.type, f"of number {self.type}")
            raise Refusal(f"has the tensor {self.name!r} of type {name}", Remedy.EXPORT)
        return DTYPES[self.type]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of a tensor that has contents. Raises Refusal where it is dynamic."""
        if any(size is None for size in self.shape):
            raise damaged(f"tensor {self.index} {self.name!r} is constant and of no fixed shape")
        return tuple(size for size in self.shape if size is not None)

    @property
    def elements(self) -> int:
        """How many elements a tensor with contents has."""
        return prod(self.sizes)


@dataclass(frozen=True, slots=True)
class FileOperator:
    """One operator call; -1 among the inputs is one that was left out."""

    index: int
    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """The first subgraph; inputs and outputs with the names that callers use."""

    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    size_bytes: int
    description: str


def parse(data: bytes) -> TfliteFile:
    """The file's contents. Raises Refusal where it is damaged, or not TFLite."""
    if data[4:8] != IDENTIFIER:
        raise Refusal("is no TFLite file: its identifier TFL3 is missing", Remedy.COPY)
    source = Source(data)
    model = ModelTable(source, source.unsigned(0))
    if model.version != VERSION:
        raise Refusal(f"is of schema version {model.version}; {VERSION} can be read", Remedy.EXPORT)
    subgraphs = model.subgraphs
    if not subgraphs:
        raise damaged("it has no graph")
    signature = next((entry for entry in model.signatures if entry.subgraph == 0), None)
    graph = subgraphs[0]
    buffers = [_contents(buffer, source) for buffer in model.buffers]
    tensors = tuple(_tensor(index, table, buffers) for index, table in enumerate(graph.tensors))
    operators = _operators(graph, model.operator_codes, len(tensors))
    inputs, outputs = graph.inputs or (), graph.outputs or ()
    for index in (*inputs, *outputs):
        if not 0 <= index < len(tensors):
            raise damaged(f"an input or output is tensor {index} of {len(tensors)}")
    if not outputs:
        raise damaged("its graph has no outputs")
    names = _boundary_names(tensors, inputs, outputs, signature)
    return TfliteFile(
        tensors,
        operators,
        tuple(zip(names[: len(inputs)], inputs, strict=True)),
        tuple(zip(names[len(inputs) :], outputs, strict=True)),
        len(data),
        model.description,
    )


def _contents(buffer: BufferTable, source: Source) -> memoryview | None:
    if buffer.offset > 1:  # 0 and 1 mean: inside
        return source.span(buffer.offset, buffer.size_bytes)
    data = buffer.data
    return data if data is not None and len(data) else None


def _tensor(index: int, table: TensorTable, buffers: Sequence[memoryview | None]) -> FileTensor:
    sizes: tuple[int, ...] = table.shape or ()
    signature = table.shape_signature
    if any(size < -1 for size in sizes) or (signature and len(signature) != len(sizes)):
        raise damaged(f"tensor {index} has the shape {sizes} (signature {signature})")
    if table.buffer >= len(buffers):
        raise damaged(f"tensor {index} lies in buffer {table.buffer} of {len(buffers)}")
    contents = buffers[table.buffer]
    shape: Shape = tuple(None if size < 0 else size for size in sizes)
    if signature and contents is None:
        pairs = zip(sizes, signature, strict=True)
        shape = tuple(None if one < 0 or two < 0 else one for one, two in pairs)
    return FileTensor(
        index=index,
        name=table.name or f"tensor_{index}",
        shape=shape,
        type=table.type,
        buffer=contents,
        quantization=_quantization(index, table.quantization, shape),
        sparsity=table.sparsity,
        is_variable=table.is_variable,
    )


def _quantization(index: int, table: QuantizationTable | None, shape: Shape) -> Quantization | None:
    if table is None or table.details_type != 0:
        return None
    scale: Array = table.scale
    if not scale.size:
        return None
    if not np.isfinite(scale).all() or (scale < 0).any():
        raise damaged(f"tensor {index} has a scale that is no positive number")
    # Of what is zero for ever; nothing is divided by it, and zero stays zero.
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    zero_point = table.zero_point
    if not zero_point.size:
        zero_point = np.zeros(scale.size, np.int64)
    if zero_point.size == 1 and scale.size > 1:
        zero_point = np.repeat(zero_point, scale.size)
    if zero_point.size != scale.size:
        raise damaged(f"tensor {index} has {scale.size} scales, {zero_point.size} zero points")
    axis = table.quantized_dimension
    if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
        raise damaged(f"tensor {index} has {scale.size} scales along axis {axis} of {shape}")
    return Quantization(scale, zero_point, axis)


def _operators(
    graph: SubgraphTable, codes: Sequence[OperatorCodeTable], tensors: int
) -> tuple[FileOperator, ...]:
    kinds = [(_kind(code), code.version) for code in codes]
    found = []
    for index, table in enumerate(graph.operators):
        if table.code_index >= len(kinds):
            raise damaged(f"operator {index} has code {table.code_index} of {len(kinds)}")
        kind, version = kinds[table.code_index]
        inputs, outputs = table.inputs or (), table.outputs or ()
        beyond = [i for i in inputs if not -1 <= i < tensors]
        beyond += [i for i in outputs if not 0 <= i < tensors]
        if beyond:
            raise damaged(f"operator {index} {kind} uses tensor {beyond[0]} of {tensors}")
        if not outputs:
            raise damaged(f"operator {index} {kind} has no outputs")
        found.append(FileOperator(index, kind, version, inputs, outputs, table.options))
    return tuple(found)


def _kind(code: OperatorCodeTable) -> str:
    # Codes over 127 do not fit the old field, which then holds 127 (a placeholder).
    number = max(code.builtin_code, code.deprecated_builtin_code)
    if number == _CUSTOM:
        return f"CUSTOM {code.custom_code}".strip()
    return OPERATOR_NAMES.get(number, f"number {number}")


def _boundary_names(
    tensors: Sequence[FileTensor],
    inputs: Sequence[int],
    outputs: Sequence[int],
    signature: SignatureTable | None,
) -> list[str]:
    """Names of inputs then outputs: the signature's where there is one, else the tensors'."""
    of_inputs, of_outputs = {}, {}
    if signature is not None:
        of_inputs = {entry.tensor: entry.name for entry in signature.inputs}
        of_outputs = {entry.tensor: entry.name for entry in signature.outputs}
    wanted = [of_inputs.get(index, "") or tensors[index].name for index in inputs]
    wanted += [of_outputs.get(index, "") or tensors[index].name for index in outputs]
    names: list[str] = []
    taken: set[str] = set()
    for name in wanted:
        unique, number = name, 1
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        names.append(unique)
    return names
