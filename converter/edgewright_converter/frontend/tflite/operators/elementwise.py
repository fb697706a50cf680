"""Arithmetic, comparison, logic and rounding, element by element with broadcasting."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import ActivationOptions
from edgewright_converter.frontend.tflite.registry import reads

_FUSING = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}
_BINARY = {
    "POW": "Pow",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
    "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterOrEqual",
    "LESS": "Less",
    "LESS_EQUAL": "LessOrEqual",
    "EQUAL": "Equal",
    "LOGICAL_AND": "And",
    "LOGICAL_OR": "Or",
}
_UNARY = {
    "ABS": "Abs",
    "CEIL": "Ceil",
    "COS": "Cos",
    "EXP": "Exp",
    "FLOOR": "Floor",
    "LOG": "Log",
    "LOGICAL_NOT": "Not",
    "NEG": "Neg",
    "ROUND": "Round",
    "SIGN": "Sign",
    "SIN": "Sin",
    "SQRT": "Sqrt",
}


def _pair(call: Call) -> list[str]:
    rank = call.result().rank
    return [call.operand(position, rank) for position in (0, 1)]


@reads("ADD", 5)
@reads("SUB", 5)
@reads("MUL", 7)
@reads("DIV", 2)
def arithmetic(call: Call) -> None:
    """Two operands and a fused activation."""
    kind = call.operator.kind
    integer = call.result().dtype.kind in "iu" and call.result().quantization is None
    if kind == "DIV" and integer:
        call.refuse("integers are divided towards zero, which ONNX leaves open")
    made = call.node(_FUSING[kind], _pair(call))
    call.give(call.activated(made, call.options(ActivationOptions).fused_activation_function))


@reads("POW", 1)
@reads("MAXIMUM", 4)
@reads("MINIMUM", 4)
@reads("GREATER", 2)
@reads("GREATER_EQUAL", 3)
@reads("LESS", 3)
@reads("LESS_EQUAL", 2)
@reads("EQUAL", 4)
@reads("LOGICAL_AND", 1)
@reads("LOGICAL_OR", 1)
def binary(call: Call) -> None:
    """Two operands."""
    call.give(call.node(_BINARY[call.operator.kind], _pair(call)))


@reads("NOT_EQUAL", 3)
def not_equal(call: Call) -> None:
    """Whether two operands differ."""
    call.give(call.node("Not", [call.node("Equal", _pair(call))]))


@reads("SQUARED_DIFFERENCE", 2)
def squared_difference(call: Call) -> None:
    """(a - b)^2."""
    difference = call.node("Sub", _pair(call))
    call.give(call.node("Mul", [difference, difference]))


@reads("FLOOR_DIV", 3)
def floor_div(call: Call) -> None:
    """floor(a / b)."""
    if call.result().dtype.kind in "iu" and call.result().quantization is None:
        call.refuse("integers are divided towards minus infinity, which ONNX lacks")
    call.give(call.node("Floor", [call.node("Div", _pair(call))]))


@reads("FLOOR_MOD", 2)
def floor_mod(call: Call) -> None:
    """a - b floor(a / b): the sign is b's."""
    left, right = _pair(call)
    if call.result().dtype.kind in "iu":
        call.give(call.node("Mod", [left, right]))
        return
    # Not by the quotient, which rounds: fmod is exact, and its sign is put right afterwards.
    rest = call.node("Mod", [left, right], fmod=1)
    zero = call.number(0)
    signs = [call.node("Less", [value, zero]) for value in (rest, right)]
    wrong = call.node(
        "And",
        [call.node("Xor", signs), call.node("Not", [call.node("Equal", [rest, zero])])],
    )
    call.give(call.node("Where", [wrong, call.node("Add", [rest, right]), rest]))


@reads("ABS", 5)
@reads("CEIL", 1)
@reads("COS", 1)
@reads("EXP", 2)
@reads("FLOOR", 1)
@reads("LOG", 2)
@reads("LOGICAL_NOT", 1)
@reads("NEG", 1)
@reads("ROUND", 1)
@reads("SIGN", 2)
@reads("SIN", 1)
@reads("SQRT", 1)
def unary(call: Call) -> None:
    """One operand."""
    call.give(call.node(_UNARY[call.operator.kind], [call.value()]))


@reads("SQUARE", 1)
def square(call: Call) -> None:
    """x^2."""
    call.give(call.node("Mul", [call.value(), call.value()]))


@reads("RSQRT", 3)
def rsqrt(call: Call) -> None:
    """1 / sqrt(x)."""
    call.give(call.node("Reciprocal", [call.node("Sqrt", [call.value()])]))


@reads("ATAN2", 1)
def atan2(call: Call) -> None:
    """The angle of the point (x, y), -pi to pi; the first operand is y."""
    y, x = _pair(call)
    zero, pi = call.number(0), call.number(math.pi)
    half = call.node("Atan", [call.node("Div", [y, x])])
    turn = call.node("Where", [call.node("Less", [y, zero]), call.node("Neg", [pi]), pi])
    left = call.node("Where", [call.node("Less", [x, zero]), turn, zero])
    nowhere = call.node("And", [call.node("Equal", [value, zero]) for value in (x, y)])
    call.give(call.node("Where", [nowhere, zero, call.node("Add", [half, left])]))


@reads("ADD_N", 1)
def add_n(call: Call) -> None:
    """The sum of all inputs."""
    rank = call.result().rank
    call.give(call.node("Sum", [call.operand(position, rank) for position in range(call.count)]))


@reads("SELECT", 4)
@reads("SELECT_V2", 2)
def select(call: Call) -> None:
    """The second operand where the first is true, else the third."""
    rank = call.result().rank
    if call.operator.kind == "SELECT" and call.tensor(0).rank not in (0, rank):
        call.refuse("its condition chooses whole rows")
    call.give(call.node("Where", [call.operand(position, rank) for position in range(3)]))


@reads("CAST", 7)
def cast(call: Call) -> None:
    """Another element type; floats are cut towards zero. LiteRT goes by the tensors, not by the
    options, which some writers leave out.
    """
    target = call.result().dtype
    call.give(call.node("Cast", [call.value()], to=helper.np_dtype_to_tensor_dtype(target)))


@reads("QUANTIZE", 4)
@reads("DEQUANTIZE", 6)
def identity_of_real(call: Call) -> None:
    """Between integers and real numbers: the same numbers in another form."""
    source, target = call.tensor(), call.result()
    value = call.value()
    if source.dtype == np.float16:
        value = call.node("Cast", [value], to=TensorProto.FLOAT)
    if source.dtype.kind in "iu" and source.quantization is None:
        call.refuse("its input has no scale")
    if target.dtype.kind in "iu" and target.quantization is None:
        call.refuse("its output has no scale")
    call.give(value)
