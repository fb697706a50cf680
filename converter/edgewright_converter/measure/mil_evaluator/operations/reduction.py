"""Reductions (MIL ops `reduction`) and running totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates


def _log_sum_exp(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    largest = x.max(axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0)
    total: Array = np.log(np.exp(x - largest).sum(axis=axis, keepdims=True)) + largest
    return total if keepdims else total.squeeze(axis)


# Any: numpy's reductions and ours have no narrower common type.
_REDUCERS: dict[str, Callable[..., Any]] = {
    "reduce_mean": np.mean,
    "reduce_sum": np.sum,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_l1_norm": lambda x, **how: np.abs(x).sum(**how),
    "reduce_l2_norm": lambda x, **how: np.sqrt(np.square(x).sum(**how)),
    "reduce_sum_square": lambda x, **how: np.square(x).sum(**how),
    "reduce_log_sum_exp": _log_sum_exp,
}


@evaluates(*_REDUCERS)
def reduce(arguments: Arguments) -> Array:
    """A reduction over `axes`."""
    x = arguments.tensor("x")
    axes = tuple(axis % x.ndim for axis in arguments.integers("axes", range(x.ndim)))
    keep = arguments.flag("keep_dims", default=False)
    result: Array = np.asarray(_REDUCERS[arguments.kind](x, axis=axes, keepdims=keep))
    return result


@evaluates("reduce_argmax", "reduce_argmin")
def arg(arguments: Arguments) -> Array:
    """The first index of the extreme element."""
    pick = np.argmax if arguments.kind == "reduce_argmax" else np.argmin
    keep = arguments.flag("keep_dims", default=False)
    found = pick(arguments.tensor("x"), axis=arguments.integer("axis", -1), keepdims=keep)
    return np.asarray(found, np.int32)


@evaluates("cumsum")
def cumsum(arguments: Arguments) -> Array:
    """The running total along an axis, with or without the element itself."""
    x, axis = arguments.tensor("x"), arguments.integer("axis", 0)
    back = arguments.flag("reverse", default=False)
    turned = np.flip(x, axis) if back else x
    total = np.cumsum(turned, axis=axis)
    if arguments.flag("exclusive", default=False):
        total = total - turned
    result: Array = np.flip(total, axis) if back else total
    return result
