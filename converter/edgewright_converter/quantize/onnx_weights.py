"""INT8 weights in an ONNX file: stored as integers, multiplied out by DequantizeLinear.

Symmetric, -127..127; per output channel where one axis of DequantizeLinear can say that.
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_MIN_ELEMENTS = 256
"""A DequantizeLinear with its scale takes as many bytes as this saves."""
_RECURRENT = ("LSTM", "GRU", "RNN")
_WEIGHTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "Gather": (0,),
    **dict.fromkeys(_RECURRENT, (1, 2)),
}
"""The inputs of each operator that may be weights."""

Uses = list[tuple[onnx.NodeProto, int]]


def compress_weights(
    data: bytes, *, kept_float: Collection[str] = (), per_channel: bool = True
) -> tuple[bytes, int]:
    """The model with every large FP32 weight in INT8, and how many were.

    `kept_float` names the nodes whose weights stay. Weights that another kind of node reads
    too stay as well.
    """
    model = onnx.load_model_from_string(data)
    graph = model.graph
    readers: dict[str, Uses] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, place))
    outputs = {value.name for value in graph.output}
    before: list[onnx.NodeProto] = []
    after: dict[str, onnx.NodeProto] = {}
    count = 0
    for tensor in list(graph.initializer):
        uses = readers.get(tensor.name, [])
        if (
            tensor.data_type != TensorProto.FLOAT
            or int(np.prod(tensor.dims)) < _MIN_ELEMENTS
            or tensor.name in outputs
            or not uses
            or any(place not in _WEIGHTS.get(node.op_type, ()) for node, place in uses)
            or any(node.name in kept_float for node, _ in uses)
        ):
            continue
        if any(node.op_type == "Gather" for node, _ in uses):
            after |= _look_up(graph, tensor, uses)
        else:
            before.append(_multiply_out(graph, tensor, uses, per_channel=per_channel))
        count += 1
    nodes = [*before]
    for node in graph.node:
        nodes += [node, *([after[node.output[0]]] if node.output[0] in after else [])]
    del graph.node[:]
    graph.node.extend(nodes)
    result: bytes = model.SerializeToString(deterministic=True)
    return result, count


def _multiply_out(
    graph: onnx.GraphProto, tensor: onnx.TensorProto, uses: Uses, *, per_channel: bool
) -> onnx.NodeProto:
    """Store `tensor` as integers; the node that gives its readers the numbers meant."""
    axes = {_channel_axis(node, place, len(tensor.dims)) for node, place in uses}
    axis = axes.pop() if len(axes) == 1 and per_channel else None
    scale = _store(graph, tensor, axis)
    name = f"{tensor.name}_times"
    for node, place in uses:
        node.input[place] = name
    node = helper.make_node("DequantizeLinear", [tensor.name, scale], [name], name)
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    return node


def _look_up(
    graph: onnx.GraphProto, tensor: onnx.TensorProto, uses: Uses
) -> dict[str, onnx.NodeProto]:
    """Store a table as integers; only the rows that Gather found are multiplied out."""
    scale = _store(graph, tensor, None)
    after = {}
    for node, _ in uses:
        found = node.output[0]
        node.output[0] = f"{found}_levels"
        after[node.output[0]] = helper.make_node(
            "DequantizeLinear", [node.output[0], scale], [found], f"{found}_times"
        )
    return after


def _store(graph: onnx.GraphProto, tensor: onnx.TensorProto, axis: int | None) -> str:
    """Replace the values by integers, add their scale, and give its name."""
    value, name = numpy_helper.to_array(tensor), tensor.name
    others = None if axis is None else tuple(i for i in range(value.ndim) if i != axis)
    top = np.abs(value).max(axis=others, keepdims=True)
    scale = np.maximum(top, np.finfo(np.float32).tiny * 127).astype(np.float32) / np.float32(127)
    levels = np.clip(np.rint(value / scale), -127, 127).astype(np.int8)
    tensor.CopyFrom(numpy_helper.from_array(levels, name))
    flat = scale.reshape(()) if axis is None else scale.reshape(-1)
    graph.initializer.append(numpy_helper.from_array(flat, f"{name}_scale"))
    return f"{name}_scale"


def _channel_axis(node: onnx.NodeProto, place: int, rank: int) -> int | None:
    """The axis of the output channels; None where DequantizeLinear cannot follow them."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1 if attributes.get("group", 1) == 1 else None
        case "Gemm":
            by_rows = attributes.get("transB" if place else "transA", 0) == place
            return 0 if by_rows else 1
        case "MatMul":
            return rank - 1 if place and rank > 1 else None
        case _ if node.op_type in _RECURRENT:
            return 1
    return None
