"""Tan, Asin, Acos, Atan, Sinh, Cosh, Asinh, Acosh, Atanh: composed of what TFLite has.

Each formula is chosen so that nothing overflows or cancels where the function itself does not, up
to the rounding of float32 near zero.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits

_Op = schema.BuiltinOperator


class _Formula:
    """Terms of one argument's type."""

    def __init__(self, emission: Emission) -> None:
        self._emission = emission
        self.x = emission.tensor()
        self.one = self.number(1.0)

    def number(self, value: float) -> Tensor:
        return self._emission.filled(value, self.x.type.dtype)

    def of(self, code: int, *terms: Tensor) -> Tensor:
        """An operator of one or two terms."""
        if len(terms) == 2:
            return self._emission.binary(code, terms[0], terms[1], self.x.type)
        return self._emission.operator(code, terms, self.x.type)

    def give(self, tensor: Tensor) -> None:
        self._emission.give(tensor)


@emits("Tan", (7, 22))
def tangent(emission: Emission) -> None:
    """sin x / cos x."""
    formula = _Formula(emission)
    parts = [formula.of(code, formula.x) for code in (_Op.SIN, _Op.COS)]
    formula.give(formula.of(_Op.DIV, *parts))


@emits("Asin", (7, 22))
@emits("Acos", (7, 22))
@emits("Atan", (7, 22))
def inverse(emission: Emission) -> None:
    """By the angle of a point: asin x is that of (sqrt(1 - x^2), x), acos x of its mirror image."""
    formula = _Formula(emission)
    x, one = formula.x, formula.one
    if emission.node.operator == "Atan":
        # ATAN2 does not broadcast: max(min(x, 1), 1) is 1 in x's shape.
        ones = formula.of(_Op.MAXIMUM, formula.of(_Op.MINIMUM, x, one), one)
        formula.give(formula.of(_Op.ATAN2, x, ones))
        return
    # (1 - x) (1 + x) is exact near x = 1, where 1 - x^2 is not.
    square = formula.of(_Op.MUL, formula.of(_Op.SUB, one, x), formula.of(_Op.ADD, one, x))
    other = formula.of(_Op.SQRT, square)
    pair = (x, other) if emission.node.operator == "Asin" else (other, x)
    formula.give(formula.of(_Op.ATAN2, *pair))


@emits("Sinh", (9, 22))
@emits("Cosh", (9, 22))
def hyperbolic(emission: Emission) -> None:
    """(exp x -+ exp -x) / 2."""
    formula = _Formula(emission)
    half = formula.number(0.5)
    grown = formula.of(_Op.MUL, formula.of(_Op.EXP, formula.x), half)
    shrunk = formula.of(_Op.MUL, formula.of(_Op.EXP, formula.of(_Op.NEG, formula.x)), half)
    code = _Op.SUB if emission.node.operator == "Sinh" else _Op.ADD
    formula.give(formula.of(code, grown, shrunk))


@emits("Asinh", (9, 22))
def inverse_sine(emission: Emission) -> None:
    """sign x log(|x| + sqrt(x^2 + 1)), with the root scaled by m = max(|x|, 1)."""
    formula = _Formula(emission)
    size = formula.of(_Op.ABS, formula.x)
    scale = formula.of(_Op.MAXIMUM, size, formula.one)
    squares = []
    for part in (size, formula.one):
        share = formula.of(_Op.DIV, part, scale)
        squares.append(formula.of(_Op.MUL, share, share))
    root = formula.of(_Op.MUL, scale, formula.of(_Op.SQRT, formula.of(_Op.ADD, *squares)))
    logarithm = formula.of(_Op.LOG, formula.of(_Op.ADD, size, root))
    formula.give(formula.of(_Op.MUL, formula.of(_Op.SIGN, formula.x), logarithm))


@emits("Acosh", (9, 22))
def inverse_cosine(emission: Emission) -> None:
    """log(x + sqrt(x - 1) sqrt(x + 1))."""
    formula = _Formula(emission)
    roots = [
        formula.of(_Op.SQRT, formula.of(code, formula.x, formula.one))
        for code in (_Op.SUB, _Op.ADD)
    ]
    total = formula.of(_Op.ADD, formula.x, formula.of(_Op.MUL, *roots))
    formula.give(formula.of(_Op.LOG, total))


@emits("Atanh", (9, 22))
def inverse_tangent(emission: Emission) -> None:
    """log((1 + x) / (1 - x)) / 2."""
    formula = _Formula(emission)
    ratio = formula.of(
        _Op.DIV,
        formula.of(_Op.ADD, formula.one, formula.x),
        formula.of(_Op.SUB, formula.one, formula.x),
    )
    formula.give(formula.of(_Op.MUL, formula.of(_Op.LOG, ratio), formula.number(0.5)))
