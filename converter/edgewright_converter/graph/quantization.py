"""QuantizeLinear and DequantizeLinear as the arithmetic of real numbers that they stand for.

    QuantizeLinear    x / scale, rounded (halves to even), + zero point, clipped to the type
    DequantizeLinear  (x - zero point) * scale

A writer then needs no operator for them. Between a QuantizeLinear and a DequantizeLinear, also
through operators that only move elements, the integers are float32, which holds them exactly;
they become integers only for others who read them. Weights and biases that are stored as integers
become float. Scales that are computed, or given per block of an axis, are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgewright_converter.graph.model import Array, Graph, Node, TensorType

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_EXACT = ("int8", "uint8", "int16", "uint16")
"""Integers that float32 holds."""
_MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_FLOAT = np.dtype(np.float32)
_NOTHING = np.zeros((), np.float32)


def express_quantization(graph: Graph) -> Graph:
    """The graph with both operators written out where their scales are known beforehand.

    Integer forms that nobody reads are still in it.
    """
    writing = _Writing(graph)
    return writing.graph() if any(node.operator in _PAIR for node in graph.nodes) else graph


class _Writing:
    def __init__(self, graph: Graph) -> None:
        self._source = graph
        self._nodes: list[Node] = []
        self._types = dict(graph.types)
        self._constants = dict(graph.constants)
        self._real: dict[str, tuple[str, Array]] = {}
        """Integer values that exist as float32 too: the name, and the zero point that is taken off
        already."""
        for node in graph.nodes:
            self._write(node)

    def graph(self) -> Graph:
        return replace(
            self._source,
            nodes=tuple(self._nodes),
            types=self._types,
            constants=self._constants,
        )

    def _write(self, node: Node) -> None:
        parameters = self._parameters(node)
        if parameters is None:
            self._nodes.append(node)
            if node.operator in _MOVES and node.inputs[0] in self._real:
                self._move(node)
        elif node.inputs[0] in self._constants:
            self._store(node, *parameters)
        elif node.operator == "QuantizeLinear":
            self._quantize(node, *parameters)
        else:
            self._dequantize(node, *parameters)

    def _parameters(self, node: Node) -> tuple[Array, Array] | None:
        """Scale and zero point in float32, so that they broadcast; None where it stays."""
        if node.operator not in _PAIR or node.domain not in ("", "ai.onnx"):
            return None
        narrow = node.outputs[0] if node.operator == "QuantizeLinear" else node.inputs[0]
        wide = node.inputs[0] if node.operator == "QuantizeLinear" else node.outputs[0]
        scale = self._constants.get(node.inputs[1])
        has_zero = len(node.inputs) > 2 and bool(node.inputs[2])
        zero = self._constants.get(node.inputs[2]) if has_zero else np.zeros((), np.int8)
        if scale is None or zero is None or node.integer("block_size", 0):
            return None
        exact = self._types[narrow].dtype.name in _EXACT or node.inputs[0] in self._constants
        if not exact or self._types[wide].dtype != _FLOAT:
            return None
        shape = [1] * self._types[wide].rank
        if scale.size > 1:
            shape[node.integer("axis", 1)] = scale.size
        return (
            scale.astype(np.float32).reshape(shape),
            np.broadcast_to(zero.astype(np.float32), scale.shape).reshape(shape),
        )

    def _quantize(self, node: Node, scale: Array, zero: Array) -> None:
        result = node.outputs[0]
        type_ = self._types[result]
        bounds = np.iinfo(type_.dtype.name)
        taken = _NOTHING
        value = self._step(node, "Div", 14, [node.inputs[0], self._known(node, "scale", scale)])
        value = self._step(node, "Round", 11, [value])
        if zero.size == 1:
            taken = zero.reshape(())  # put back only where integers are read
        else:
            value = self._step(node, "Add", 14, [value, self._known(node, "zero", zero)])
        limits = [
            self._known(node, what, np.asarray(end - taken, np.float32))
            for what, end in (("lowest", bounds.min), ("highest", bounds.max))
        ]
        value = self._step(node, "Clip", 13, [value, *limits])
        self._real[result] = (value, taken)
        if taken.any():
            value = self._step(node, "Add", 14, [value, self._known(node, "zero", taken)])
        self._append(node, "Cast", 13, [value], result)

    def _dequantize(self, node: Node, scale: Array, zero: Array) -> None:
        value, taken = self._real.get(node.inputs[0], ("", _NOTHING))
        if not value:
            value = self._fresh(node, "real")
            self._types[value] = self._types[node.outputs[0]]
            self._append(node, "Cast", 13, [node.inputs[0]], value)
        rest = zero - taken
        if rest.any():
            value = self._step(node, "Sub", 14, [value, self._known(node, "zero", rest)])
        inputs = [value, self._known(node, "scale", scale)]
        self._append(node, "Mul", 14, inputs, node.outputs[0])

    def _store(self, node: Node, scale: Array, zero: Array) -> None:
        known, type_ = self._constants[node.inputs[0]], self._types[node.outputs[0]]
        if node.operator == "DequantizeLinear":
            value = (known.astype(np.float32) - zero) * scale
        else:
            bounds = np.iinfo(type_.dtype.name)
            value = np.clip(np.rint(known / scale) + zero, bounds.min, bounds.max)
        self._constants[node.outputs[0]] = value.astype(type_.dtype)

    def _move(self, node: Node) -> None:
        moved = self._fresh(node, "real")
        self._types[moved] = self._types[node.outputs[0]].typed(_FLOAT)
        real, zero = self._real[node.inputs[0]]
        inputs = (real, *node.inputs[1:])
        self._nodes.append(replace(node, inputs=inputs, outputs=(moved,)))
        self._real[node.outputs[0]] = (moved, zero)

    def _step(self, node: Node, operator: str, version: int, inputs: Sequence[str]) -> str:
        result = self._fresh(node, operator.lower())
        self._types[result] = self._types[node.outputs[0]].typed(_FLOAT)
        self._append(node, operator, version, inputs, result)
        return result

    def _append(
        self, node: Node, operator: str, version: int, inputs: Sequence[str], result: str
    ) -> None:
        # What a Cast gives is said by the type of its result.
        self._nodes.append(Node(node.name, operator, "", version, tuple(inputs), (result,)))

    def _known(self, node: Node, what: str, value: Array) -> str:
        name = self._fresh(node, what)
        self._constants[name] = value
        self._types[name] = TensorType.static(value.shape, value.dtype)
        return name

    def _fresh(self, node: Node, what: str) -> str:
        name = f"{node.outputs[0]}.{what}"
        while name in self._types:
            name += "'"
        return name
