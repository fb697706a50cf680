"""Walks a model once at one batch size: the type of every value, and the values that can be
computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx
from onnx import TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import InferenceError, infer_node_outputs, infer_shapes

from edgewright_converter.errors import UnsupportedOperator
from edgewright_converter.graph.model import Array

# Operators whose result may not be computed once and kept.
_RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
    }
)
# onnx 1.23 cannot infer through these definitions (it rejects a Constant in them).
_SHAPE_KEPT = frozenset({"MeanVarianceNormalization"})
# A folded value above this would make the file balloon (a hostile ConstantOfShape, for example).
_FOLDED_BYTES_MAX = 256 << 20
# Shape inference reads only small inputs (shapes, axes, scales); weights need not be copied for it.
_INFERENCE_DATA_MAX = 1024


@dataclass(frozen=True, slots=True)
class Probe:
    """What one batch size gives: shape and element type by name, and the values known
    beforehand.
    """

    types: Mapping[str, tuple[tuple[int, ...], np.dtype[np.generic]]]
    data: Mapping[str, Array]


@dataclass(slots=True)
class Walk:
    """What is known so far of a model that is being walked in order."""

    target: str
    opsets: list[onnx.OperatorSetIdProto]
    ir_version: int
    types: dict[str, TypeProto] = field(default_factory=dict)
    data: dict[str, Array] = field(default_factory=dict)


def node_name(node: onnx.NodeProto) -> str:
    """The node's name, or that of its first output where it has none."""
    return node.name or (node.output[0] if node.output else node.op_type)


def schema_of(node: onnx.NodeProto, opsets: Mapping[str, int], target: str) -> onnx.defs.OpSchema:
    """The operator's schema at the model's opset.

    Raises:
        UnsupportedOperator: the operator is none of ONNX's own.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        raise UnsupportedOperator(
            target=target,
            operator=f"{domain}.{node.op_type}" if domain else node.op_type,
            node=node_name(node),
            reason="this is no standard ONNX operator of the model's opset",
        ) from None


def probe(model: onnx.ModelProto, sizes: Mapping[str, tuple[int, ...]], target: str) -> Probe:
    """Infers every type and folds what is computable with the inputs of exactly these shapes.

    Raises:
        UnsupportedOperator: a shape cannot be known, or contradicts itself at this size.
    """
    walk = start(model, sizes, target)
    for node in model.graph.node:
        visit(walk, node)
    types = {
        name: (
            tuple(dim.dim_value for dim in proto.tensor_type.shape.dim),
            helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type),
        )
        for name, proto in walk.types.items()
    }
    return Probe(types, walk.data)


def start(model: onnx.ModelProto, sizes: Mapping[str, tuple[int, ...]], target: str) -> Walk:
    """A walk that knows the model's constants and inputs, and none of its nodes yet."""
    walk = Walk(target, list(model.opset_import), model.ir_version)
    for tensor in model.graph.initializer:
        keep(walk, tensor.name, numpy_helper.to_array(tensor))
    for value in model.graph.input:
        if value.name in sizes:
            walk.types[value.name] = helper.make_tensor_type_proto(
                value.type.tensor_type.elem_type, sizes[value.name]
            )
    return walk


def keep(walk: Walk, name: str, value: Array) -> None:
    """Notes a value that is known beforehand."""
    walk.data[name] = value
    walk.types[name] = helper.make_tensor_type_proto(
        helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
    )


def visit(walk: Walk, node: onnx.NodeProto) -> None:
    """Infers the types of a node's results, and the results where its inputs are known.

    Raises:
        UnsupportedOperator: as `probe`.
    """
    opsets = {entry.domain.removeprefix("ai.onnx"): entry.version for entry in walk.opsets}
    schema = schema_of(node, opsets, walk.target)
    if node.op_type in ("Shape", "Size") and node.input[0] in walk.types:
        dims = walk.types[node.input[0]].tensor_type.shape.dim
        keep(walk, node.output[0], _measured(node, [dim.dim_value for dim in dims]))
        return
    missing = [name for name in node.input if name and name not in walk.types]
    if missing:
        raise _refusal(walk, node, f"the shape of its input {missing[0]!r} is not known")
    inferred = _infer(walk, node, schema)
    if not all(_is_static(inferred.get(name, TypeProto())) for name in node.output if name):
        inferred |= _infer_by_definition(walk, node)
    if _foldable(walk, node, inferred) and _fold(walk, node):
        return
    for name in node.output:
        if not name:
            continue
        proto = inferred.get(name, TypeProto())
        if not _is_static(proto):
            # Kept unknown: whoever reads it is refused by name.
            continue
        walk.types[name] = proto


def _measured(node: onnx.NodeProto, sizes: list[int]) -> Array:
    if node.op_type == "Size":
        return np.asarray(prod(sizes), np.int64)
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return np.asarray(sizes[slice(bounds.get("start", 0), bounds.get("end"))], np.int64)


def _infer(walk: Walk, node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> dict[str, TypeProto]:
    data = {
        name: numpy_helper.from_array(walk.data[name], name)
        for name in node.input
        if name in walk.data and walk.data[name].size <= _INFERENCE_DATA_MAX
    }
    types = {name: walk.types[name] for name in node.input if name}
    try:
        return infer_node_outputs(schema, node, types, data, None, walk.opsets, walk.ir_version)
    except (InferenceError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise _refusal(walk, node, f"its shapes do not fit together ({reason})") from error


def _infer_by_definition(walk: Walk, node: onnx.NodeProto) -> dict[str, TypeProto]:
    """The types of an operator that has a definition by others, or values, but no inference."""
    if node.op_type in _SHAPE_KEPT:
        return {node.output[0]: walk.types[node.input[0]]}
    if node.op_type == "Compress" and node.input[1] in walk.data:
        return {node.output[0]: _compressed(walk, node)}
    inputs = [name for name in dict.fromkeys(node.input) if name]
    graph = helper.make_graph(
        [node],
        "infer",
        [helper.make_value_info(name, walk.types[name]) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=walk.opsets, ir_version=walk.ir_version)
    try:
        inferred = infer_shapes(model, data_prop=True)
    except (InferenceError, RuntimeError, ValueError):
        return {}
    return {value.name: value.type for value in inferred.graph.output if _is_static(value.type)}


def _compressed(walk: Walk, node: onnx.NodeProto) -> TypeProto:
    """The type of what a known condition leaves along an axis, or of the flattened tensor."""
    source = walk.types[node.input[0]].tensor_type
    sizes = [dim.dim_value for dim in source.shape.dim]
    axes = [entry.i for entry in node.attribute if entry.name == "axis"]
    length = prod(sizes) if not axes else sizes[axes[0]]
    kept = int(np.count_nonzero(walk.data[node.input[1]][:length]))
    shape = [kept] if not axes else [*sizes]
    if axes:
        shape[axes[0]] = kept
    return helper.make_tensor_type_proto(source.elem_type, shape)


def _is_static(proto: TypeProto) -> bool:
    if not proto.HasField("tensor_type") or not proto.tensor_type.HasField("shape"):
        return False
    return all(dim.HasField("dim_value") for dim in proto.tensor_type.shape.dim)


def _foldable(walk: Walk, node: onnx.NodeProto, inferred: Mapping[str, TypeProto]) -> bool:
    if node.op_type in _RANDOM or any(name and name not in walk.data for name in node.input):
        return False
    for proto in inferred.values():
        if _is_static(proto):
            size = prod(dim.dim_value for dim in proto.tensor_type.shape.dim)
            if size * 8 > _FOLDED_BYTES_MAX:
                raise _refusal(walk, node, f"its constant result has {size} elements")
    return True


def _fold(walk: Walk, node: onnx.NodeProto) -> bool:
    inputs = [name for name in dict.fromkeys(node.input) if name]
    graph = helper.make_graph(
        [node],
        "fold",
        [helper.make_value_info(name, walk.types[name]) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=walk.opsets, ir_version=walk.ir_version)
    try:
        results = ReferenceEvaluator(model).run(None, {name: walk.data[name] for name in inputs})
    except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError, KeyError):
        return False  # the reference lacks this operator or type; the writer may know it
    names = [name for name in node.output if name]
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        return False
    for name, result in zip(names, results, strict=True):
        keep(walk, name, np.asarray(result))
    return True


def _refusal(walk: Walk, node: onnx.NodeProto, reason: str) -> UnsupportedOperator:
    return UnsupportedOperator(
        target=walk.target, operator=node.op_type, node=node_name(node), reason=reason
    )
