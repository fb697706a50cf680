"""What an operator file sees while its node is written: inputs in the wanted layout, and where
results go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Builder, Tensor
from edgewright_converter.errors import UnsupportedOperator
from edgewright_converter.graph.layout import Layout, Placement
from edgewright_converter.graph.model import Array, Graph, Node, TensorType

TARGET = "tflite"
_Op = schema.BuiltinOperator
_BINARY_OPTIONS: Mapping[int, Callable[[], Any]] = {
    _Op.ADD: schema.AddOptionsT,
    _Op.SUB: schema.SubOptionsT,
    _Op.MUL: schema.MulOptionsT,
    _Op.DIV: schema.DivOptionsT,
    _Op.MAXIMUM: schema.MaximumMinimumOptionsT,
    _Op.MINIMUM: schema.MaximumMinimumOptionsT,
    _Op.POW: schema.PowOptionsT,
    _Op.FLOOR_MOD: schema.FloorModOptionsT,
    _Op.SQUARED_DIFFERENCE: schema.SquaredDifferenceOptionsT,
}


class Values:
    """The tensors that hold the graph's values, in the layouts made so far."""

    def __init__(self, graph: Graph, builder: Builder) -> None:
        self.graph = graph
        self.builder = builder
        self._tensors: dict[tuple[str, Layout], Tensor] = {}
        self._bound: dict[int, set[str]] = {}

    def bind(self, name: str, layout: Layout, tensor: Tensor) -> None:
        """Says which tensor holds a value."""
        if layout.order(tensor.type.rank) == Layout.SOURCE.order(tensor.type.rank):
            layout = Layout.SOURCE
        self._tensors[name, layout] = tensor
        self._bound.setdefault(tensor.index, set()).add(name)

    def held(self, name: str, layout: Layout) -> Tensor | None:
        """The tensor that holds a value in this layout, if one was made."""
        return self._tensors.get((name, layout))

    def tensor(self, name: str, layout: Layout) -> Tensor:
        """A tensor that holds a value in this layout, transposed (once) where it must be."""
        rank = self.graph.types[name].rank
        if layout.order(rank) == Layout.SOURCE.order(rank):
            layout = Layout.SOURCE
        found = self._tensors.get((name, layout))
        if found is not None:
            return found
        if name in self.graph.constants:
            made = self.builder.constant(
                np.transpose(self.graph.constants[name], layout.order(rank))
            )
        elif layout is Layout.CHANNELS_LAST:
            made = self.builder.transpose(self._tensors[name, Layout.SOURCE], layout.order(rank))
        else:
            order = Layout.CHANNELS_LAST.order(rank)
            back = [order.index(axis) for axis in range(rank)]
            made = self.builder.transpose(self._tensors[name, Layout.CHANNELS_LAST], back)
        self._tensors[name, layout] = made
        return made

    def is_private(self, tensor: Tensor) -> bool:
        """Whether every value that lies in the tensor, or in what it was reshaped from, has one
        reader.
        """
        return all(
            self.graph.uses(name) == 1 and name not in self.graph.outputs
            for index in self.builder.chain(tensor)
            for name in self._bound.get(index, ())
        )


class Emission:
    """One node being written."""

    def __init__(self, node: Node, values: Values, placement: Placement) -> None:
        assert placement.inputs is not None
        assert placement.outputs is not None
        self.node = node
        self.graph = values.graph
        self.builder = values.builder
        self.values = values
        self.input_layout = placement.inputs
        self.output_layout = placement.outputs

    def refuse(self, reason: str) -> NoReturn:
        """Raises the refusal of this node."""
        raise self.refusal(reason)

    def refusal(self, reason: str) -> UnsupportedOperator:
        """The refusal of this node, where the raise must stand in the operator file."""
        return self.node.refusal(TARGET, reason)

    def has(self, position: int) -> bool:
        """Whether an optional input is given."""
        return position < len(self.node.inputs) and bool(self.node.inputs[position])

    def wants(self, position: int) -> bool:
        """Whether an optional output is read by anybody."""
        outputs = self.node.outputs
        return position < len(outputs) and self.graph.uses(outputs[position]) > 0

    def type(self, position: int = 0) -> TensorType:
        """Type of an input, axes in ONNX order."""
        return self.graph.types[self.node.inputs[position]]

    def result(self, position: int = 0) -> TensorType:
        """Type of an output, axes in ONNX order."""
        return self.graph.types[self.node.outputs[position]]

    def result_in_memory(self, position: int = 0) -> TensorType:
        """Type of an output, axes as they lie in memory."""
        type_ = self.result(position)
        return type_.permuted(self.output_layout.order(type_.rank))

    def constant(self, position: int) -> Array | None:
        """The contents of an input known beforehand; None where it is absent or computed."""
        return self.graph.constants.get(self.node.inputs[position]) if self.has(position) else None

    def known(self, position: int, what: str) -> Array:
        """The contents of an input that must be known beforehand."""
        found = self.constant(position)
        if found is None:
            self.refuse(f"its {what} must be constant for this target")
        return found

    def integers(self, name: str, position: int) -> tuple[int, ...] | None:
        """A list of integers that is an attribute in old opsets and a constant input in
        newer ones.
        """
        value = self.node.integers(name)
        if value is None and self.has(position):
            value = tuple(int(element) for element in self.known(position, name).reshape(-1))
        return value

    def tensor(self, position: int = 0, layout: Layout | None = None) -> Tensor:
        """An input in a layout; the node's own unless another is named."""
        return self.values.tensor(self.node.inputs[position], layout or self.input_layout)

    def operand(self, position: int, rank: int) -> Tensor:
        """An input of an elementwise operator, so that it broadcasts in the node's layout.

        ONNX broadcasts from the last axis, so missing axes are put in front before channels move
        back.
        """
        type_ = self.type(position)
        order = self.input_layout.order(rank)
        if type_.rank == rank or order == tuple(range(rank)) or type_.rank == 0:
            return self.tensor(position)
        lifted = type_
        for _ in range(rank - type_.rank):
            lifted = lifted.inserted(0)
        source = self.tensor(position, Layout.SOURCE)
        return self.builder.transpose(self.reshape(source, lifted), order)

    def operator(
        self,
        code: int,
        inputs: Sequence[Tensor | None],
        type_: TensorType,
        options: Any = None,  # see Builder.operator
    ) -> Tensor:
        """Appends an operator with one output of this type (axes as they lie in memory)."""
        return self.builder.operator(code, inputs, [type_], options)[0]

    def binary(self, code: int, left: Tensor, right: Tensor, type_: TensorType) -> Tensor:
        """ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM or another operator of two arguments."""
        options = _BINARY_OPTIONS.get(code)
        return self.operator(code, [left, right], type_, options() if options else None)

    def reshape(self, tensor: Tensor, type_: TensorType) -> Tensor:
        """The same elements in the same order under another shape."""
        if type_.shape != tensor.type.shape and type_.shape.count(None) > 1:
            self.refuse(f"a shape with several dynamic dimensions ({type_.shape}) cannot be made")
        if tensor.type.is_static != type_.is_static:
            self.refuse("it fixes the batch size; export the model with a dynamic batch")
        return self.builder.reshape(tensor, type_)

    def indices(self, values: Sequence[int]) -> Tensor:
        """A constant of int32, as operators take axes, sizes and pads."""
        return self.builder.constant(np.asarray(values, np.int32))

    def padded(self, type_: TensorType, pads: Sequence[tuple[int, int]]) -> TensorType:
        """A type grown by the pads of each of its axes."""
        grown: dict[int, int] = {}
        for axis, (begin, end) in enumerate(pads):
            size = type_.shape[axis]
            if (begin, end) != (0, 0):
                if size is None:
                    self.refuse(f"it pads axis {axis}, whose size follows the batch")
                grown[axis] = size + begin + end
        return type_.sized(grown)

    def shape(self, type_: TensorType) -> Tensor:
        """A shape as operators take it: a constant, or computed where the batch is dynamic."""
        if type_.is_static:
            return self.indices(type_.sample)
        if any(
            size is None and concrete != 1
            for size, concrete in zip(type_.shape, type_.sample, strict=True)
        ):
            self.refuse(f"its shape {type_.sample} holds a multiple of the batch size")
        batch = self._batch()
        parts = [batch if size is None else self.indices([size]) for size in type_.shape]
        options = schema.ConcatenationOptionsT()
        options.axis = 0
        joined = TensorType.static((type_.rank,), batch.type.dtype)
        return self.operator(_Op.CONCATENATION, parts, joined, options)

    def _batch(self) -> Tensor:
        """The batch size while the model runs, int32 [1]."""
        name = next(
            name for name in self.graph.inputs if self.graph.types[name].shape[:1] == (None,)
        )
        source = self.values.tensor(name, Layout.SOURCE)
        options = schema.ShapeOptionsT()
        options.outType = schema.TensorType.INT32
        integers = np.dtype(np.int32)
        sizes = TensorType.static((source.type.rank,), integers)
        whole = self.operator(_Op.SHAPE, [source], sizes, options)
        bounds = [self.indices([value]) for value in (0, 1, 1)]
        first = TensorType.static((1,), integers)
        return self.operator(
            _Op.STRIDED_SLICE, [whole, *bounds], first, schema.StridedSliceOptionsT()
        )

    def filled(self, value: float, dtype: np.dtype[np.generic]) -> Tensor:
        """A constant that broadcasts to the node's result."""
        shape = (1,) if self.result().rank else ()
        return self.builder.constant(np.full(shape, value, dtype))

    def give(self, tensor: Tensor, position: int = 0, layout: Layout | None = None) -> None:
        """Says which tensor holds an output, in the node's layout unless another is named."""
        name = self.node.outputs[position]
        chosen = layout or self.output_layout
        expected = self.graph.types[name]
        shape = expected.permuted(chosen.order(expected.rank)).shape
        assert tensor.type.shape == shape, f"{self.node.name}: {tensor.type.shape}, not {shape}"
        self.builder.name(tensor, name)
        self.values.bind(name, chosen, tensor)
