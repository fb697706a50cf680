"""Gemm and MatMul: `linear` where the right side is a constant matrix, `matmul` otherwise.

Honoured of the ONNX specification: Gemm's alpha, beta, transA, transB and a C that broadcasts in
any way; MatMul's numpy rules with vectors, batches and broadcasting.
"""

from __future__ import annotations

import numpy as np

from edgewright_converter.emit.coreml.emission import Emission, Value
from edgewright_converter.emit.coreml.registry import emits
from edgewright_converter.graph.model import Array


@emits("Gemm", (7, 9, 11, 13))
def gemm(emission: Emission) -> None:
    """alpha A B + beta C on matrices."""
    node = emission.node
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    weights, addend = emission.constant(1), emission.constant(2)
    left = emission.variable(0)
    if node.integer("transA", 0):
        left = emission.op("transpose", x=left, perm=[1, 0])
    if weights is None:
        transposed = bool(node.integer("transB", 0))
        product = emission.op("matmul", x=left, y=emission.value(1), transpose_y=transposed)
        product = _scaled(emission, product, alpha)
    else:
        weight_oi = weights if node.integer("transB", 0) else weights.T
        weight_oi = (np.float32(alpha) * weight_oi).astype(np.float32)
        if addend is not None and _is_row(addend, weight_oi.shape[0]):
            row = np.broadcast_to(addend.reshape(-1), (weight_oi.shape[0],))
            bias = (np.float32(beta) * row).astype(np.float32)
            emission.give(_linear(emission, left, weight_oi, bias))
            return
        product = _linear(emission, left, weight_oi, None)
    if emission.has(2) and beta != 0:
        if addend is not None:
            scaled: Value = (np.float32(beta) * addend).astype(np.float32)
        else:
            scaled = _scaled(emission, emission.value(2), beta)
        product = emission.op("add", x=product, y=scaled)
    emission.give(product)


def _is_row(addend: Array, columns: int) -> bool:
    return addend.size in (1, columns) and (addend.ndim < 2 or addend.shape[0] == 1)


def _scaled(emission: Emission, value: Value, factor: float) -> Value:
    return value if factor == 1 else emission.op("mul", x=value, y=emission.filled(factor))


def _linear(emission: Emission, left: Value, weight_oi: Array, bias: Array | None) -> Value:
    extra = {} if bias is None else {"bias": np.ascontiguousarray(bias)}
    return emission.op("linear", x=left, weight=np.ascontiguousarray(weight_oi), **extra)


@emits("MatMul", (1, 9, 13))
def matmul(emission: Emission) -> None:
    """numpy.matmul."""
    left_shape, right_shape = emission.shape(0), emission.shape(1)
    if 0 in (len(left_shape), len(right_shape)):
        emission.refuse("a scalar cannot be multiplied as a matrix")
    weights = emission.constant(1)
    if weights is not None and weights.ndim == 2 and 2 <= len(left_shape) <= 3:
        emission.give(_linear(emission, emission.variable(0), weights.T.astype(np.float32), None))
        return
    left, right = emission.variable(0), emission.variable(1)
    if len(left_shape) == 1:
        left = emission.reshape(left, (1, *left_shape))
    if len(right_shape) == 1:
        right = emission.reshape(right, (*right_shape, 1))
    product = emission.op("matmul", x=left, y=right)
    emission.give(emission.reshape(product, emission.result().sample))
