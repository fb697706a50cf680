"""Which operators compute with channels in front (as ONNX's windows want), which as in the file.

The same minimum cut that places transpositions for the writer: seen from here the file's order,
channels last, is the given one.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from edgewright_converter.frontend.tflite.file import FileOperator, TfliteFile
from edgewright_converter.graph.layout import Layout, Placement, choose_layouts
from edgewright_converter.graph.model import Graph, Node, TensorType


class Order(enum.Enum):
    """The order of a value's axes."""

    FILE = "file"
    CHANNELS_FIRST = "channels_first"

    def axes(self, rank: int) -> tuple[int, ...]:
        """Which of the file's axes stand at each place."""
        if self is Order.FILE or rank < 3:
            return tuple(range(rank))
        return (0, rank - 1, *range(1, rank - 1))

    def place(self, axis: int, rank: int) -> int:
        """Where an axis of the file (may be negative) stands."""
        return self.axes(rank).index(axis % rank)


@dataclass(frozen=True, slots=True)
class Orders:
    """How an operator reads and writes; None: either, and it writes as it reads."""

    inputs: Order | None
    outputs: Order | None


FREE = Orders(None, None)
FILE = Orders(Order.FILE, Order.FILE)
CHANNELS_FIRST = Orders(Order.CHANNELS_FIRST, Order.CHANNELS_FIRST)
TO_FILE = Orders(None, Order.FILE)
"""Reads either, and writes so few axes that there is only the file's order."""

_LAYOUTS = {Order.FILE: Layout.SOURCE, Order.CHANNELS_FIRST: Layout.CHANNELS_LAST}
_ORDERS = {layout: order for order, layout in _LAYOUTS.items()}


def choose_orders(
    file: TfliteFile, wanted: Mapping[int, Orders], known: Collection[int]
) -> dict[int, Orders]:
    """Decides every free order so that the fewest elements are transposed.

    `wanted` and the result are keyed by the operator's index; `known` are constant tensors, which
    cost nothing to transpose.
    """
    operators = [operator for operator in file.operators if operator.index in wanted]
    graph = _graph(file, operators, known)
    layouts = choose_layouts(
        graph,
        {
            node.key: _placement(wanted[operator.index])
            for node, operator in zip(graph.nodes, operators, strict=True)
        },
    )
    decided = {}
    for node, operator in zip(graph.nodes, operators, strict=True):
        placement = layouts[node.key]
        assert placement.inputs is not None
        assert placement.outputs is not None
        decided[operator.index] = Orders(_ORDERS[placement.inputs], _ORDERS[placement.outputs])
    return decided


def _placement(orders: Orders) -> Placement:
    return Placement(
        None if orders.inputs is None else _LAYOUTS[orders.inputs],
        None if orders.outputs is None else _LAYOUTS[orders.outputs],
    )


def _graph(file: TfliteFile, operators: list[FileOperator], known: Collection[int]) -> Graph:
    """What `choose_layouts` looks at: who reads what, and how large it is."""
    types = {}
    for tensor in file.tensors:
        if tensor.index not in known:
            shape = tuple(tensor.shape[axis] for axis in Order.CHANNELS_FIRST.axes(tensor.rank))
            sample = tuple(1 if size is None else size for size in shape)
            types[str(tensor.index)] = TensorType(shape, sample, np.dtype(np.float32))
    nodes = tuple(
        Node(
            name=str(operator.index),
            operator=operator.kind,
            domain="",
            version=operator.version,
            inputs=tuple(str(i) for i in operator.inputs if i >= 0 and i not in known),
            outputs=tuple(str(i) for i in operator.outputs),
        )
        for operator in operators
    )
    return Graph(
        inputs=tuple(str(index) for _, index in file.inputs),
        outputs=tuple(str(index) for _, index in file.outputs),
        nodes=nodes,
        types=types,
        constants={},
        shape_vectors={},
        batch_dependent=frozenset(),
    )
