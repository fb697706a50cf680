"""Cuts long sums in two, for engines that add up in a single float32.

Rounding errors grow with the length of a sum; half as many terms, and once more their halves,
lose fewer bits. It costs a copy of the input and an addition, so it is done where it is needed.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from edgewright_converter.graph.model import Array, Graph, Node, TensorType

_LONG = 256
"""Terms of a sum that is cut."""


def cut_long_sums(graph: Graph) -> Graph:
    """The graph with Conv and MatMul over many channels as two over half of them, and a sum."""
    cutting = _Cutting(graph)
    return replace(
        graph, nodes=tuple(cutting.nodes), types=cutting.types, constants=cutting.constants
    )


class _Cutting:
    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.types = dict(graph.types)
        self.constants = dict(graph.constants)
        for node in graph.nodes:
            axis = self._axis(node)
            if axis is None:
                self.nodes.append(node)
            else:
                self._cut(node, axis)

    def _axis(self, node: Node) -> int | None:
        """The axis of the weights that is summed over, where the sum is long."""
        weights = self.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if weights is None or weights.dtype != np.float32:
            return None
        if node.operator == "Conv" and node.integer("group", 1) == 1:
            axis, terms = 1, prod(weights.shape[1:])
        elif node.operator == "MatMul" and weights.ndim == 2:
            axis, terms = 0, weights.shape[0]
        else:
            return None
        return axis if terms >= _LONG and weights.shape[axis] > 1 else None

    def _cut(self, node: Node, axis: int) -> None:
        source, result = node.inputs[0], node.outputs[0]
        type_ = self.types[source]
        place = 1 if node.operator == "Conv" else type_.rank - 1
        weights = self.constants[node.inputs[1]]
        half = weights.shape[axis] // 2
        sizes = (half, weights.shape[axis] - half)
        parts = [
            self._named(node, f"part{i}", type_.sized({place: s})) for i, s in enumerate(sizes)
        ]
        cut = (source, self._known(node, "sizes", np.asarray(sizes, np.int64)))
        self.nodes.append(Node(node.name, "Split", "", 13, cut, tuple(parts), {"axis": place}))
        sums = []
        for index, (part, kernel) in enumerate(
            zip(parts, np.split(weights, [half], axis=axis), strict=True)
        ):
            bias = node.inputs[2:] if index == 0 else ()
            inputs = (part, self._known(node, f"weights{index}", kernel), *bias)
            sums.append(self._named(node, f"sum{index}", self.types[result]))
            self.nodes.append(replace(node, inputs=inputs, outputs=(sums[-1],)))
        self.nodes.append(
            replace(node, operator="Add", version=14, inputs=tuple(sums), attributes={})
        )

    def _known(self, node: Node, what: str, value: Array) -> str:
        name = self._named(node, what, TensorType.static(value.shape, value.dtype))
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def _named(self, node: Node, what: str, type_: TensorType) -> str:
        name = f"{node.outputs[0]}.{what}"
        while name in self.types:
            name += "'"
        self.types[name] = type_
        return name
