"""Writes a float32 TFLite model from an ONNX model, node by node."""

from __future__ import annotations

import onnx

from edgewright_converter.emit.tflite.builder import TENSOR_TYPES, Builder, Tensor
from edgewright_converter.emit.tflite.catalogue import registry
from edgewright_converter.emit.tflite.emission import TARGET, Emission, Values
from edgewright_converter.emit.tflite.registry import Registration
from edgewright_converter.emit.tflite.trial import try_model
from edgewright_converter.errors import TargetRefused, UnsupportedOperator
from edgewright_converter.graph.functions import expand_functions
from edgewright_converter.graph.layout import Layout, choose_layouts
from edgewright_converter.graph.long_sums import cut_long_sums
from edgewright_converter.graph.model import Graph, Node
from edgewright_converter.graph.patterns import join_hard_swish
from edgewright_converter.graph.probe import node_name
from edgewright_converter.graph.reading import read_graph

# ai-edge-quantizer calibrates through a signature, and every converter of the field names it so.
SIGNATURE = "serving_default"

# Operators whose shape input is not read: the result's inferred type says it all.
_READ_ONLY_THE_RESULT = ("Reshape", "Expand", "Resize")


def write_tflite(model: onnx.ModelProto, *, short_sums: bool = False) -> bytes:
    """A float32 .tflite file that computes what the ONNX model computes.

    Inputs and outputs keep names, element types, shapes and axis order of the source; a dynamic
    batch stays dynamic (`shape_signature` -1). The file was loaded and run once before it is
    returned. With `short_sums` long sums are cut in two: nearer to the source, and slower.

    Raises:
        UnsupportedOperator: a node that TFLite cannot express, or whose attributes it cannot.
        TargetRefused: an input or output that TFLite cannot have.
    """
    known = registry()
    expanded = expand_functions(model, lambda name, version: known.find(name, version) is not None)
    try:
        return _write(expanded, short_sums=short_sums)
    except UnsupportedOperator as refusal:
        raise _named_after_source(refusal, model, expanded) from refusal


def _named_after_source(
    refusal: UnsupportedOperator, model: onnx.ModelProto, expanded: onnx.ModelProto
) -> UnsupportedOperator:
    """The refusal under the name of the user's node, where the refused one came from a
    definition.
    """
    source = {node_name(node): node.op_type for node in model.graph.node}
    left = {node_name(node) for node in expanded.graph.node}
    replaced = {name: kind for name, kind in source.items() if name not in left}
    if refusal.node in source or refusal.node not in left or not replaced:
        return refusal
    return UnsupportedOperator(
        target=TARGET,
        operator=" or ".join(sorted(set(replaced.values()))),
        node=" or ".join(replaced),
        reason=f"its definition needs {refusal.operator} {refusal.node!r} in a way that "
        "TFLite cannot express",
    )


def _write(model: onnx.ModelProto, *, short_sums: bool) -> bytes:
    graph = join_hard_swish(read_graph(model, target=TARGET))
    graph = cut_long_sums(graph) if short_sums else graph
    for name in (*graph.inputs, *graph.outputs):
        _check_boundary(graph, name)
    writers = {node.key: _registration(graph, node) for node in graph.nodes}
    placements = choose_layouts(
        graph, {node.key: writers[node.key].place(node, graph) for node in graph.nodes}
    )
    builder = Builder()
    values = Values(graph, builder)
    inputs: dict[str, Tensor] = {}
    for name in graph.inputs:
        inputs[name] = builder.input(name, graph.types[name])
        values.bind(name, Layout.SOURCE, inputs[name])
    for node in graph.nodes:
        builder.origin = node.name
        _check_inputs(graph, node)
        writers[node.key].emit(Emission(node, values, placements[node.key]))
    outputs = _outputs(graph, values, builder, inputs)
    data = builder.pack(inputs, outputs, SIGNATURE)
    try_model(data, lambda place: builder.origin_of(place, list(outputs.values())), graph)
    return data


def _check_boundary(graph: Graph, name: str) -> None:
    type_ = graph.types.get(name)
    if type_ is None:
        raise TargetRefused(
            TARGET,
            f"the shape of output {name!r} cannot be known before the model runs; "
            f"leave the target {TARGET} out",
        )
    if type_.dtype.name not in TENSOR_TYPES:
        raise TargetRefused(
            TARGET,
            f"{name!r} holds {type_.dtype.name}, which TFLite lacks; "
            f"leave the target {TARGET} out, or cast it in the model",
        )
    if 0 in type_.shape:
        raise TargetRefused(
            TARGET,
            f"{name!r} has no elements (shape {type_.shape}), which TFLite cannot run; "
            f"leave the target {TARGET} out",
        )


def _registration(graph: Graph, node: Node) -> Registration:
    found = (
        None if node.domain not in ("", "ai.onnx") else registry().find(node.operator, node.version)
    )
    if found is None:
        versions = registry().versions(node.operator)
        raise node.refusal(
            TARGET,
            f"its form of opset {node.version} is not known (known: {versions})"
            if versions
            else "TFLite has no such operator that edgewright knows to use",
        )
    first = next((name for name in node.inputs if name), None)
    if first is not None and graph.types[first].dtype.name not in found.dtypes:
        raise node.refusal(
            TARGET,
            f"it takes {graph.types[first].dtype.name}, and only "
            f"{', '.join(found.dtypes)} can be written",
        )
    return found


def _check_inputs(graph: Graph, node: Node) -> None:
    for name in node.inputs:
        if name in graph.batch_dependent or (
            name in graph.shape_vectors and node.operator not in _READ_ONLY_THE_RESULT
        ):
            raise node.refusal(
                TARGET,
                f"its input {name!r} is computed from the batch size",
            )
        type_ = graph.types[name] if name else None
        lacking = type_ is not None and 0 in type_.shape and node.operator != "Concat"
        # An empty list of axes, sizes or scales says something; any other empty value is data.
        if type_ is not None and lacking and (name == node.inputs[0] or type_.rank != 1):
            raise node.refusal(
                TARGET,
                f"its input {name!r} has no elements",
            )


def _outputs(
    graph: Graph, values: Values, builder: Builder, inputs: dict[str, Tensor]
) -> dict[str, Tensor]:
    """A tensor of its own for every output: TFLite names tensors, so an input cannot be an output
    too.
    """
    taken = {tensor.index for tensor in inputs.values()}
    outputs: dict[str, Tensor] = {}
    for name in graph.outputs:
        builder.origin = name
        if name in graph.shape_vectors or name in graph.batch_dependent:
            raise TargetRefused(
                TARGET,
                f"output {name!r} is computed from the batch size; "
                f"leave the target {TARGET} out, or give the batch a fixed size",
            )
        tensor = values.tensor(name, Layout.SOURCE)
        if tensor.index in taken or builder.data(tensor) is not None:
            if tensor.type.shape.count(None) > 1:
                raise TargetRefused(TARGET, f"output {name!r} has several dynamic dimensions")
            tensor = builder.copy(tensor, tensor.type)
        taken.add(tensor.index)
        outputs[name] = tensor
    return outputs
