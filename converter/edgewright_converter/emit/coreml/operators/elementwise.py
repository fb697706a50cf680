"""Add, Sub, Mul, Div, Max, Min, Sum, Mean, Pow, Mod, comparisons, Where, and the functions of one
argument.

Honoured of the ONNX specification: numpy broadcasting (opset 7 on), any number of arguments of
Max, Min, Sum and Mean. Refused: the broadcast attributes of opsets before 7, integer division
(ONNX truncates, MIL floors), fmod.
"""

from __future__ import annotations

from edgewright_converter.emit.coreml.emission import Emission
from edgewright_converter.emit.coreml.registry import ANY, ARITHMETIC, FLOAT, emits

_FOLDED = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "real_div",
    "Max": "maximum",
    "Min": "minimum",
    "Sum": "add",
    "Mean": "add",
}


@emits("Add", (7, 13, 14), dtypes=ARITHMETIC)
@emits("Sub", (7, 13, 14), dtypes=ARITHMETIC)
@emits("Mul", (7, 13, 14), dtypes=ARITHMETIC)
@emits("Div", (7, 13, 14), dtypes=FLOAT)
@emits("Max", (8, 12, 13), dtypes=ARITHMETIC)
@emits("Min", (8, 12, 13), dtypes=ARITHMETIC)
@emits("Sum", (8, 13))
@emits("Mean", (8, 13))
def accumulate(emission: Emission) -> None:
    """Folds the arguments from the left by the operator."""
    count = len(emission.node.inputs)
    total = emission.variable(0) if count == 1 else emission.value(0)
    for position in range(1, count):
        total = _folded(emission, total, emission.value(position))
    if emission.node.operator == "Mean" and count > 1:
        total = emission.op("mul", x=total, y=emission.filled(1 / count))
    if count == 1:
        total = emission.op("identity", x=total)
    emission.give(total)


def _folded(emission: Emission, left: object, right: object) -> object:
    return emission.op(_FOLDED[emission.node.operator], x=left, y=right)


@emits("Pow", (7, 12, 13, 15))
def power(emission: Emission) -> None:
    """x ** y; squares, cubes and roots without a logarithm, so that any sign of x works."""
    exponent = emission.constant(1)
    if exponent is None:
        if emission.type(1).dtype != emission.result().dtype:
            emission.refuse("an exponent of another type than the base must be constant")
        emission.give(emission.op("pow", x=emission.value(0), y=emission.value(1)))
        return
    base = emission.value(0)
    if exponent.size == 1 and exponent.ndim <= emission.type().rank:
        value = float(exponent.reshape(-1)[0])
        if value in (1, 2, 3):
            result = emission.op("identity", x=base) if value == 1 else base
            for _ in range(int(value) - 1):
                result = emission.op("mul", x=result, y=base)
            emission.give(result)
            return
        if value == 0.5:
            emission.give(emission.op("sqrt", x=base))
            return
    emission.give(emission.op("pow", x=base, y=exponent.astype("float32")))


@emits("Mod", (10, 13, 28), dtypes=("int32", "int64"))
def modulo(emission: Emission) -> None:
    """Remainder with the divisor's sign."""
    if emission.node.integer("fmod", 0):
        emission.refuse("fmod cannot be expressed")
    emission.give(emission.op("mod", x=emission.value(0), y=emission.value(1)))


_UNARY = {
    "Abs": "abs",
    "Acos": "acos",
    "Asin": "asin",
    "Atan": "atan",
    "Atanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Not": "logical_not",
    "Round": "round",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
}


@emits("Abs", (6, 13))
@emits("Acos", (7, 22))
@emits("Asin", (7, 22))
@emits("Atan", (7, 22))
@emits("Atanh", (9, 22))
@emits("Ceil", (6, 13))
@emits("Cos", (7, 22))
@emits("Cosh", (9, 22))
@emits("Erf", (9, 13))
@emits("Exp", (6, 13))
@emits("Floor", (6, 13))
@emits("Not", (1,), dtypes=("bool",))
@emits("Round", (11, 22))
@emits("Sign", (9, 13))
@emits("Sin", (7, 22))
@emits("Sinh", (9, 22))
@emits("Sqrt", (6, 13))
@emits("Tan", (7, 22))
def function(emission: Emission) -> None:
    """A function of one argument."""
    emission.give(emission.op(_UNARY[emission.node.operator], x=emission.value()))


@emits("Log", (6, 13))
def logarithm(emission: Emission) -> None:
    """ln x; MIL's own default adds a small epsilon, which ONNX does not."""
    emission.give(emission.op("log", x=emission.value(), epsilon=0.0))


@emits("Acosh", (9, 22))
def inverse_hyperbolic_cosine(emission: Emission) -> None:
    """ln(x + sqrt(x^2 - 1))."""
    x, one = emission.value(), emission.filled(1)
    square = emission.op("sub", x=emission.op("mul", x=x, y=x), y=one)
    total = emission.op("add", x=x, y=emission.op("sqrt", x=square))
    emission.give(emission.op("log", x=total, epsilon=0.0))


@emits("Asinh", (9, 22))
def inverse_hyperbolic_sine(emission: Emission) -> None:
    """sign(x) ln(|x| + sqrt(x^2 + 1)): the sign apart, so that nothing cancels below zero."""
    x, one = emission.value(), emission.filled(1)
    square = emission.op("add", x=emission.op("mul", x=x, y=x), y=one)
    size = emission.op("abs", x=x)
    total = emission.op("add", x=size, y=emission.op("sqrt", x=square))
    grown = emission.op("log", x=total, epsilon=0.0)
    emission.give(emission.op("mul", x=emission.op("sign", x=x), y=grown))


@emits("Neg", (6, 13), dtypes=ARITHMETIC)
def negate(emission: Emission) -> None:
    """-x."""
    emission.give(emission.op("mul", x=emission.value(), y=emission.filled(-1)))


@emits("Reciprocal", (6, 13))
def reciprocal(emission: Emission) -> None:
    """1 / x; MIL's `inverse` adds an epsilon."""
    emission.give(emission.op("real_div", x=emission.filled(1), y=emission.value()))


_COMPARISONS = {
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
}


@emits("Equal", (7, 11, 13, 19), dtypes=ARITHMETIC)
@emits("Greater", (7, 9, 13), dtypes=ARITHMETIC)
@emits("GreaterOrEqual", (12, 16), dtypes=ARITHMETIC)
@emits("Less", (7, 9, 13), dtypes=ARITHMETIC)
@emits("LessOrEqual", (12, 16), dtypes=ARITHMETIC)
@emits("And", (7,), dtypes=("bool",))
@emits("Or", (7,), dtypes=("bool",))
@emits("Xor", (7,), dtypes=("bool",))
def compare(emission: Emission) -> None:
    """A comparison or a logical operator of two arguments."""
    kind = _COMPARISONS[emission.node.operator]
    emission.give(emission.op(kind, x=emission.value(0), y=emission.value(1)))


@emits("Where", (9, 16), dtypes=("bool",))
def where(emission: Emission) -> None:
    """Chooses between two arguments by a condition; MIL wants all three of one shape."""
    if emission.type(1).dtype.name not in ANY:
        emission.refuse(f"it takes {emission.type(1).dtype.name}, which MIL lacks")
    shape = emission.result().sample
    parts = []
    for position in range(3):
        value = emission.variable(position)
        value = emission.reshape(value, (1,) * (len(shape) - len(value.shape)) + value.shape)
        reps = [new // old for new, old in zip(shape, value.shape, strict=True)]
        if any(rep != 1 for rep in reps):
            value = emission.op("tile", x=value, reps=reps)
        parts.append(value)
    emission.give(emission.op("select", cond=parts[0], a=parts[1], b=parts[2]))


@emits("Identity", (1, 13, 14, 16, 19, 21, 23, 24, 25), dtypes=ANY)
@emits("Dropout", (7, 10, 12, 13, 22))
def identity(emission: Emission) -> None:
    """The input itself; Dropout outside training does nothing."""
    if emission.node.operator == "Dropout":
        if emission.wants(1):
            emission.refuse("the mask output cannot be expressed")
        training = emission.constant(2)
        if emission.has(2) and (training is None or bool(training)):
            emission.refuse("training_mode cannot be expressed")
    emission.give(emission.op("identity", x=emission.value()))


_BYTES = ("int8", "uint8")
_CASTS = {"float32": "fp32", "int32": "int32", "int64": "int32", "bool": "bool"}


@emits("Cast", (6, 9, 13, 19, 21, 23, 24, 25, 28), dtypes=(*ANY, *_BYTES))
def cast(emission: Emission) -> None:
    """Another element type; float to integer truncates in both formats.

    Bytes are held as int32. What is too large for them is undefined from float and wraps around
    from other integers, which int32 does not.
    """
    wanted = emission.result().dtype.name
    if wanted in _BYTES and emission.type().dtype.name == "float32":
        wanted = "int32"
    if wanted not in _CASTS:
        emission.refuse(f"a cast to {wanted} cannot be expressed")
    emission.give(emission.op("cast", x=emission.value(), dtype=_CASTS[wanted]))
