"""Chooses for every node whether it computes in the source's axis order or with channels last.

ONNX keeps channels at axis 1; convolutions of TFLite want them last. Most operators can compute in
either order, so the cheapest choice is a minimum cut: an edge is a value that two nodes want in
different orders, its capacity the elements that a transposition would move (paid once per value,
since the transposed copy is shared). This is the project-selection construction (Picard, 1976).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewright_converter.graph.minimum_cut import UNCUTTABLE, FlowNetwork
from edgewright_converter.graph.model import Graph, TensorType


class Layout(enum.Enum):
    """The order of a value's axes in memory."""

    SOURCE = "source"
    CHANNELS_LAST = "channels_last"

    def order(self, rank: int) -> tuple[int, ...]:
        """Which of the value's axes stand at each place in memory."""
        if self is Layout.SOURCE or rank < 3:
            return tuple(range(rank))
        return (0, *range(2, rank), 1)

    def place(self, axis: int, rank: int) -> int:
        """Where an axis (may be negative) stands in memory."""
        return self.order(rank).index(axis % rank)


@dataclass(frozen=True, slots=True)
class Placement:
    """In which layout a node reads and writes; None: free to read either, and to write
    as it reads.
    """

    inputs: Layout | None
    outputs: Layout | None


FREE = Placement(None, None)
SOURCE = Placement(Layout.SOURCE, Layout.SOURCE)
CHANNELS_LAST = Placement(Layout.CHANNELS_LAST, Layout.CHANNELS_LAST)


def only_unit_axes_move(sizes: Sequence[int | None], order: Sequence[int]) -> bool:
    """Whether the transposition leaves the elements where they are, so that a reshape does it."""
    moved = [axis for axis in order if sizes[axis] != 1]
    return moved == sorted(moved)


def _transposition_cost(value: TensorType) -> int:
    order = Layout.CHANNELS_LAST.order(value.rank)
    if order == tuple(range(value.rank)):
        return 0
    return 1 if only_unit_axes_move(value.shape, order) else 2 * max(value.elements, 1)


def choose_layouts(graph: Graph, placements: Mapping[str, Placement]) -> dict[str, Placement]:
    """Decides every free placement so that the fewest elements are transposed.

    `placements` and the result are keyed by `Node.key`. Inputs and outputs of the graph
    are in the source's order.
    """
    network = FlowNetwork()
    ends = {Layout.SOURCE: 0, Layout.CHANNELS_LAST: 1}
    reading: dict[str, int] = {}
    produced: dict[str, int] = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        placement = placements[node.key]
        vertex = network.vertex() if placement.inputs is None else ends[placement.inputs]
        reading[node.key] = vertex
        for name in node.outputs:
            produced[name] = vertex if placement.outputs is None else ends[placement.outputs]
    for name, writer in produced.items():
        cost = _transposition_cost(graph.types[name]) if name in graph.types else 0
        readers = {reading[node.key] for node in graph.consumers(name)}
        if name in graph.outputs:
            readers.add(0)
        if cost and readers - {writer}:
            _join(network, writer, readers, cost)
    source = network.source_side()

    def decided(vertex: int) -> Layout:
        return Layout.SOURCE if vertex in source else Layout.CHANNELS_LAST

    return {
        node.key: Placement(decided(reading[node.key]), decided(produced[node.key]))
        for node in graph.nodes
    }


def _join(network: FlowNetwork, writer: int, readers: set[int], cost: int) -> None:
    """One cost however many readers differ from the writer, in either direction."""
    to_last, to_source = network.vertex(), network.vertex()
    network.edge(writer, to_last, cost)
    network.edge(to_source, writer, cost)
    for reader in readers:
        network.edge(to_last, reader, UNCUTTABLE)
        network.edge(reader, to_source, UNCUTTABLE)
