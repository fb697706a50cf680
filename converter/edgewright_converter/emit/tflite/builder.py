"""Collects tensors and operators of one TFLite subgraph and packs them into a FlatBuffer.

Peepholes that hold for every operator live here, so that the operator files need not know of them:
a transposition of a transposition is one, a reshape of a reshape is one, identities vanish, an
activation is fused into its producer, equal constants share a buffer, and operators whose results
nobody reads are not written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.graph.layout import only_unit_axes_move
from edgewright_converter.graph.model import Array, TensorType

TENSOR_TYPES: Mapping[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "float16": schema.TensorType.FLOAT16,
}
_Op = schema.BuiltinOperator
_Activation = schema.ActivationFunctionType
# LiteRT registers most kernels from version 1 on; these came later.
_VERSIONS = {_Op.BROADCAST_TO: 2}
# Operators whose options carry fusedActivationFunction and whose CPU kernels honour it.
_FUSIBLE = frozenset(
    {
        _Op.CONV_2D,
        _Op.DEPTHWISE_CONV_2D,
        _Op.FULLY_CONNECTED,
        _Op.ADD,
        _Op.SUB,
        _Op.MUL,
        _Op.DIV,
        _Op.AVERAGE_POOL_2D,
        _Op.MAX_POOL_2D,
    }
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the file: its index and its type, with axes as they lie in memory."""

    index: int
    type: TensorType


@dataclass(slots=True)
class _Operator:
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any  # one of some hundred FlatBuffer option classes without a common type
    origin: str


@dataclass(slots=True)
class _Stored:
    type: TensorType
    name: str
    data: Array | None = None
    producer: _Operator | None = None
    readers: list[_Operator] = field(default_factory=list)


class Builder:
    """A subgraph in the making."""

    def __init__(self) -> None:
        self._tensors: list[_Stored] = []
        self._operators: list[_Operator] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}
        self.origin = ""

    def input(self, name: str, type_: TensorType) -> Tensor:
        """A tensor that the caller of the model fills."""
        return self._add(_Stored(type_, name))

    def constant(self, array: Array) -> Tensor:
        """A tensor with fixed contents; equal contents give the same tensor."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            stored = _Stored(TensorType.static(array.shape, array.dtype), "constant", array)
            self._constants[key] = self._add(stored)
        return self._constants[key]

    def data(self, tensor: Tensor) -> Array | None:
        """The contents of a constant; None for anything computed."""
        return self._tensors[tensor.index].data

    def name(self, tensor: Tensor, name: str) -> None:
        """Names a tensor that is still known only by its operator."""
        stored = self._tensors[tensor.index]
        if stored.producer is not None:
            stored.name = name

    def operator(
        self,
        code: int,
        inputs: Sequence[Tensor | None],
        types: Sequence[TensorType],
        options: Any = None,  # see _Operator.options
    ) -> list[Tensor]:
        """Appends an operator; `types` are those of its outputs."""
        outputs = [self._add(_Stored(type_, self.origin)) for type_ in types]
        operator = _Operator(
            code,
            tuple(-1 if tensor is None else tensor.index for tensor in inputs),
            tuple(tensor.index for tensor in outputs),
            options,
            self.origin,
        )
        self._operators.append(operator)
        for tensor in outputs:
            self._tensors[tensor.index].producer = operator
        for index in operator.inputs:
            if index >= 0:
                self._tensors[index].readers.append(operator)
        return outputs

    def transpose(self, tensor: Tensor, order: Sequence[int]) -> Tensor:
        """The tensor with its axes in another order; nothing is emitted where nothing moves."""
        order = tuple(order)
        if order == tuple(range(len(order))):
            return tensor
        type_ = tensor.type.permuted(order)
        data = self.data(tensor)
        if data is not None:
            return self.constant(np.transpose(data, order))
        if only_unit_axes_move(tensor.type.shape, order):
            return self.reshape(tensor, type_)
        producer = self._tensors[tensor.index].producer
        if producer is not None and producer.code == _Op.TRANSPOSE:
            first = self._tensors[producer.inputs[1]].data
            assert first is not None
            inner = Tensor(producer.inputs[0], self._tensors[producer.inputs[0]].type)
            return self.transpose(inner, [int(first[axis]) for axis in order])
        permutation = self.constant(np.asarray(order, np.int32))
        return self.operator(
            _Op.TRANSPOSE, [tensor, permutation], [type_], schema.TransposeOptionsT()
        )[0]

    def reshape(self, tensor: Tensor, type_: TensorType) -> Tensor:
        """The same elements under another shape, of which one dimension at most follows
        the batch.
        """
        data = self.data(tensor)
        if data is not None:
            return self.constant(np.reshape(data, type_.sample))
        producer = self._tensors[tensor.index].producer
        while producer is not None and producer.code == _Op.RESHAPE:
            tensor = Tensor(producer.inputs[0], self._tensors[producer.inputs[0]].type)
            producer = self._tensors[tensor.index].producer
        if tensor.type.shape == type_.shape and tensor.type.shape.count(None) <= 1:
            return tensor
        return self.copy(tensor, type_)

    def copy(self, tensor: Tensor, type_: TensorType) -> Tensor:
        """A tensor of its own with the same elements, by RESHAPE."""
        sizes = np.asarray([-1 if size is None else size for size in type_.shape], np.int32)
        options = schema.ReshapeOptionsT()
        options.newShape = sizes
        inputs = [tensor, self.constant(sizes)]
        return self.operator(_Op.RESHAPE, inputs, [type_.typed(tensor.type.dtype)], options)[0]

    def chain(self, tensor: Tensor) -> list[int]:
        """The tensor and what it was merely reshaped or transposed from, nearest first."""
        indices = [tensor.index]
        producer = self._tensors[tensor.index].producer
        while producer is not None and producer.code in (_Op.RESHAPE, _Op.TRANSPOSE):
            indices.append(producer.inputs[0])
            producer = self._tensors[producer.inputs[0]].producer
        return indices

    def fuse(self, tensor: Tensor, activation: int) -> bool:
        """Gives the operator at the root of the tensor's chain an activation, where it can take
        one.

        The caller makes sure that nobody else will read a tensor of the chain.
        """
        chain = self.chain(tensor)
        root = self._tensors[chain[-1]]
        if any(len(self._tensors[index].readers) > 1 for index in chain[1:]) or (
            self._tensors[tensor.index].readers
        ):
            return False
        if root.producer is None or root.producer.code not in _FUSIBLE:
            return False
        if root.producer.options.fusedActivationFunction != _Activation.NONE:
            return False
        root.producer.options.fusedActivationFunction = activation
        return True

    def is_rectified(self, tensor: Tensor) -> bool:
        """Whether the tensor comes out of a RELU or RELU6, so that no element is below zero."""
        producer = self._tensors[self.chain(tensor)[-1]].producer
        if producer is None:
            return False
        fused = getattr(producer.options, "fusedActivationFunction", _Activation.NONE)
        return producer.code in (_Op.RELU, _Op.RELU6) or fused in (
            _Activation.RELU,
            _Activation.RELU6,
        )

    def origin_of(self, position: int, outputs: Sequence[Tensor]) -> str:
        """The ONNX node that the operator at this place of the packed file came from."""
        written = self._live(outputs)
        return written[position].origin if 0 <= position < len(written) else ""

    def pack(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], signature: str
    ) -> bytes:
        """The file: one subgraph, one signature that maps the names to its inputs and outputs."""
        for name, tensor in (*inputs.items(), *outputs.items()):
            self._tensors[tensor.index].name = name
        operators = self._live(list(outputs.values()))
        used = {tensor.index for tensor in (*inputs.values(), *outputs.values())}
        used.update(i for operator in operators for i in (*operator.inputs, *operator.outputs))
        kept = sorted(used - {-1})
        places = {index: place for place, index in enumerate(kept)} | {-1: -1}

        model = schema.ModelT()
        model.version = 3
        model.description = b"edgewright"
        model.buffers = [schema.BufferT()]  # buffer 0 is the empty one by convention
        graph = schema.SubGraphT()
        graph.name = b"main"
        names = _Names(set(inputs) | set(outputs))
        exact = {tensor.index for tensor in (*inputs.values(), *outputs.values())}
        graph.tensors = []
        for index in kept:
            stored = self._tensors[index]
            name = stored.name if index in exact else names.unique(stored.name)
            graph.tensors.append(_tensor(stored, name, model.buffers))
        codes: dict[int, int] = {}
        graph.operators = []
        for operator in operators:
            packed = schema.OperatorT()
            packed.opcodeIndex = codes.setdefault(operator.code, len(codes))
            packed.inputs = np.asarray([places[i] for i in operator.inputs], np.int32)
            packed.outputs = np.asarray([places[i] for i in operator.outputs], np.int32)
            if operator.options is not None:
                kind = type(operator.options).__name__.removesuffix("T")
                packed.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
                packed.builtinOptions = operator.options
            graph.operators.append(packed)
        model.operatorCodes = [_code(code) for code in codes]
        graph.inputs = np.asarray([places[t.index] for t in inputs.values()], np.int32)
        graph.outputs = np.asarray([places[t.index] for t in outputs.values()], np.int32)
        model.subgraphs = [graph]
        definition = schema.SignatureDefT()
        definition.signatureKey = signature.encode()
        definition.subgraphIndex = 0
        definition.inputs = [_entry(name, places[t.index]) for name, t in inputs.items()]
        definition.outputs = [_entry(name, places[t.index]) for name, t in outputs.items()]
        model.signatureDefs = [definition]
        buffer = flatbuffers.Builder(1 << 16)
        buffer.Finish(model.Pack(buffer), b"TFL3")
        return bytes(buffer.Output())

    def _add(self, stored: _Stored) -> Tensor:
        self._tensors.append(stored)
        return Tensor(len(self._tensors) - 1, stored.type)

    def _live(self, outputs: Sequence[Tensor]) -> list[_Operator]:
        wanted = {tensor.index for tensor in outputs}
        kept: list[_Operator] = []
        for operator in reversed(self._operators):
            if wanted.intersection(operator.outputs):
                kept.append(operator)
                wanted.update(operator.inputs)
        return kept[::-1]


class _Names:
    """Gives every tensor a name of its own: ai-edge-quantizer's statistics are keyed by it."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    def unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._taken:
            candidate, number = f"{name};{number}", number + 1
        self._taken.add(candidate)
        return candidate


def _tensor(stored: _Stored, name: str, buffers: list[Any]) -> Any:
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = np.asarray(stored.type.sample, np.int32)
    if not stored.type.is_static:
        sizes = [-1 if size is None else size for size in stored.type.shape]
        tensor.shapeSignature = np.asarray(sizes, np.int32)
    tensor.type = TENSOR_TYPES[stored.type.dtype.name]
    tensor.hasRank = True
    tensor.buffer = 0
    if stored.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(stored.data.tobytes(), np.uint8)
        buffers.append(buffer)
        tensor.buffer = len(buffers) - 1
    return tensor


def _code(code: int) -> Any:
    packed = schema.OperatorCodeT()
    packed.builtinCode = code
    # Readers older than the 32-bit field look at the byte-sized one.
    packed.deprecatedBuiltinCode = min(code, _Op.PLACEHOLDER_FOR_GREATER_OP_CODES)
    packed.version = _VERSIONS.get(code, 1)
    return packed


def _entry(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name = name.encode()
    entry.tensorIndex = index
    return entry
