"""INT4 weights in an ONNX file: MatMulNBits, the operator that ONNX Runtime computes with.

Layout: com.microsoft.MatMulNBits in onnxruntime's ContribOperators.md. Symmetric, 8 stands for 0.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32
"""Elements of a column that share one scale: 0.5 + 4/32 bytes an element."""
_MIN_ELEMENTS = 4096
_DOMAIN = "com.microsoft"


def to_int4(data: bytes) -> tuple[bytes, int]:
    """The model with every MatMul by a large FP32 matrix [k, n] in INT4, and how many were."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    count = 0
    for node in graph.node:
        tensor = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if (
            tensor is None
            or tensor.data_type != TensorProto.FLOAT
            or len(tensor.dims) != 2
            or tensor.dims[0] * tensor.dims[1] < _MIN_ELEMENTS
        ):
            continue
        levels, scales = _blocks(np.asarray(numpy_helper.to_array(tensor), np.float32))
        names = [f"{node.name}_int4", f"{node.name}_int4_scales"]
        graph.initializer.append(numpy_helper.from_array(levels, names[0]))
        graph.initializer.append(numpy_helper.from_array(scales, names[1]))
        node.CopyFrom(
            helper.make_node(
                "MatMulNBits", [node.input[0], *names], list(node.output), node.name,
                domain=_DOMAIN, K=tensor.dims[0], N=tensor.dims[1], bits=4, block_size=BLOCK,
            )
        )  # fmt: skip  # what it reads and writes, then its attributes
        count += 1
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    if count and all(entry.domain != _DOMAIN for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    result: bytes = model.SerializeToString(deterministic=True)
    return result, count


def _blocks(
    weight_kn: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[n, blocks, 16] pairs of levels, the first in the low four bits, and a scale per block."""
    k, n = weight_kn.shape
    count = -(-k // BLOCK)
    padded = np.zeros((n, count * BLOCK), np.float32)
    padded[:, :k] = weight_kn.T
    blocks = padded.reshape(n, count, BLOCK)
    # The value of largest size becomes -8, which two's complement has and 8 has not.
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    scales = largest / np.float32(-8)
    safe = np.where(scales == 0, np.float32(1), scales)
    levels = np.clip(np.rint(blocks / safe) + 8, 0, 15).astype(np.uint8)
    pairs = levels[..., 0::2] | (levels[..., 1::2] << 4)
    return pairs, scales.reshape(-1).astype(np.float32)
