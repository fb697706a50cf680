"""Collects nodes and constants of one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgewright_converter.graph.model import Array

OPSET = 17
"""What every target and quantizer here takes; nothing that is read needs a newer one."""
_IR_VERSION = 8


class Composer:
    """A graph in the making; every name in it is used once."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._names = set(taken)
        self._numbers: dict[str, int] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._arrays: dict[str, Array] = {}
        self._transposed: dict[str, tuple[str, list[int]]] = {}
        self.origin = ""

    def name(self, wanted: str) -> str:
        """A name that nothing has yet, `wanted` where it is free."""
        name = wanted
        while name in self._names:
            self._numbers[wanted] = self._numbers.get(wanted, 0) + 1
            name = f"{wanted}_{self._numbers[wanted]}"
        self._names.add(name)
        return name

    def constant(self, array: Array) -> str:
        """A value with fixed contents; equal contents give the same value."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, sha256(array.data).digest())
        if key not in self._constants:
            name = self.name(f"{self.origin}/constant")
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
            self._arrays[name] = array
        return self._constants[key]

    def array(self, name: str) -> Array | None:
        """The contents of a constant made here; None for anything computed."""
        return self._arrays.get(name)

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: int = 1,
        *,
        given: Sequence[str] = (),
        **attributes: Any,  # as onnx.helper.make_node takes them
    ) -> list[str]:
        """Appends a node; its outputs get fresh names, or those `given`."""
        names = list(given) or [self.name(f"{self.origin}/{operator}") for _ in range(outputs)]
        node_name = self.name(f"{self.origin}/{operator}_node")
        self._nodes.append(
            helper.make_node(operator, list(inputs), names, name=node_name, **attributes)
        )
        return names

    def transpose(self, value: str, axes: Sequence[int]) -> str:
        """The value with its axes in another order; nothing is added where nothing moves, and a
        transposition of a transposition is one.
        """
        if value in self._transposed:
            value, before = self._transposed[value]
            axes = [before[axis] for axis in axes]
        if list(axes) == list(range(len(axes))):
            return value
        array = self.array(value)
        if array is not None:
            return self.constant(np.transpose(array, axes))
        made = self.node("Transpose", [value], perm=list(axes))[0]
        self._transposed[made] = (value, list(axes))
        return made

    def rename(self, value: str, name: str) -> None:
        """Gives the output of a node another name, everywhere."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if entry == value else entry for entry in names]
        for made, (source, axes) in list(self._transposed.items()):
            if source == value:
                self._transposed[made] = (name, axes)
        if value in self._transposed:
            self._transposed[name] = self._transposed.pop(value)

    def is_computed(self, value: str) -> bool:
        """Whether a node made it; False for inputs and constants."""
        return any(value in node.output for node in self._nodes)

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        producer: str,
    ) -> onnx.ModelProto:
        """The model, without the nodes and constants that no output needs."""
        needed = {value.name for value in outputs}
        kept = []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(node.input)
        constants = [tensor for tensor in self._initializers if tensor.name in needed]
        graph = helper.make_graph(kept[::-1], "main", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = _IR_VERSION
        model.producer_name = producer
        return model
