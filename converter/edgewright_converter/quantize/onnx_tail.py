"""The tail of an ONNX model, behind its last weights: what integers do not make faster there.

Scores put together, softmax, the boxes of a detector: few numbers, often without an integer
kernel, so that each operator stands between two conversions; and a Concat of boxes and scores
has one scale for both (YOLOv8n found 33 % of its objects so, 90 % with its tail in float).
"""

from collections.abc import Collection

import onnx

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
_CARRIED = (
    "Relu", "LeakyRelu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose",
)  # fmt: skip  # what computes, then what moves
"""Done in integers with the layer before them at no cost, as long as nothing else comes first."""
_TO_FLOAT = ("Gemm", "MatMul")
"""ONNX Runtime has integer kernels of them that give floats; of convolutions it has none."""


def tail_of(model: bytes) -> list[str]:
    """The names of the nodes behind the last weights; every node must have one."""
    graph = onnx.load_model_from_string(model).graph
    leading: set[str] = set()  # tensors that some node with weights depends on
    for node in reversed(graph.node):
        if node.op_type in _WEIGHTED or leading.intersection(node.output):
            leading.update(node.input)
    tail: list[str] = []
    behind: set[str] = set()
    for node in graph.node:
        if node.op_type in _WEIGHTED or leading.intersection(node.output):
            continue
        if node.op_type in _CARRIED and not behind.intersection(node.input):
            continue
        behind.update(node.output)
        tail.append(node.name)
    return tail


def open_tail(data: bytes, tail: Collection[str]) -> bytes:
    """The QDQ model without the pair between a Gemm or MatMul and a tail that is in float."""
    model = onnx.load_model_from_string(data)
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    gone: set[str] = set()
    for rebuild in graph.node:
        pair = makers.get(rebuild.input[0]) if rebuild.op_type == "DequantizeLinear" else None
        if pair is None or pair.op_type != "QuantizeLinear":
            continue
        maker, name = makers.get(pair.input[0]), rebuild.output[0]
        if (
            maker is None
            or maker.op_type not in _TO_FLOAT
            or len(readers[pair.output[0]]) > 1
            or any(node.name not in tail for node in readers.get(name, []))
        ):
            continue
        for node in readers[pair.input[0]]:
            node.input[:] = [name if one == maker.output[0] else one for one in node.input]
        maker.output[0] = name
        gone |= {pair.name, rebuild.name}
    kept = [node for node in graph.node if node.name not in gone]
    del graph.node[:]
    graph.node.extend(kept)
    result: bytes = model.SerializeToString(deterministic=True)
    return result
