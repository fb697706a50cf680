"""Names in an ONNX file: added where quantizers need them, taken out where no runtime reads them.

In a small INT8 model those are a third of the file: every tensor of PP-OCR's classifier is named
after its Python variable, and quantization adds two names to each.
"""

import onnx
from onnx import helper

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def name_nodes(data: bytes) -> bytes:
    """The same model with a name for every node (the first output's, where it had none), with
    initializers in place of Constant nodes, which quantizers take for activations, and with a
    bias of its own for every layer.
    """
    model = onnx.load_model_from_string(data)
    graph = model.graph
    constants = [node for node in graph.node if _tensor(node) is not None]
    for node in constants:
        tensor = _tensor(node)
        assert tensor is not None
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = node.output[0]
    kept = [node for node in graph.node if _tensor(node) is None]
    del graph.node[:]
    graph.node.extend(kept)
    for node in graph.node:
        node.name = node.name or node.output[0]
    _part_biases(graph)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _part_biases(graph: onnx.GraphProto) -> None:
    """Each layer's scale makes another integer of a bias, and onnxruntime 1.31 mixes up those of
    one that several share (basic-pitch has 36 numbers for 18 convolutions).
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    taken: set[str] = set()
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(node.input) < 3:
            continue
        bias = constants.get(node.input[2])
        if bias is None:
            continue
        if bias.name in taken:
            copied = graph.initializer.add()
            copied.CopyFrom(bias)
            copied.name = f"{bias.name}_of_{node.name}"
            node.input[2] = copied.name
        taken.add(bias.name)


def _tensor(node: onnx.NodeProto) -> onnx.TensorProto | None:
    if node.op_type != "Constant" or node.domain:
        return None
    return next((a.t for a in node.attribute if a.name == "value"), None)


def strip_names(data: bytes) -> bytes:
    """The same graph with one to three letters per inner tensor; inputs and outputs keep theirs.

    A model with subgraphs (If, Loop, Scan), which see the names outside, stays as it is.
    """
    model = onnx.load_model_from_string(data)
    graph = model.graph
    if any(a.type == onnx.AttributeProto.GRAPH for node in graph.node for a in node.attribute):
        return data
    short = {value.name: value.name for value in (*graph.input, *graph.output)} | {"": ""}
    taken = set(short)
    number = 0
    for name in [tensor.name for tensor in graph.initializer] + [
        name for node in graph.node for name in node.output
    ]:
        if name in short:
            continue
        while (shorter := _letters(number)) in taken:
            number += 1
        number += 1
        short[name] = shorter
    for tensor in graph.initializer:
        tensor.name = short[tensor.name]
        tensor.ClearField("doc_string")
    for node in graph.node:
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
        node.ClearField("name")
        node.ClearField("doc_string")
        _drop_defaults(node)
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    del model.metadata_props[:]
    used = {node.domain for node in graph.node}
    opsets = [entry for entry in model.opset_import if entry.domain in used | {""}]
    helper.set_model_props(model, {})
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _drop_defaults(node: onnx.NodeProto) -> None:
    """Attributes that say what ONNX says anyway, in the operators that quantization adds."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        kept = [a for a in node.attribute if a.name != "axis" or a.i != 1]
        del node.attribute[:]
        node.attribute.extend(kept)


def _letters(number: int) -> str:
    text = _DIGITS[number % len(_DIGITS)]
    while number := number // len(_DIGITS):
        text = _DIGITS[number % len(_DIGITS)] + text
    return text
