"""Gemm and MatMul: FULLY_CONNECTED where the right side is a constant matrix, BATCH_MATMUL
otherwise.

Honoured of the ONNX specification: Gemm's alpha, beta, transA, transB and a C that broadcasts in
any way; MatMul's numpy rules with vectors, batches and broadcasting. A Flatten in front of constant
weights costs no transposition: the weights' rows are put into the order in which the image lies in
memory.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.emit.tflite.builder import Tensor
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import emits
from edgewright_converter.graph.layout import SOURCE, Layout
from edgewright_converter.graph.model import Array, TensorType

_Op = schema.BuiltinOperator


@emits("Gemm", (7, 9, 11, 13), place=SOURCE)
def gemm(emission: Emission) -> None:
    """alpha A B + beta C on matrices."""
    node, result = emission.node, emission.result()
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    weights, addend = emission.constant(1), emission.constant(2)
    left = emission.tensor(0)
    if node.integer("transA", 0):
        left = emission.builder.transpose(left, (1, 0))
    if weights is None:
        right = emission.tensor(1)
        product = _matmul(emission, left, right, result, bool(node.integer("transB", 0)))
        product = _scaled(emission, product, alpha)
    else:
        weight_ok = weights if node.integer("transB", 0) else weights.T
        if not node.integer("transA", 0):
            left, weight_ok = _in_memory_order(emission, left, weight_ok)
        weight_ok = (np.float32(alpha) * weight_ok).astype(np.float32)
        bias = None
        if addend is not None and _is_row(addend, weight_ok.shape[0]):
            row = np.broadcast_to(addend.reshape(-1), (weight_ok.shape[0],))
            bias = (np.float32(beta) * row).astype(np.float32)
        product = _fully_connected(emission, left, weight_ok, bias, result)
        if bias is not None:
            emission.give(product)
            return
    if emission.has(2) and beta != 0:
        inputs = [product, _scaled(emission, emission.tensor(2), beta)]
        product = emission.operator(_Op.ADD, inputs, result, schema.AddOptionsT())
    emission.give(product)


def _is_row(addend: Array, columns: int) -> bool:
    return addend.size in (1, columns) and (addend.ndim < 2 or addend.shape[0] == 1)


def _scaled(emission: Emission, tensor: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return tensor
    data = emission.builder.data(tensor)
    if data is not None:
        return emission.builder.constant((np.float32(factor) * data).astype(np.float32))
    inputs = [tensor, emission.filled(factor, tensor.type.dtype)]
    return emission.operator(_Op.MUL, inputs, tensor.type, schema.MulOptionsT())


@emits("MatMul", (1, 9, 13), place=SOURCE)
def matmul(emission: Emission) -> None:
    """numpy.matmul."""
    left_type, right_type = emission.type(0), emission.type(1)
    left, right, result = emission.tensor(0), emission.tensor(1), emission.result()
    weights = emission.constant(1)
    if weights is not None and weights.ndim == 2 and left_type.rank >= 2:
        left, weight_ok = _in_memory_order(emission, left, weights.T)
        emission.give(_fully_connected(emission, left, weight_ok, None, result))
        return
    if left_type.rank == 1:
        left = emission.reshape(left, left_type.inserted(0))
    if right_type.rank == 1:
        right = emission.reshape(right, right_type.inserted(1))
    full = result
    if right_type.rank == 1:
        full = full.inserted(full.rank)
    if left_type.rank == 1:
        full = full.inserted(full.rank - 1)
    emission.give(emission.reshape(_matmul(emission, left, right, full, False), result))


def _matmul(
    emission: Emission, left: Tensor, right: Tensor, result: TensorType, transposed: bool
) -> Tensor:
    options = schema.BatchMatMulOptionsT()
    options.adjY = transposed
    return emission.operator(_Op.BATCH_MATMUL, [left, right], result, options)


def _fully_connected(
    emission: Emission, left: Tensor, weight_ok: Array, bias: Array | None, result: TensorType
) -> Tensor:
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    if bias is None:
        bias = np.zeros(weight_ok.shape[0], np.float32)
    inputs = [left, emission.builder.constant(weight_ok), emission.builder.constant(bias)]
    return emission.operator(_Op.FULLY_CONNECTED, inputs, result, options)


def _in_memory_order(emission: Emission, left: Tensor, weight_ok: Array) -> tuple[Tensor, Array]:
    """Reads a flattened image as it lies in memory, with the weights' columns in the same order."""
    flatten = emission.graph.producer(emission.node.inputs[0])
    if flatten is None or flatten.operator not in ("Flatten", "Reshape"):
        return left, weight_ok
    image = emission.graph.types[flatten.inputs[0]]
    held = emission.values.held(flatten.inputs[0], Layout.CHANNELS_LAST)
    if held is None or not image.is_whole_row(emission.type(0)):
        return left, weight_ok
    order = Layout.CHANNELS_LAST.order(image.rank)
    columns = np.arange(weight_ok.shape[1]).reshape(image.sample[1:])
    columns = np.transpose(columns, [axis - 1 for axis in order[1:]]).reshape(-1)
    return emission.reshape(held, emission.type(0)), weight_ok[:, columns]
