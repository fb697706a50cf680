"""What an operator file sees while its operator is read: inputs in the wanted order, and where
results go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto

from edgewright_converter.frontend.tflite.composer import Composer
from edgewright_converter.frontend.tflite.file import FileOperator, FileTensor, Quantization
from edgewright_converter.frontend.tflite.flatbuffer import Source, Table
from edgewright_converter.frontend.tflite.order import FILE, Order, Orders
from edgewright_converter.frontend.tflite.quantization import (
    dequantize_constant,
    is_quantized,
    is_wide,
)
from edgewright_converter.frontend.tflite.refusal import Refusal, Remedy, damaged
from edgewright_converter.frontend.tflite.values import Values
from edgewright_converter.graph.model import Array

O = TypeVar("O", bound=Table)  # noqa: E741  # the options' type

_Activation = schema.ActivationFunctionType
_FUNCTIONS = {_Activation.RELU: "Relu", _Activation.TANH: "Tanh"}
_BOUNDS = {_Activation.RELU_N1_TO_1: (-1, 1), _Activation.RELU6: (0, 6)}
_NO_OPTIONS = bytes((4, 0, 4, 0, 4, 0, 0, 0))
"""A table without fields, at byte 4, behind its list of none."""


class Call:
    """One operator call being read."""

    def __init__(self, operator: FileOperator, values: Values, orders: Orders = FILE) -> None:
        self.operator = operator
        self.values = values
        self.composer: Composer = values.composer
        self._orders = orders

    @property
    def in_order(self) -> Order:
        """In which order inputs are read unless another is named."""
        assert self._orders.inputs is not None
        return self._orders.inputs

    @property
    def out_order(self) -> Order:
        """In which order results are given unless another is named."""
        assert self._orders.outputs is not None
        return self._orders.outputs

    def refusal(self, reason: str) -> Refusal:
        """The refusal of this operator."""
        result = self.values.file.tensors[self.operator.outputs[0]]
        return Refusal(
            f"has operator {self.operator.index} {self.operator.kind} "
            f"(output {result.name!r}): {reason}",
            Remedy.EXPORT,
        )

    def refuse(self, reason: str) -> NoReturn:
        """Raises the refusal of this operator."""
        raise self.refusal(reason)

    def options(self, kind: type[O]) -> O:
        """The operator's options; the schema's defaults where the file has none."""
        table = self.operator.options
        if table is None:
            return kind(Source(_NO_OPTIONS), 4)
        return kind(table.source, table.position)

    @property
    def count(self) -> int:
        """How many inputs there are, left out ones included."""
        return len(self.operator.inputs)

    def has(self, position: int) -> bool:
        """Whether an input is given."""
        return position < self.count and self.operator.inputs[position] >= 0

    def index(self, position: int) -> int:
        """Which tensor an input is. Raises Refusal where it is left out."""
        if not self.has(position):
            raise damaged(
                f"operator {self.operator.index} {self.operator.kind} lacks input {position}"
            )
        return self.operator.inputs[position]

    def tensor(self, position: int = 0) -> FileTensor:
        """What the file says of an input."""
        return self.values.file.tensors[self.index(position)]

    def result(self, position: int = 0) -> FileTensor:
        """What the file says of an output."""
        if position >= len(self.operator.outputs):
            raise damaged(
                f"operator {self.operator.index} {self.operator.kind} lacks output {position}"
            )
        return self.values.file.tensors[self.operator.outputs[position]]

    def constant(self, position: int) -> Array | None:
        """The contents of an input known beforehand; None where it is absent or computed."""
        if not self.has(position) or self.index(position) not in self.values.contents:
            return None
        return self.values.contents.real(self.index(position))

    def known(self, position: int, what: str) -> Array:
        """The contents of an input that must be known beforehand."""
        self.index(position)
        found = self.constant(position)
        if found is None:
            self.refuse(f"its {what} must be constant")
        return found

    def integers(self, position: int, what: str) -> list[int]:
        """A constant vector of integers, as operators take axes, sizes and pads."""
        array = self.known(position, what)
        if array.dtype.kind not in "iu" or array.size > 1 << 16:
            raise damaged(f"operator {self.operator.index} has no integers as its {what}")
        return [int(number) for number in array.reshape(-1).tolist()]

    def axis(self, axis: int, rank: int) -> int:
        """Where an axis of the file (may be negative) stands in this operator's order."""
        if not -rank <= axis < rank:
            raise damaged(f"operator {self.operator.index} has axis {axis} of {rank}")
        return self.in_order.place(axis, rank)

    def value(self, position: int = 0, order: Order | None = None) -> str:
        """An input's real numbers, in the operator's order unless another is named."""
        return self.values.real(self.index(position), order or self.in_order)

    def operand(self, position: int, rank: int) -> str:
        """An input that broadcasts to `rank` axes in this operator's order."""
        own = self.tensor(position).rank
        axes = self.in_order.axes(rank)
        if own == rank or own == 0 or axes == tuple(range(rank)):
            return self.value(position)
        if own > rank:
            raise damaged(f"operator {self.operator.index} broadcasts {own} axes to {rank}")
        value, lead = self.value(position, Order.FILE), list(range(rank - own))
        array = self.composer.array(value)
        if array is not None:
            lifted = self.composer.constant(np.expand_dims(array, tuple(lead)))
        else:
            lifted = self.node("Unsqueeze", [value, self.ints(lead)])
        return self.composer.transpose(lifted, axes)

    def integer_operand(self, position: int) -> str:
        """A vector of integers, computed or not, as int64: what ONNX takes sizes in."""
        if self.index(position) in self.values.contents:
            return self.ints(self.integers(position, "integers"))
        value = self.values.stored(self.index(position), Order.FILE)
        flat = self.node("Reshape", [value, self.ints([-1])])
        return self.node("Cast", [flat], to=TensorProto.INT64)

    def weights(self, position: int, axes: Sequence[int], *, data: int = 0) -> str:
        """Weights with their axes in another order.

        Where the input `data` is of 8 bits they stay so, behind DequantizeLinear.
        """
        index, tensor = self.index(position), self.tensor(position)
        if tensor.rank != len(axes):
            raise damaged(
                f"operator {self.operator.index} has weights of {tensor.rank} axes, not {len(axes)}"
            )
        quantization = tensor.quantization
        integer = is_quantized(tensor) and self._computes_narrow(data)
        if index in self.values.contents and integer and tensor.dtype.itemsize == 1:
            assert quantization is not None
            stored = np.transpose(self.values.contents.stored(index), axes)
            self.values.contents.charge(stored.nbytes)
            channel = list(axes).index(quantization.axis) if quantization.scale.size > 1 else 0
            return dequantize_constant(self.composer, stored, quantization, channel)
        return self.composer.transpose(self.value(position, Order.FILE), axes)

    def bias(self, position: int, *, weights: int, data: int = 0) -> str | None:
        """A bias, one element for each output channel; None where there is none."""
        if not self.has(position):
            return None
        index, tensor = self.index(position), self.tensor(position)
        image, filters = self.tensor(data).quantization, self.tensor(weights).quantization
        if tensor.dtype.kind != "i" or image is None or filters is None:
            return self.value(position, Order.FILE)
        if index not in self.values.contents:
            self.refuse("its integer bias must be constant")
        stored = self.values.contents.stored(index).reshape(-1)
        # The specification ties it so; some files leave the bias' own scale out.
        with np.errstate(over="ignore"):  # of a file that makes no sense; infinite, not wrong
            scale: Array = image.scale[0] * filters.scale
        narrow = stored.dtype == np.int32 and self._computes_narrow(data)
        if not narrow or scale.size not in (1, stored.size):
            real = stored.astype(np.float64) * np.resize(scale, stored.size)
            return self.composer.constant(real.astype(np.float32))
        quantization = Quantization(scale, np.zeros(scale.size, np.int64), 0)
        return dequantize_constant(self.composer, stored, quantization, 0)

    def _computes_narrow(self, data: int) -> bool:
        """Whether an input is of 8 bits."""
        return is_quantized(self.tensor(data)) and not is_wide(self.tensor(data))

    def ints(self, numbers: Sequence[int]) -> str:
        """A constant of int64."""
        return self.composer.constant(np.asarray(numbers, np.int64))

    def number(self, number: float) -> str:
        """A scalar of float32."""
        return self.composer.constant(np.asarray(number, np.float32))

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Appends a node with one output; attributes as onnx.helper.make_node takes them."""
        return self.composer.node(operator, inputs, **attributes)[0]

    def activated(self, value: str, code: int) -> str:
        """The value behind a fused activation (ActivationFunctionType)."""
        if code == 0:
            return value
        if code in _BOUNDS:
            return self.node("Clip", [value, *(self.number(bound) for bound in _BOUNDS[code])])
        if code not in _FUNCTIONS:
            self.refuse(f"the fused activation {code} is not known")
        return self.node(_FUNCTIONS[code], [value])

    def give(self, value: str, position: int = 0, order: Order | None = None) -> None:
        """Says which value holds an output's real numbers, in the operator's order unless
        another is named.
        """
        self.values.bind_real(self.result(position).index, order or self.out_order, value)
