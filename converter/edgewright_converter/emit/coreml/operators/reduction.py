"""ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceProd, ReduceL2 and kin; ArgMax, ArgMin,
CumSum.

Honoured of the ONNX specification: axes as attribute (before opset 18; ReduceSum before 13) and as
constant input after, absent axes (all, or none with noop_with_empty_axes), negative axes, keepdims.
ArgMax and ArgMin: axis, keepdims, select_last_index.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import ARITHMETIC, emits

_REDUCERS = {
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
    "ReduceL1": "reduce_l1_norm",
    "ReduceL2": "reduce_l2_norm",
    "ReduceSumSquare": "reduce_sum_square",
    "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp",
}


@emits("ReduceMean", (1, 11, 13, 18))
@emits("ReduceSum", (1, 11, 13), dtypes=ARITHMETIC)
@emits("ReduceMax", (1, 11, 12, 13, 18, 20), dtypes=ARITHMETIC)
@emits("ReduceMin", (1, 11, 12, 13, 18, 20), dtypes=ARITHMETIC)
@emits("ReduceProd", (1, 11, 13, 18), dtypes=ARITHMETIC)
@emits("ReduceL1", (1, 11, 13, 18))
@emits("ReduceL2", (1, 11, 13, 18))
@emits("ReduceSumSquare", (1, 11, 13, 18))
@emits("ReduceLogSum", (1, 11, 13, 18, 28))
@emits("ReduceLogSumExp", (1, 11, 13, 18, 28))
def reduce(emission: Emission) -> None:
    """A reduction over axes."""
    node, rank = emission.node, emission.type().rank
    given = emission.integers("axes", 1)
    if given:
        axes = sorted({axis % rank for axis in given})
    else:
        axes = [] if node.integer("noop_with_empty_axes", 0) else list(range(rank))
    if not axes:
        emission.give(_of_one(emission))
        return
    keep = bool(node.integer("keepdims", 1))
    kind = _REDUCERS[node.operator]
    if kind == "reduce_log_sum":
        # MIL's own adds an epsilon inside.
        total = emission.op("reduce_sum", x=emission.value(), axes=axes, keep_dims=keep)
        emission.give(emission.op("log", x=total, epsilon=0.0))
        return
    emission.give(emission.op(kind, x=emission.value(), axes=axes, keep_dims=keep))


def _of_one(emission: Emission) -> Value:
    """The reduction of every element by itself."""
    x = emission.value()
    match emission.node.operator:
        case "ReduceL1" | "ReduceL2":
            return emission.op("abs", x=x)
        case "ReduceSumSquare":
            return emission.op("mul", x=x, y=x)
        case "ReduceLogSum":
            return emission.op("log", x=x, epsilon=0.0)
    return emission.op("identity", x=x)


@emits("ArgMax", (1, 11, 12, 13))
@emits("ArgMin", (1, 11, 12, 13))
def arg(emission: Emission) -> None:
    """The index of the extreme element along an axis (of equal ones MIL may give any)."""
    node = emission.node
    keep = bool(node.integer("keepdims", 1))
    axis = node.integer("axis", 0)
    if node.integer("select_last_index", 0):
        emission.give(_last(emission, axis % emission.type().rank, keep=keep))
        return
    kind = "reduce_argmax" if node.operator == "ArgMax" else "reduce_argmin"
    emission.give(emission.op(kind, x=emission.value(), axis=axis, keep_dims=keep))


def _last(emission: Emission, axis: int, *, keep: bool) -> Value:
    """The last index of the extreme element: the largest of the places that hold it."""
    x = emission.variable()
    kind = "reduce_max" if emission.node.operator == "ArgMax" else "reduce_min"
    extreme = emission.op(kind, x=x, axes=[axis], keep_dims=True)
    held = emission.op("cast", x=emission.op("equal", x=x, y=extreme), dtype="int32")
    shape = [-1 if at == axis else 1 for at in range(len(x.shape))]
    places = np.arange(x.shape[axis], dtype=np.int32).reshape(shape)
    weighed = emission.op("mul", x=held, y=places)
    return emission.op("reduce_max", x=weighed, axes=[axis], keep_dims=keep)


@emits("CumSum", (11, 14), dtypes=ARITHMETIC)
def cumulative_sum(emission: Emission) -> None:
    """The running total along an axis."""
    axis = int(emission.known(1, "axis").reshape(-1)[0]) % max(emission.type().rank, 1)
    emission.give(
        emission.op(
            "cumsum",
            x=emission.value(),
            axis=axis,
            exclusive=bool(emission.node.integer("exclusive", 0)),
            reverse=bool(emission.node.integer("reverse", 0)),
        )
    )
