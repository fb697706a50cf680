"""Activations (MIL ops `activation`)."""

from __future__ import annotations

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.operations.elementwise import erf_of
from edgewright_converter.measure.mil_evaluator.registry import Arguments, evaluates


@evaluates("relu")
def relu(arguments: Arguments) -> Array:
    """max(x, 0)."""
    result: Array = np.maximum(arguments.tensor("x"), 0)
    return result


@evaluates("relu6")
def relu6(arguments: Arguments) -> Array:
    """min(max(x, 0), 6)."""
    return np.clip(arguments.tensor("x"), 0, 6)


def _sigmoid(x: Array) -> Array:
    result: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return result


@evaluates("sigmoid")
def sigmoid(arguments: Arguments) -> Array:
    """1 / (1 + exp(-x))."""
    return _sigmoid(arguments.tensor("x"))


@evaluates("silu")
def silu(arguments: Arguments) -> Array:
    """x sigmoid(x)."""
    x = arguments.tensor("x")
    return x * _sigmoid(x)


@evaluates("sigmoid_hard")
def sigmoid_hard(arguments: Arguments) -> Array:
    """min(max(alpha x + beta, 0), 1)."""
    alpha, beta = arguments.number("alpha"), arguments.number("beta")
    return np.clip(alpha * arguments.tensor("x") + beta, 0, 1)


@evaluates("softplus")
def softplus(arguments: Arguments) -> Array:
    """log(1 + exp(x))."""
    result: Array = np.logaddexp(arguments.tensor("x"), 0)
    return result


@evaluates("softsign")
def softsign(arguments: Arguments) -> Array:
    """x / (1 + |x|)."""
    x = arguments.tensor("x")
    result: Array = x / (1 + np.abs(x))
    return result


@evaluates("leaky_relu", "elu")
def rectified(arguments: Arguments) -> Array:
    """x, or alpha x (leaky_relu), alpha (exp(x) - 1) (elu) below zero."""
    x, alpha = arguments.tensor("x"), arguments.number("alpha")
    negative = x if arguments.kind == "leaky_relu" else np.expm1(np.minimum(x, 0))
    result: Array = np.where(x > 0, x, alpha * negative)
    return result


@evaluates("prelu")
def prelu(arguments: Arguments) -> Array:
    """x, or alpha x below zero, with an alpha per channel."""
    x = arguments.tensor("x")
    alpha = arguments.tensor("alpha").reshape(1, -1, *(1,) * (x.ndim - 2))
    result: Array = np.where(x > 0, x, alpha * x)
    return result


@evaluates("gelu")
def gelu(arguments: Arguments) -> Array:
    """0.5 x (1 + erf(x / sqrt 2)), or an approximation of it."""
    x = arguments.tensor("x")
    match arguments.text("mode", "EXACT"):
        case "EXACT":
            return np.asarray(0.5 * x * (1 + erf_of(x / np.sqrt(2))))
        case "TANH_APPROXIMATION":
            inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
            return np.asarray(0.5 * x * (1 + np.tanh(inner)))
        case "SIGMOID_APPROXIMATION":
            return x * _sigmoid(1.702 * x)
        case other:
            raise arguments.refuse(f"mode {other}")


@evaluates("softmax")
def softmax(arguments: Arguments) -> Array:
    """exp(x) over its sum along an axis."""
    x, axis = arguments.tensor("x"), arguments.integer("axis", -1)
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Array = raised / raised.sum(axis=axis, keepdims=True)
    return result
