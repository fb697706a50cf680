"""Takes If, Loop and Scan out of a model: branches are put in place, iterations written one by one.

A branch whose condition is known beforehand is the only one that stays. Where the condition is
computed both branches stay and `Where` picks from their results: an ONNX branch has no side
effects. A Loop whose trip count and conditions are known, and a Scan, become a row of their bodies.
What cannot be taken out stays as it is, for a writer to refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgewright_converter.errors import UnsupportedOperator
from edgewright_converter.graph.model import Array
from edgewright_converter.graph.probe import Walk, start, visit

CONTROL_FLOW = ("If", "Loop", "Scan")
# Beyond this a file is mostly the same body again and again.
ITERATIONS_MAX = 256
_NODES_MAX = 20_000


class _Inexpressible(Exception):
    """This node stays as it is."""


def unroll_control_flow(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the If, Loop and Scan nodes that can be taken out.

    Dynamic dimensions of inputs are tried at 1 and at 3; where the result would depend on that, the
    model stays as it is.
    """
    if not any(node.op_type in CONTROL_FLOW for node in model.graph.node):
        return model
    first, second = _unrolled(model, 1), _unrolled(model, 3)
    same = first is not None and second is not None and first.graph.node == second.graph.node
    return first if first is not None and same else model


def _unrolled(model: onnx.ModelProto, batch: int) -> onnx.ModelProto | None:
    constants = {tensor.name for tensor in model.graph.initializer}
    sizes = {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else batch
            for dim in value.type.tensor_type.shape.dim
        )
        for value in model.graph.input
        if value.name not in constants and value.type.HasField("tensor_type")
    }
    unrolling = _Unrolling(start(model, sizes, ""))
    try:
        unrolling.take(model.graph.node)
    except (UnsupportedOperator, _Inexpressible):
        return None  # found again, and named, when the graph is read
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:]
    found.graph.node.extend(unrolling.nodes)
    return found


class _Unrolling:
    """The nodes written so far, and what is known of their values."""

    def __init__(self, walk: Walk) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._walk = walk
        self._copies = 0

    def take(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Appends nodes, with what they contain in their place."""
        for node in nodes:
            if node.op_type not in CONTROL_FLOW or node.domain not in ("", "ai.onnx"):
                self._append(node)
                continue
            before = len(self.nodes)
            try:
                {"If": self._branch, "Loop": self._loop, "Scan": self._scan}[node.op_type](node)
            except _Inexpressible:
                del self.nodes[before:]
                self._append(node)

    def _append(self, node: onnx.NodeProto) -> None:
        if len(self.nodes) >= _NODES_MAX:
            raise _Inexpressible
        self.nodes.append(node)
        visit(self._walk, node)

    def _add(
        self, operator: str, inputs: Sequence[str], output: str, *, axis: int | None = None
    ) -> None:
        node = helper.make_node(operator, inputs, [output], name=f"{output}.{operator.lower()}")
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._append(node)

    def _constant(self, name: str, value: Array) -> str:
        tensor = numpy_helper.from_array(np.asarray(value), name)
        self._append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def _known(self, name: str) -> Array | None:
        return self._walk.data.get(name)

    def _fresh(self, stem: str) -> str:
        self._copies += 1
        return f"{stem}~{self._copies}"

    def _body(self, graph: onnx.GraphProto, given: Mapping[str, str]) -> list[str]:
        """Writes a copy of a subgraph with its inputs bound; gives the names of its outputs."""
        mark = self._fresh("")
        names = dict(given)
        for tensor in graph.initializer:
            names[tensor.name] = self._constant(
                f"{tensor.name}{mark}", numpy_helper.to_array(tensor)
            )
        defined = {name for node in graph.node for name in node.output if name}
        names |= {name: f"{name}{mark}" for name in defined}
        self.take(_renamed(node, names) for node in graph.node)
        return [names.get(value.name, value.name) for value in graph.output]

    def _branch(self, node: onnx.NodeProto) -> None:
        branches = {entry.name: entry.g for entry in node.attribute}
        condition = self._known(node.input[0])
        if condition is not None:
            chosen = branches["then_branch" if bool(condition.reshape(())) else "else_branch"]
            for name, result in zip(node.output, self._body(chosen, {}), strict=True):
                if name:
                    self._add("Identity", [result], name)
            return
        sides = [self._body(branches[name], {}) for name in ("then_branch", "else_branch")]
        shape = self._constant(self._fresh(f"{node.output[0]}.scalar"), np.zeros(0, np.int64))
        scalar = self._fresh(f"{node.output[0]}.condition")
        self._add("Reshape", [node.input[0], shape], scalar)
        for name, yes, no in zip(node.output, *sides, strict=True):
            if not name:
                continue
            types = self._walk.types
            if yes not in types or no not in types or types[yes] != types[no]:
                raise _Inexpressible  # the branches give different shapes
            self._add("Where", [scalar, yes, no], name)

    def _loop(self, node: onnx.NodeProto) -> None:
        body = next(entry.g for entry in node.attribute if entry.name == "body")
        trips = self._known(node.input[0]) if node.input[0] else None
        condition = node.input[1]
        if node.input[0] and trips is None:
            raise _Inexpressible
        carried, count = list(node.input[2:]), len(node.input) - 2
        rows: list[list[str]] = [[] for _ in body.output[1 + count :]]
        iteration = 0
        while trips is None or iteration < int(trips.reshape(())):
            goes_on = self._known(condition) if condition else np.True_
            if goes_on is None or iteration >= ITERATIONS_MAX:
                raise _Inexpressible
            if not bool(np.reshape(goes_on, ())):
                break
            counter = self._fresh(f"{node.output[0] or node.name}.iteration")
            self._constant(counter, np.asarray(iteration, np.int64))
            alive = condition or self._constant(self._fresh(counter), np.asarray(True))
            names = [value.name for value in body.input]
            given = dict(zip(names, [counter, alive, *carried], strict=True))
            results = self._body(body, given)
            condition, carried = results[0], results[1 : 1 + count]
            for row, result in zip(rows, results[1 + count :], strict=True):
                row.append(result)
            iteration += 1
        for name, result in zip(node.output[:count], carried, strict=False):
            if name:
                self._add("Identity", [result], name)
        for name, row in zip(node.output[count:], rows, strict=False):
            if name:
                self._stack(name, row, 0)

    def _scan(self, node: onnx.NodeProto) -> None:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        body, scanned = attributes["body"], int(attributes["num_scan_inputs"])
        count = len(node.input) - scanned
        axes = [int(axis) for axis in attributes.get("scan_input_axes", [0] * scanned)]
        backwards = attributes.get("scan_input_directions", [0] * scanned)
        if len(body.input) != len(node.input):
            raise _Inexpressible  # Scan-8, with sequence lengths in front
        lengths = [self._size(x, axis) for x, axis in zip(node.input[count:], axes, strict=True)]
        if len(set(lengths)) != 1 or not 0 < lengths[0] <= ITERATIONS_MAX:
            raise _Inexpressible
        carried = list(node.input[:count])
        rows: list[list[str]] = [[] for _ in body.output[count:]]
        for step in range(lengths[0]):
            pieces = []
            for name, axis, back in zip(node.input[count:], axes, backwards, strict=True):
                place = lengths[0] - 1 - step if back else step
                index = self._constant(self._fresh(f"{name}.place"), np.asarray(place, np.int64))
                pieces.append(self._fresh(f"{name}.piece"))
                self._add("Gather", [name, index], pieces[-1], axis=axis)
            names = [value.name for value in body.input]
            results = self._body(body, dict(zip(names, [*carried, *pieces], strict=True)))
            carried = results[:count]
            for row, result in zip(rows, results[count:], strict=True):
                row.append(result)
        for name, result in zip(node.output[:count], carried, strict=True):
            if name:
                self._add("Identity", [result], name)
        out_axes = attributes.get("scan_output_axes", [0] * len(rows))
        turned = attributes.get("scan_output_directions", [0] * len(rows))
        outputs = zip(node.output[count:], rows, out_axes, turned, strict=True)
        for name, row, axis, back in outputs:
            if name:
                self._stack(name, row[::-1] if back else row, int(axis))

    def _size(self, name: str, axis: int) -> int:
        if name not in self._walk.types:
            raise _Inexpressible
        dims = self._walk.types[name].tensor_type.shape.dim
        return int(dims[axis].dim_value)

    def _stack(self, name: str, row: Sequence[str], axis: int) -> None:
        """Joins values along a new axis."""
        if not row:
            raise _Inexpressible  # an output without elements, of a shape that nobody knows
        opset = next(
            entry.version for entry in self._walk.opsets if entry.domain in ("", "ai.onnx")
        )
        lifted = []
        for part in row:
            lifted.append(self._fresh(f"{name}.row"))
            if opset >= 13:
                axes = self._constant(self._fresh(f"{name}.axis"), np.asarray([axis], np.int64))
                self._add("Unsqueeze", [part, axes], lifted[-1])
            else:
                node = helper.make_node("Unsqueeze", [part], lifted[-1:], axes=[axis])
                self._append(node)
        rank = len(self._walk.types[lifted[0]].tensor_type.shape.dim)
        self._add("Concat", lifted, name, axis=axis % rank)


def _renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy with other names for values, in the subgraphs that it holds too."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for entry in copy.attribute:
        if entry.type != onnx.AttributeProto.GRAPH:
            continue
        inner = [_renamed(part, names) for part in entry.g.node]
        del entry.g.node[:]
        entry.g.node.extend(inner)
        for value in entry.g.output:
            value.name = names.get(value.name, value.name)
    return copy
