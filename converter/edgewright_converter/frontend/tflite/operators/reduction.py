"""MEAN, SUM, REDUCE_MAX and their kin, ARG_MAX, ARG_MIN, CUMSUM."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import CumsumOptions, ReducerOptions
from edgewright_converter.frontend.tflite.order import FILE, FREE, TO_FILE, Orders
from edgewright_converter.frontend.tflite.registry import reads

_REDUCTIONS = {
    "MEAN": "ReduceMean",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
}
_LOGICAL = {"REDUCE_ANY": "ReduceMax", "REDUCE_ALL": "ReduceMin"}


def _place(call: Call) -> Orders:
    if call.options(ReducerOptions).keep_dims:
        return FREE
    return TO_FILE if call.result().rank < 3 else FILE


def _axes(call: Call) -> list[int]:
    rank = call.tensor().rank
    return sorted({call.axis(axis, rank) for axis in call.integers(1, "axes")})


@reads("MEAN", 3, place=_place)
@reads("REDUCE_MAX", 3, place=_place)
@reads("REDUCE_MIN", 3, place=_place)
@reads("REDUCE_PROD", 2, place=_place)
def reduce(call: Call) -> None:
    """One number for all along some axes."""
    axes, keep = _axes(call), int(call.options(ReducerOptions).keep_dims)
    if not axes:
        call.give(call.value(), order=call.in_order)
        return
    operator = _REDUCTIONS[call.operator.kind]
    call.give(call.node(operator, [call.value()], axes=axes, keepdims=keep))


@reads("SUM", 3, place=_place)
def reduce_sum(call: Call) -> None:
    """The sum along some axes."""
    axes, keep = _axes(call), int(call.options(ReducerOptions).keep_dims)
    if not axes:
        call.give(call.value(), order=call.in_order)
        return
    call.give(call.node("ReduceSum", [call.value(), call.ints(axes)], keepdims=keep))


@reads("REDUCE_ANY", 2, place=_place)
@reads("REDUCE_ALL", 1, place=_place)
def reduce_logical(call: Call) -> None:
    """Whether any or all are true, by the maximum or minimum of 0 and 1."""
    axes, keep = _axes(call), int(call.options(ReducerOptions).keep_dims)
    if not axes:
        call.give(call.value(), order=call.in_order)
        return
    numbers = call.node("Cast", [call.value()], to=TensorProto.INT32)
    made = call.node(_LOGICAL[call.operator.kind], [numbers], axes=axes, keepdims=keep)
    call.give(call.node("Cast", [made], to=TensorProto.BOOL))


@reads("ARG_MAX", 3, place=FILE)
@reads("ARG_MIN", 3, place=FILE)
def arg(call: Call) -> None:
    """Where along an axis the largest or smallest is, the first of equals."""
    axes = call.integers(1, "axis")
    if len(axes) != 1:
        call.refuse(f"it has {len(axes)} axes")
    operator = "ArgMax" if call.operator.kind == "ARG_MAX" else "ArgMin"
    axis = call.axis(axes[0], call.tensor().rank)
    found = call.node(operator, [call.value()], axis=axis, keepdims=0)
    kind = helper.np_dtype_to_tensor_dtype(call.result().dtype)
    call.give(found if kind == TensorProto.INT64 else call.node("Cast", [found], to=kind))


@reads("CUMSUM", 1)
def cumsum(call: Call) -> None:
    """Running sums along an axis."""
    axes, options = call.integers(1, "axis"), call.options(CumsumOptions)
    if len(axes) != 1:
        call.refuse(f"it has {len(axes)} axes")
    axis = call.composer.constant(np.asarray(call.axis(axes[0], call.tensor().rank), np.int64))
    attributes = {"exclusive": int(options.exclusive), "reverse": int(options.reverse)}
    call.give(call.node("CumSum", [call.value(), axis], **attributes))
