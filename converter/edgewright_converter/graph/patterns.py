"""Finds operators that an exporter wrote in pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgewright_converter.graph.model import Graph, Node

_CONSTANT_FIRST = ("Add", "Mul")


def join_hard_swish(graph: Graph) -> Graph:
    """The graph with x Clip(x + 3, 0, 6) / 6 as the operator HardSwish that it is (HardSwish-14).

    Pieces that somebody else reads too stay what they are.
    """
    nodes = list(graph.nodes)
    for last in graph.nodes:
        pieces = _hard_swish(graph, last)
        if pieces is None:
            continue
        gone = {node.key for node in pieces}
        place = next(index for index, node in enumerate(nodes) if node.key == last.key)
        nodes[place] = replace(
            last,
            operator="HardSwish",
            version=14,
            inputs=pieces[0].inputs,
            attributes={},
        )
        nodes = [node for node in nodes if node.key not in gone or node.key == last.key]
    return replace(graph, nodes=tuple(nodes)) if len(nodes) < len(graph.nodes) else graph


def _hard_swish(graph: Graph, last: Node) -> tuple[Node, ...] | None:
    """The pieces that end in `last`: the sum (its first input x), clip, product and quotient."""
    scale = _scalar(graph, last)
    if scale is None or last.operator not in ("Div", "Mul"):
        return None
    if not np.isclose(scale[1], 6.0 if last.operator == "Div" else 1 / 6, rtol=1e-6):
        return None
    product = _only_read_here(graph, scale[0])
    if product is None or product.operator != "Mul" or len(product.inputs) != 2:
        return None
    for x, gate in (product.inputs, product.inputs[::-1]):
        clip = _only_read_here(graph, gate)
        if clip is None or clip.operator != "Clip" or _bounds(graph, clip) != (0, 6):
            continue
        shifted = _only_read_here(graph, clip.inputs[0])
        term = None if shifted is None or shifted.operator != "Add" else _scalar(graph, shifted)
        if shifted is not None and term == (x, 3.0):
            return replace(shifted, inputs=(x,)), clip, product, last
    return None


def _only_read_here(graph: Graph, name: str) -> Node | None:
    return graph.producer(name) if graph.uses(name) == 1 else None


def _scalar(graph: Graph, node: Node) -> tuple[str, float] | None:
    """The computed input of an operator of two arguments, and the other one, a constant number."""
    if len(node.inputs) != 2:
        return None
    pairs = [node.inputs]
    if node.operator in _CONSTANT_FIRST:
        pairs.append(node.inputs[::-1])
    for computed, known in pairs:
        value = graph.constants.get(known)
        # Strings concatenate and compare with one constant, too.
        if value is None or value.size != 1 or value.dtype.kind in "OSU":
            continue
        if computed not in graph.constants:
            return computed, float(value.reshape(()))
    return None


def _bounds(graph: Graph, clip: Node) -> tuple[float | None, float | None]:
    if clip.version < 11:
        return clip.number("min", np.nan), clip.number("max", np.nan)
    found: list[float | None] = []
    for position in (1, 2):
        name = clip.inputs[position] if position < len(clip.inputs) else ""
        value = graph.constants.get(name)
        found.append(None if value is None else float(value.reshape(())))
    return found[0], found[1]
