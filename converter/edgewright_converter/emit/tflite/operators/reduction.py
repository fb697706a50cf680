"""ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceProd, ReduceL2 and kin; ArgMax, ArgMin.

Honoured of the ONNX specification: axes as attribute (before opset 18; ReduceSum before 13) and as
constant input after, absent axes (all, or none with noop_with_empty_axes), negative axes, keepdims.
ArgMax and ArgMin: axis, keepdims, select_last_index.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import SOURCE, Layout, Placement
from edgewright_converter.graph.model import Graph, Node

_Op = schema.BuiltinOperator
_REDUCERS = {
    "ReduceMean": _Op.MEAN,
    "ReduceSum": _Op.SUM,
    "ReduceMax": _Op.REDUCE_MAX,
    "ReduceMin": _Op.REDUCE_MIN,
    "ReduceProd": _Op.REDUCE_PROD,
    "ReduceL1": _Op.SUM,
    "ReduceL2": _Op.SUM,
    "ReduceSumSquare": _Op.SUM,
    "ReduceLogSum": _Op.SUM,
}


def _axes(node: Node, graph: Graph) -> list[int] | None:
    """The axes to reduce, not negative and in order; None where they are computed."""
    rank = graph.types[node.inputs[0]].rank
    axes = node.integers("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1]:
        given = graph.constants.get(node.inputs[1])
        if given is None:
            return None
        axes = tuple(int(axis) for axis in given.reshape(-1))
    if not axes:
        axes = () if node.integer("noop_with_empty_axes", 0) else tuple(range(rank))
    return sorted({axis % rank for axis in axes}) if rank else []


def _place(node: Node, graph: Graph) -> Placement:
    """Free; without the reduced axes the result may be in the source's order whatever was read."""
    axes, rank = _axes(node, graph), graph.types[node.inputs[0]].rank
    if axes is None:
        return SOURCE
    if node.integer("keepdims", 1):
        return Placement(None, None)
    left = [axis for axis in Layout.CHANNELS_LAST.order(rank) if axis not in axes]
    order = [sorted(left).index(axis) for axis in left]
    if tuple(order) == Layout.CHANNELS_LAST.order(len(left)):
        return Placement(None, None)
    return Placement(None, Layout.SOURCE) if order == sorted(order) else SOURCE


@emits("ReduceMean", (1, 11, 13, 18), place=_place)
@emits("ReduceSum", (1, 11, 13), place=_place, dtypes=("float32", "int32", "int64"))
@emits("ReduceMax", (1, 11, 12, 13, 18, 20), place=_place, dtypes=("float32", "int32", "int64"))
@emits("ReduceMin", (1, 11, 12, 13, 18, 20), place=_place, dtypes=("float32", "int32", "int64"))
@emits("ReduceProd", (1, 11, 13, 18), place=_place, dtypes=("float32", "int32", "int64"))
@emits("ReduceL1", (1, 11, 13, 18), place=_place)
@emits("ReduceL2", (1, 11, 13, 18), place=_place)
@emits("ReduceSumSquare", (1, 11, 13, 18), place=_place)
@emits("ReduceLogSum", (1, 11, 13, 18, 28), place=_place)
def reduce(emission: Emission) -> None:
    """A reduction over axes."""
    axes = _axes(emission.node, emission.graph)
    if axes is None:
        emission.refuse("its axes must be constant for this target")
    operator, rank = emission.node.operator, emission.type().rank
    tensor = _before(emission, operator, emission.tensor())
    result = emission.result_in_memory()
    if axes:
        options = schema.ReducerOptionsT()
        options.keepDims = bool(emission.node.integer("keepdims", 1))
        places = sorted(emission.input_layout.place(axis, rank) for axis in axes)
        inputs = [tensor, emission.indices(places)]
        tensor = emission.operator(_REDUCERS[operator], inputs, result, options)
    if operator == "ReduceL2":
        tensor = emission.operator(_Op.SQRT, [tensor], result)
    elif operator == "ReduceLogSum":
        tensor = emission.operator(_Op.LOG, [tensor], result)
    emission.give(tensor)


def _before(emission: Emission, operator: str, tensor: Tensor) -> Tensor:
    if operator == "ReduceL1":
        return emission.operator(_Op.ABS, [tensor], tensor.type)
    if operator in ("ReduceL2", "ReduceSumSquare"):
        options = schema.MulOptionsT()
        return emission.operator(_Op.MUL, [tensor, tensor], tensor.type, options)
    return tensor


@emits("ReduceLogSumExp", (1, 11, 13, 18, 28), place=SOURCE)
def reduce_log_sum_exp(emission: Emission) -> None:
    """log(sum(exp x)), shifted by the largest element so that exp cannot overflow."""
    axes = _axes(emission.node, emission.graph)
    if axes is None:
        emission.refuse("its axes must be constant for this target")
    tensor, result = emission.tensor(), emission.result()
    if not axes:
        emission.give(tensor)
        return
    kept = tensor.type.sized(dict.fromkeys(axes, 1))
    options = schema.ReducerOptionsT()
    options.keepDims = True
    places = emission.indices(axes)
    largest = emission.operator(_Op.REDUCE_MAX, [tensor, places], kept, options)
    # Minus infinity everywhere would give inf - inf.
    lowest = emission.filled(float(np.finfo(np.float32).min), result.dtype)
    largest = emission.binary(_Op.MAXIMUM, largest, lowest, kept)
    shifted = emission.binary(_Op.SUB, tensor, largest, tensor.type)
    raised = emission.operator(_Op.EXP, [shifted], tensor.type, schema.ExpOptionsT())
    total = emission.operator(_Op.SUM, [raised, places], kept, options)
    logarithm = emission.operator(_Op.LOG, [total], kept)
    emission.give(emission.reshape(emission.binary(_Op.ADD, logarithm, largest, kept), result))


@emits("ArgMax", (1, 11, 12, 13), place=SOURCE)
@emits("ArgMin", (1, 11, 12, 13), place=SOURCE)
def arg(emission: Emission) -> None:
    """The first index of the extreme element along an axis."""
    node, type_ = emission.node, emission.type()
    axis = node.integer("axis", 0) % type_.rank
    options: schema.ArgMaxOptionsT | schema.ArgMinOptionsT
    if node.operator == "ArgMax":
        code, options = _Op.ARG_MAX, schema.ArgMaxOptionsT()
    else:
        code, options = _Op.ARG_MIN, schema.ArgMinOptionsT()
    options.outputType = schema.TensorType.INT64
    found = type_.without([axis]).typed(np.dtype(np.int64))
    tensor, last = emission.tensor(), node.integer("select_last_index", 0)
    if last:
        turned = [tensor, emission.indices([axis])]
        tensor = emission.operator(_Op.REVERSE_V2, turned, tensor.type, schema.ReverseV2OptionsT())
    index = emission.operator(code, [tensor, emission.indices([axis])], found, options)
    if last:
        size = type_.shape[axis]
        if size is None:
            emission.refuse("it counts from the end of an axis that follows the batch")
        index = emission.binary(
            _Op.SUB, emission.builder.constant(np.asarray(size - 1, np.int64)), index, found
        )
    emission.give(emission.reshape(index, emission.result()))
