"""FULLY_CONNECTED, BATCH_MATMUL.

Honoured: keep_num_dims or flattening, biases or none, fused activations, adjoint operands.
Refused: weights shuffled for old ARM kernels.
"""

from __future__ import annotations

from edgewright_converter.frontend.tflite.call import Call
from edgewright_converter.frontend.tflite.options import BatchMatMulOptions, FullyConnectedOptions
from edgewright_converter.frontend.tflite.order import FILE
from edgewright_converter.frontend.tflite.registry import reads


@reads("FULLY_CONNECTED", 13, place=FILE)
def fully_connected(call: Call) -> None:
    """Rows [..., K] by weights [O, K]."""
    options = call.options(FullyConnectedOptions)
    if options.weights_format != 0:
        call.refuse("its weights are shuffled")
    shape, filters = call.tensor().shape, call.tensor(1).shape
    if len(filters) != 2 or not filters[1]:
        call.refuse(f"its weights have the shape {list(filters)}")
    value, bias = call.value(), call.bias(2, weights=1)
    if options.keep_num_dims and len(shape) > 2:
        made = call.node("MatMul", [value, call.weights(1, (1, 0))])
        made = made if bias is None else call.node("Add", [made, bias])
    else:
        if len(shape) != 2 or shape[1] != filters[1]:
            value = call.node("Reshape", [value, call.ints([-1, filters[1]])])
        inputs = [value, call.weights(1, (0, 1))]
        made = call.node("Gemm", inputs if bias is None else [*inputs, bias], transB=1)
    call.give(call.activated(made, options.fused_activation_function))


@reads("BATCH_MATMUL", 4, place=FILE)
def batch_matmul(call: Call) -> None:
    """Matrices in the last two axes; the axes before them broadcast."""
    options = call.options(BatchMatMulOptions)
    operands = []
    for position, adjoint in ((0, options.adj_x), (1, options.adj_y)):
        value, rank = call.value(position), call.tensor(position).rank
        if rank < 2:
            call.refuse("an operand is no matrix")
        swapped = [*range(rank - 2), rank - 1, rank - 2]
        operands.append(call.composer.transpose(value, swapped) if adjoint else value)
    call.give(call.node("MatMul", operands))
