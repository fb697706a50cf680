"""Add, Sub, Mul, Div, Max, Min, Pow and the functions of one argument, in whatever layout their
inputs are.

Honoured of the ONNX specification: numpy broadcasting (opset 7 on), any number of arguments of Max,
Min, Sum and Mean. Refused: the broadcast attributes of opsets before 7, integer division of
negative numbers (ONNX truncates).
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import ANY, ARITHMETIC, FLOAT, emits
from edgewright_converter.graph.layout import Layout
from edgewright_converter.graph.model import Array

_Op = schema.BuiltinOperator
_BINARY = {
    "Add": (_Op.ADD, schema.AddOptionsT),
    "Sub": (_Op.SUB, schema.SubOptionsT),
    "Mul": (_Op.MUL, schema.MulOptionsT),
    "Max": (_Op.MAXIMUM, schema.MaximumMinimumOptionsT),
    "Min": (_Op.MINIMUM, schema.MaximumMinimumOptionsT),
    "Sum": (_Op.ADD, schema.AddOptionsT),
    "Mean": (_Op.ADD, schema.AddOptionsT),
}


@emits("Add", (7, 13, 14), dtypes=ARITHMETIC)
@emits("Sub", (7, 13, 14), dtypes=ARITHMETIC)
@emits("Mul", (7, 13, 14), dtypes=ARITHMETIC)
@emits("Max", (8, 12, 13), dtypes=ARITHMETIC)
@emits("Min", (8, 12, 13), dtypes=ARITHMETIC)
@emits("Sum", (8, 13))
@emits("Mean", (8, 13))
def accumulate(emission: Emission) -> None:
    """Folds the arguments from the left by the operator."""
    code, options = _BINARY[emission.node.operator]
    result = emission.result_in_memory()
    total = emission.operand(0, result.rank)
    shape = np.broadcast_shapes(emission.type(0).sample)
    for position in range(1, len(emission.node.inputs)):
        shape = np.broadcast_shapes(shape, emission.type(position).sample)
        if position < len(emission.node.inputs) - 1 and shape != emission.result().sample:
            emission.refuse("its first arguments broadcast only with a later one")
        other = emission.operand(position, result.rank)
        total = emission.operator(code, [total, other], result, options())
    if len(emission.node.inputs) == 1:
        total = emission.reshape(total, result)
    if emission.node.operator == "Mean" and len(emission.node.inputs) > 1:
        share = emission.filled(1 / len(emission.node.inputs), result.dtype)
        total = emission.operator(_Op.MUL, [total, share], result, schema.MulOptionsT())
    emission.give(total)


@emits("Div", (7, 13, 14), dtypes=FLOAT)
def divide(emission: Emission) -> None:
    """Quotient; a constant divisor that is a power of two becomes an exact product."""
    result = emission.result_in_memory()
    divisor = emission.constant(1)
    dividend = emission.operand(0, result.rank)
    if divisor is not None and _inverts_exactly(divisor):
        order = emission.input_layout.order(result.rank)
        lifted = divisor.reshape((1,) * (result.rank - divisor.ndim) + divisor.shape)
        inverse = emission.builder.constant(np.transpose(1 / lifted, order))
        emission.give(emission.operator(_Op.MUL, [dividend, inverse], result, schema.MulOptionsT()))
        return
    inputs = [dividend, emission.operand(1, result.rank)]
    emission.give(emission.operator(_Op.DIV, inputs, result, schema.DivOptionsT()))


def _inverts_exactly(divisor: Array) -> bool:
    mantissa, exponent = np.frexp(divisor)
    return bool(np.all(np.abs(mantissa) == 0.5) and np.all(np.abs(exponent) < 100))


@emits("Pow", (7, 12, 13, 15))
def power(emission: Emission) -> None:
    """x ** y; squares, roots and the first power by their own operators."""
    result = emission.result_in_memory()
    exponent = emission.constant(1)
    if emission.type(1).dtype != result.dtype and exponent is None:
        emission.refuse("an exponent of another type than the base must be constant")
    if exponent is not None and exponent.size == 1 and emission.type(0).rank == result.rank:
        value = float(exponent.reshape(-1)[0])
        base = emission.tensor(0)
        if value == 1:
            emission.give(base)
            return
        if value == 2:
            emission.give(emission.operator(_Op.MUL, [base, base], result, schema.MulOptionsT()))
            return
        if value == 0.5:
            emission.give(emission.operator(_Op.SQRT, [base], result))
            return
    if exponent is None:
        raised = emission.operand(1, result.rank)
    elif exponent.ndim <= 1 and exponent.size == 1:
        raised = emission.filled(float(exponent.reshape(-1)[0]), result.dtype)
    else:
        order = emission.input_layout.order(result.rank)
        lifted = exponent.reshape((1,) * (result.rank - exponent.ndim) + exponent.shape)
        raised = emission.builder.constant(np.transpose(lifted, order).astype(result.dtype))
    inputs = [emission.operand(0, result.rank), raised]
    emission.give(emission.operator(_Op.POW, inputs, result, schema.PowOptionsT()))


_UNARY = {
    "Abs": _Op.ABS,
    "Ceil": _Op.CEIL,
    "Cos": _Op.COS,
    "Exp": _Op.EXP,
    "Floor": _Op.FLOOR,
    "Log": _Op.LOG,
    "Neg": _Op.NEG,
    "Round": _Op.ROUND,
    "Sin": _Op.SIN,
    "Sqrt": _Op.SQRT,
    "Sign": _Op.SIGN,
    "Not": _Op.LOGICAL_NOT,
}


@emits("Abs", (6, 13))
@emits("Ceil", (6, 13))
@emits("Cos", (7, 22))
@emits("Exp", (6, 13))
@emits("Floor", (6, 13))
@emits("Log", (6, 13))
@emits("Neg", (6, 13))
@emits("Not", (1,), dtypes=("bool",))
@emits("Round", (11, 22))
@emits("Sign", (9, 13))
@emits("Sin", (7, 22))
@emits("Sqrt", (6, 13))
def function(emission: Emission) -> None:
    """A function of one argument (Round goes to the even neighbour in both formats)."""
    code = _UNARY[emission.node.operator]
    emission.give(emission.operator(code, [emission.tensor()], emission.result_in_memory()))


@emits("Reciprocal", (6, 13))
def reciprocal(emission: Emission) -> None:
    """1 / x."""
    result = emission.result_in_memory()
    inputs = [emission.filled(1.0, result.dtype), emission.tensor()]
    emission.give(emission.operator(_Op.DIV, inputs, result, schema.DivOptionsT()))


@emits("Mod", (10, 13, 28), dtypes=ARITHMETIC)
def modulo(emission: Emission) -> None:
    """Remainder with the divisor's sign; of the C kind (fmod) with the dividend's."""
    result = emission.result_in_memory()
    left, right = emission.operand(0, result.rank), emission.operand(1, result.rank)
    if not emission.node.integer("fmod", 0):
        if result.dtype.kind == "f":
            emission.refuse("onnxruntime and the specification differ on floats without fmod")
        emission.give(emission.binary(_Op.FLOOR_MOD, left, right, result))
        return
    # sign(x) (|x| mod |y|), both not negative.
    parts = [emission.operator(_Op.ABS, [part], part.type) for part in (left, right)]
    rest = emission.binary(_Op.FLOOR_MOD, parts[0], parts[1], result)
    sign = emission.operator(_Op.SIGN, [left], left.type)
    emission.give(emission.binary(_Op.MUL, rest, sign, result))


@emits("IsNaN", (9, 13, 20))
def is_nan(emission: Emission) -> None:
    """Only NaN differs from itself."""
    inputs = [emission.tensor(), emission.tensor()]
    emission.give(emission.operator(_Op.NOT_EQUAL, inputs, emission.result_in_memory()))


@emits("IsInf", (10, 20))
def is_infinite(emission: Emission) -> None:
    """Whether x is one of the infinities that are asked for."""
    node, tensor = emission.node, emission.tensor()
    result = emission.result_in_memory()
    wanted = [
        value
        for value, name in ((np.inf, "detect_positive"), (-np.inf, "detect_negative"))
        if node.integer(name, 1)
    ]
    if len(wanted) == 2:
        tensor, wanted = emission.operator(_Op.ABS, [tensor], tensor.type), wanted[:1]
    if not wanted:
        emission.refuse("it asks for neither infinity")
    inputs = [tensor, emission.filled(wanted[0], tensor.type.dtype)]
    emission.give(emission.operator(_Op.EQUAL, inputs, result))


_COMPARISONS = {
    "Equal": _Op.EQUAL,
    "Greater": _Op.GREATER,
    "GreaterOrEqual": _Op.GREATER_EQUAL,
    "Less": _Op.LESS,
    "LessOrEqual": _Op.LESS_EQUAL,
    "And": _Op.LOGICAL_AND,
    "Or": _Op.LOGICAL_OR,
    "Xor": _Op.NOT_EQUAL,
}


@emits("Equal", (7, 11, 13, 19), dtypes=(*ARITHMETIC, "bool"))
@emits("Greater", (7, 9, 13), dtypes=ARITHMETIC)
@emits("GreaterOrEqual", (12, 16), dtypes=ARITHMETIC)
@emits("Less", (7, 9, 13), dtypes=ARITHMETIC)
@emits("LessOrEqual", (12, 16), dtypes=ARITHMETIC)
@emits("And", (7,), dtypes=("bool",))
@emits("Or", (7,), dtypes=("bool",))
@emits("Xor", (7,), dtypes=("bool",))
def compare(emission: Emission) -> None:
    """A comparison or a logical operator of two arguments."""
    result = emission.result_in_memory()
    inputs = [emission.operand(position, result.rank) for position in range(2)]
    emission.give(emission.operator(_COMPARISONS[emission.node.operator], inputs, result))


@emits("Where", (9, 16), dtypes=("bool",))
def where(emission: Emission) -> None:
    """Chooses between two arguments by a condition, all three broadcast."""
    result = emission.result_in_memory()
    inputs = [emission.operand(position, result.rank) for position in range(3)]
    options = schema.SelectV2OptionsT()
    emission.give(emission.operator(_Op.SELECT_V2, inputs, result, options))


@emits("Identity", (1, 13, 14, 16, 19, 21, 23, 24, 25), dtypes=ANY)
@emits("Dropout", (7, 10, 12, 13, 22))
def identity(emission: Emission) -> None:
    """The input itself; Dropout outside training does nothing."""
    if emission.node.operator == "Dropout":
        training, ratio = emission.constant(2), emission.constant(1)
        kept = ratio is not None and not ratio.any()
        if emission.has(2) and not kept and (training is None or bool(training)):
            emission.refuse("training_mode cannot be expressed")
        if emission.wants(1):
            mask = emission.values.graph.types[emission.node.outputs[1]]
            if not mask.is_static:
                emission.refuse("a mask that follows the batch cannot be expressed")
            whole = emission.builder.constant(np.ones(mask.sample, mask.dtype))
            emission.give(whole, 1, Layout.SOURCE)
    emission.give(emission.tensor())


@emits("Cast", (6, 9, 13, 19, 21, 23, 24, 25, 28), dtypes=ANY)
def cast(emission: Emission) -> None:
    """Another element type; float to integer truncates in both formats."""
    source, result = emission.type().dtype, emission.result_in_memory()
    if source == result.dtype:
        emission.give(emission.tensor())
        return
    if result.dtype.name not in ANY:
        emission.refuse(f"a cast to {result.dtype.name} cannot be expressed")
    emission.give(emission.operator(_Op.CAST, [emission.tensor()], result, schema.CastOptionsT()))
