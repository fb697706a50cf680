"""Reads an ONNX model into a `Graph`.

Shapes are found by walking the model with batch 1 and with batch 3: a dimension that differs
follows the batch, and a number that a shape computation gives at both sizes is a constant. No
symbolic shape arithmetic is needed, and a batch size baked into a reshape shows as a contradiction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from edgewright_converter.errors import TargetRefused, UnsupportedOperator
from edgewright_converter.graph.control_flow import CONTROL_FLOW, ITERATIONS_MAX
from edgewright_converter.graph.folding import fold_affine
from edgewright_converter.graph.model import Array, Attribute, Graph, Node, Shape, TensorType
from edgewright_converter.graph.probe import Probe, node_name, probe, schema_of
from edgewright_converter.graph.quantization import express_quantization

_CONTROL_FLOW_REASONS = {
    "If": "its condition is computed, and its branches give different shapes",
    "Loop": "its number of iterations is computed, follows the batch, or is above "
    f"{ITERATIONS_MAX}",
    "Scan": f"it has sequence lengths, follows the batch, or takes more than {ITERATIONS_MAX} "
    "steps",
}
# Batch 2 would hide errors where another dimension happens to be 2 less often than 3 does.
_SECOND_BATCH = 3


def read_graph(model: onnx.ModelProto, *, target: str) -> Graph:
    """The model's graph with types, constants and batch-following shapes.

    `target` is named in refusals. Functions must have been expanded before.

    Raises:
        TargetRefused: an input has no rank, or a dynamic dimension other than its batch.
        UnsupportedOperator: a node's shapes cannot be known.
    """
    for kept in model.graph.node:
        if kept.op_type in CONTROL_FLOW and kept.domain in ("", "ai.onnx"):
            raise UnsupportedOperator(
                target=target,
                operator=kept.op_type,
                node=node_name(kept),
                reason=_CONTROL_FLOW_REASONS[kept.op_type],
            )
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    shapes = {value.name: _input_shape(value, target) for value in inputs}
    first = probe(model, _bound(shapes, 1), target)
    dynamic = any(None in shape for shape in shapes.values())
    second = probe(model, _bound(shapes, _SECOND_BATCH), target) if dynamic else first
    known, vectors, dependent = _merge_data(first, second)
    types = _merge_types(first, second)
    known |= _without_elements(types, {value.name for value in inputs})
    opsets = {
        "" if entry.domain == "ai.onnx" else entry.domain: entry.version
        for entry in model.opset_import
    }
    nodes = tuple(
        _node(node, opsets, target)
        for node in model.graph.node
        if not all(
            name in known or name in vectors or name in dependent for name in node.output if name
        )
    )
    outputs = tuple(value.name for value in model.graph.output)
    graph = Graph(
        inputs=tuple(value.name for value in inputs),
        outputs=outputs,
        nodes=_needed(nodes, outputs),
        types=types,
        constants=known,
        shape_vectors=vectors,
        batch_dependent=dependent,
    )
    for node in graph.nodes:
        for name in (*node.inputs, *node.outputs):
            if name and name not in types and not _omitted(graph, node, name):
                raise UnsupportedOperator(
                    target=target,
                    operator=node.operator,
                    node=node.name,
                    reason=f"the shape of {name!r} is not known, or depends on the batch size "
                    "in more than its sizes",
                )
    graph = express_quantization(fold_affine(graph))
    return replace(graph, nodes=_needed(graph.nodes, outputs))


def _omitted(graph: Graph, node: Node, name: str) -> bool:
    return name in node.outputs and graph.uses(name) == 0


def _input_shape(value: onnx.ValueInfoProto, target: str) -> Shape:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise TargetRefused(
            target,
            f"input {value.name!r} is no tensor of known rank; "
            "export the model with a shape for each input",
        )
    shape: list[int | None] = []
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            shape.append(dim.dim_value)
        elif axis == 0:
            shape.append(None)
        else:
            raise TargetRefused(
                target,
                f"input {value.name!r} has a dynamic dimension at axis {axis}; only the "
                "batch (axis 0) may be dynamic: give the others a size before converting",
            )
    return tuple(shape)


def _bound(shapes: Mapping[str, Shape], batch: int) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(batch if size is None else size for size in shape)
        for name, shape in shapes.items()
    }


def _merge_types(first: Probe, second: Probe) -> dict[str, TensorType]:
    merged = {}
    for name, (shape, dtype) in first.types.items():
        other, other_dtype = second.types.get(name, ((), dtype))
        if name not in second.types or len(shape) != len(other) or dtype != other_dtype:
            continue
        sizes = tuple(one if one == more else None for one, more in zip(shape, other, strict=True))
        merged[name] = TensorType(sizes, shape, dtype)
    return merged


def _merge_data(
    first: Probe, second: Probe
) -> tuple[dict[str, Array], dict[str, tuple[int | None, ...]], frozenset[str]]:
    known: dict[str, Array] = {}
    vectors: dict[str, tuple[int | None, ...]] = {}
    dependent: set[str] = set()
    for name, value in first.data.items():
        other = second.data.get(name)
        if other is value:
            known[name] = value
        elif other is None or other.shape != value.shape:
            dependent.add(name)
        elif np.array_equal(value, other, equal_nan=value.dtype.kind in "fc"):
            known[name] = value
        elif value.dtype.kind == "i" and value.ndim <= 1:
            pairs = zip(value.reshape(-1).tolist(), other.reshape(-1).tolist(), strict=True)
            vectors[name] = tuple(one if one == more else None for one, more in pairs)
        else:
            dependent.add(name)
    return known, vectors, frozenset(dependent | (second.data.keys() - first.data.keys()))


def _without_elements(types: Mapping[str, TensorType], inputs: set[str]) -> dict[str, Array]:
    """Values without elements: whatever computes them, they are known."""
    return {
        name: np.empty(type_.sample, type_.dtype)
        for name, type_ in types.items()
        if 0 in type_.shape and type_.is_static and name not in inputs
    }


def _needed(nodes: tuple[Node, ...], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    wanted = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))


def _node(node: onnx.NodeProto, opsets: Mapping[str, int], target: str) -> Node:
    schema = schema_of(node, opsets, target)
    attributes = {entry.name: _attribute(entry) for entry in node.attribute}
    return Node(
        name=node_name(node),
        operator=node.op_type,
        domain=node.domain,
        version=schema.since_version,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={name: value for name, value in attributes.items() if value is not None},
    )


def _attribute(entry: onnx.AttributeProto) -> Attribute | None:
    kind = onnx.AttributeProto
    match entry.type:
        case kind.INT:
            return int(entry.i)
        case kind.FLOAT:
            return float(entry.f)
        case kind.STRING:
            return entry.s.decode("utf-8", "replace")
        case kind.INTS:
            return tuple(int(element) for element in entry.ints)
        case kind.FLOATS:
            return tuple(float(element) for element in entry.floats)
        case kind.STRINGS:
            return tuple(element.decode("utf-8", "replace") for element in entry.strings)
        case kind.TENSOR:
            return numpy_helper.to_array(entry.t)
        case _:
            # Subgraphs and sparse tensors: no writer reads them, and their operators are refused.
            return None
