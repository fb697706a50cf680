"""The ONNX values that hold the file's tensors, in the orders and forms made so far."""

from __future__ import annotations

import numpy as np

from edgewright_converter.frontend.tflite.composer import Composer
from edgewright_converter.frontend.tflite.contents import Contents
from edgewright_converter.frontend.tflite.file import FileTensor, TfliteFile
from edgewright_converter.frontend.tflite.order import Order
from edgewright_converter.frontend.tflite.quantization import dequantize, is_quantized, quantize
from edgewright_converter.frontend.tflite.refusal import damaged

_Held = dict[tuple[int, Order], str]


class Values:
    """Every tensor has a form as the file stores it; a quantized one has another, in float32."""

    def __init__(self, file: TfliteFile, contents: Contents, composer: Composer) -> None:
        self.file = file
        self.contents = contents
        self.composer = composer
        self._stored: _Held = {}
        self._real: _Held = {}

    def bind(self, index: int, order: Order, value: str) -> None:
        """Says what holds a tensor as it is stored."""
        tensor = self.file.tensors[index]
        if self.is_computed(index):
            raise damaged(f"tensor {index} {tensor.name!r} is written twice")
        self._stored[index, _plain(order, tensor)] = value

    def is_computed(self, index: int) -> bool:
        """Whether an input or an operator has given the tensor already."""
        return any((index, order) in self._stored for order in Order)

    def bind_real(self, index: int, order: Order, value: str) -> None:
        """Says what holds a tensor's real numbers; they are quantized where the file's are."""
        tensor = self.file.tensors[index]
        if is_quantized(tensor):
            value = quantize(self.composer, value, tensor)
        self.bind(index, order, value)

    def rename(self, value: str, name: str) -> None:
        """Follows a value that got another name."""
        for held in (self._stored, self._real):
            held.update({key: name for key, entry in held.items() if entry == value})

    def stored(self, index: int, order: Order) -> str:
        """A tensor as it is stored, transposed (once) where it must be."""
        tensor = self.file.tensors[index]
        order = _plain(order, tensor)
        if (index, order) in self._stored:
            return self._stored[index, order]
        axes = order.axes(tensor.rank)
        if index in self.contents:
            array = self.contents.stored(index)
            self.contents.charge(array.nbytes)
            return self.composer.constant(np.transpose(array, axes))
        other = Order.FILE if order is Order.CHANNELS_FIRST else Order.CHANNELS_FIRST
        if (index, other) not in self._stored:
            raise damaged(f"tensor {index} {tensor.name!r} is read before it is computed")
        if order is Order.FILE:
            first = Order.CHANNELS_FIRST.axes(tensor.rank)
            axes = tuple(first.index(axis) for axis in range(tensor.rank))
        made = self.composer.transpose(self._stored[index, other], axes)
        self._stored[index, order] = made
        return made

    def real(self, index: int, order: Order) -> str:
        """A tensor's real numbers (what is not quantized is what it is)."""
        tensor = self.file.tensors[index]
        order = _plain(order, tensor)
        if (index, order) in self._real:
            return self._real[index, order]
        if index in self.contents:
            array = self.contents.real(index)
            self.contents.charge(array.nbytes)
            made = self.composer.constant(np.transpose(array, order.axes(tensor.rank)))
        elif is_quantized(tensor):
            made = dequantize(self.composer, self.stored(index, order), tensor)
        else:
            return self.stored(index, order)
        self._real[index, order] = made
        return made


def _plain(order: Order, tensor: FileTensor) -> Order:
    return Order.FILE if order.axes(tensor.rank) == Order.FILE.axes(tensor.rank) else order
