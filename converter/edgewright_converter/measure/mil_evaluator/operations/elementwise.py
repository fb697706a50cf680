"""Operations on one element, or on two that broadcast (MIL ops `elementwise_unary`, `_binary`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates

# Any: numpy's ufuncs have no narrower common type.
_BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "pow": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "floor_div": np.floor_divide,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "real_div": np.divide,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "floor": np.floor,
    "logical_not": np.logical_not,
    "round": np.round,
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "identity": np.asarray,
}
_DTYPES = {"fp16": "float32", "fp32": "float32", "int32": "int32", "bool": "bool"}
_ERF = np.frompyfunc(math.erf, 1, 1)


@evaluates(*_BINARY)
def binary(arguments: Arguments) -> Array:
    """A function of two arguments."""
    result: Array = _BINARY[arguments.kind](arguments.tensor("x"), arguments.tensor("y"))
    return result


@evaluates(*_UNARY)
def unary(arguments: Arguments) -> Array:
    """A function of one argument."""
    result: Array = _UNARY[arguments.kind](arguments.tensor("x"))
    return result


def erf_of(x: Array) -> Array:
    """The error function, by the C library."""
    found: Array = np.asarray(_ERF(x.astype(np.float64)), np.float64)
    return found


@evaluates("erf")
def erf(arguments: Arguments) -> Array:
    """The error function."""
    return erf_of(arguments.tensor("x"))


@evaluates("log")
def log(arguments: Arguments) -> Array:
    """ln(x + epsilon)."""
    result: Array = np.log(arguments.tensor("x") + arguments.number("epsilon", 1e-45))
    return result


@evaluates("rsqrt")
def rsqrt(arguments: Arguments) -> Array:
    """1 / sqrt(x + epsilon)."""
    result: Array = 1 / np.sqrt(arguments.tensor("x") + arguments.number("epsilon", 1e-12))
    return result


@evaluates("inverse")
def inverse(arguments: Arguments) -> Array:
    """1 / (x + epsilon)."""
    return 1 / (arguments.tensor("x") + arguments.number("epsilon", 1e-4))


@evaluates("clip")
def clip(arguments: Arguments) -> Array:
    """min(max(x, alpha), beta)."""
    alpha, beta = arguments.number("alpha"), arguments.number("beta")
    result: Array = np.clip(arguments.tensor("x"), alpha, beta)
    return result


@evaluates("cast")
def cast(arguments: Arguments) -> Array:
    """Another element type; towards zero from float to int32."""
    return arguments.tensor("x").astype(_DTYPES[arguments.text("dtype", "")])


@evaluates("select")
def select(arguments: Arguments) -> Array:
    """a where cond, else b."""
    chosen: Array = np.where(arguments.tensor("cond"), arguments.tensor("a"), arguments.tensor("b"))
    return chosen


@evaluates("constexpr_affine_dequantize")
def affine_dequantize(arguments: Arguments) -> Array:
    """scale (quantized - zero_point), both along `axis` or scalar."""
    data = arguments.tensor("quantized_data").astype(np.float32)
    shape = [1] * data.ndim
    shape[arguments.integer("axis")] = -1
    scale, zero = arguments.tensor("scale"), arguments.tensor("zero_point").astype(np.float32)
    result: Array = (data - (zero.reshape(shape) if zero.ndim else zero)) * (
        scale.reshape(shape) if scale.ndim else scale
    )
    return result
