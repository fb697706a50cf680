"""Small networks to send out through our writer and in again."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_network(size: int = 12) -> onnx.ModelProto:
    """Two convolutions, a depthwise one around an addition, a pool and a dense layer."""
    random = np.random.default_rng(2)

    def weights(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return (random.standard_normal(shape) * 0.3).astype(np.float32)

    constants = {
        "w0": weights(8, 3, 3, 3), "b0": weights(8), "w1": weights(8, 1, 3, 3), "b1": weights(8),
        "w2": weights(6, 8, 1, 1), "b2": weights(6), "w3": weights(5, 6), "b3": weights(5),
    }  # fmt: skip  # one layer after the other
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "w0", "b0"], ["c0"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["c0"], ["r0"]),
        node("Conv", ["r0", "w1", "b1"], ["c1"], group=8, pads=[1, 1, 1, 1]),
        node("Add", ["c1", "r0"], ["a1"]),
        node("Relu", ["a1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"]),
        node("GlobalAveragePool", ["c2"], ["p2"]),
        node("Flatten", ["p2"], ["f2"]),
        node("Gemm", ["f2", "w3", "b3"], ["logits"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model
