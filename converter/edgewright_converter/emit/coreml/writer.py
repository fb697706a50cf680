"""Writes an ML Program package from an ONNX model, node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from edgewright_converter.emit.coreml.availability import TARGET, require_coremltools
from edgewright_converter.emit.coreml.catalogue import registry
from edgewright_converter.emit.coreml.emission import (
    MAX_RANK,
    REFUSALS,
    Emission,
    Names,
    Values,
    told,
)
from edgewright_converter.emit.coreml.half_precision import half_precision
from edgewright_converter.emit.coreml.package import Feature, pack_model
from edgewright_converter.emit.coreml.registry import Registration
from edgewright_converter.errors import TargetRefused
from edgewright_converter.graph.functions import expand_functions
from edgewright_converter.graph.model import Graph, Node
from edgewright_converter.graph.reading import read_graph
from edgewright_converter.noise import silenced

# Defined by a Loop, which nobody could fold; as it stands it is computed beforehand.
_FOLDED = ("Range",)
# Core ML's features are float32 or int32; the package's metadata says what they stand for.
_FEATURE_TYPES = {"float32": "fp32"} | dict.fromkeys(
    ("int8", "uint8", "int32", "int64", "bool"), "int32"
)


def write_coreml(model: onnx.ModelProto, *, fp16: bool) -> bytes:
    """A zipped .mlpackage (iOS 16, macOS 13 or newer) that computes what the ONNX model computes.

    A dynamic batch becomes 1: the Neural Engine wants fixed shapes, so a package takes one sample.
    With `fp16` float tensors inside are float16 (but for what feeds a logarithm, see
    `half_precision`); inputs and outputs stay as they are. int8, uint8, int64 and
    bool inputs and outputs become int32 features, scalars arrays of one element, and names
    identifiers; the metadata entry `edgewright.features` says how they map to the source's. Equal
    models give equal bytes.

    Raises:
        UnsupportedOperator: a node that MIL cannot express, or whose attributes it cannot.
        TargetRefused: coremltools is missing, or an input or output that Core ML cannot have.
    """
    require_coremltools()
    known = registry()
    model = _one_sample(model)
    model = expand_functions(
        model, lambda name, version: name in _FOLDED or known.find(name, version) is not None
    )
    graph = read_graph(model, target=TARGET)
    for name in (*graph.inputs, *graph.outputs):
        _check_boundary(graph, name)
    for name in graph.outputs:
        if name in graph.constants:
            raise TargetRefused(
                TARGET, f"output {name!r} is constant; leave the target {TARGET} out, or drop it"
            )
    nodes = [node for node in graph.nodes if not _is_empty(graph, node)]
    writers = {node.key: _registration(graph, node) for node in nodes}
    with silenced():
        program, features = _program(graph, writers)
        return pack_model(_convert(program, fp16=fp16), features)


def _one_sample(model: onnx.ModelProto) -> onnx.ModelProto:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    constants = {tensor.name for tensor in fixed.graph.initializer}
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    return fixed


def _check_boundary(graph: Graph, name: str) -> None:
    type_ = graph.types.get(name)
    if type_ is None:
        raise TargetRefused(
            TARGET,
            f"the shape of output {name!r} cannot be known before the model runs; "
            f"leave the target {TARGET} out",
        )
    problem = ""
    if type_.dtype.name not in _FEATURE_TYPES:
        problem = f"holds {type_.dtype.name}, which Core ML lacks"
    elif type_.rank > MAX_RANK:
        problem = f"has {type_.rank} axes, and Core ML takes {MAX_RANK} at most"
    elif 0 in type_.sample:
        problem = f"has no elements (shape {type_.sample})"
    if problem:
        raise TargetRefused(
            TARGET, f"{name!r} {problem}; leave the target {TARGET} out, or change it in the model"
        )


def _is_empty(graph: Graph, node: Node) -> bool:
    """Whether nothing that the node computes has elements; whoever reads it is told then."""
    return all(0 in graph.types[name].sample for name in node.outputs if name in graph.types)


def _registration(graph: Graph, node: Node) -> Registration:
    standard = node.domain in ("", "ai.onnx")
    found = registry().find(node.operator, node.version) if standard else None
    reason = ""
    if found is None:
        versions = registry().versions(node.operator)
        reason = "MIL has no such operator that edgewright knows to use"
        if versions:
            reason = f"its form of opset {node.version} is not known (known: {versions})"
    else:
        first = next((name for name in node.inputs if name), None)
        if first is not None and graph.types[first].dtype.name not in found.dtypes:
            held = graph.types[first].dtype.name
            reason = f"it takes {held}, and only {', '.join(found.dtypes)} can be written"
    for name in node.inputs:
        if node.operator == "Concat":
            break  # it leaves out what has no elements
        if not reason and name and 0 in graph.types[name].sample and name not in graph.constants:
            reason = f"its input {name!r} has no elements"
    for name in node.outputs:
        if not reason and name in graph.types and graph.types[name].rank > MAX_RANK:
            reason = f"{name!r} has {graph.types[name].rank} axes, and Core ML has {MAX_RANK}"
    if found is None or reason:
        raise node.refusal(TARGET, reason)
    return found


def _program(graph: Graph, writers: dict[str, Registration]) -> tuple[Any, list[Feature]]:
    """The MIL program of the graph, and what its features stand for."""
    import coremltools
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import Function, Program, types

    # The builder numbers names over the whole process; equal models shall give equal bytes.
    Builder.name_count.clear()
    names = Names()
    features: list[Feature] = []
    placeholders: dict[str, Any] = {}
    for name in graph.inputs:
        type_, entry = graph.types[name], names.unique(name)
        kind = types.fp32 if type_.dtype.kind == "f" else types.int32
        placeholders[entry] = Builder.placeholder(shape=type_.sample or (1,), dtype=kind)
        features.append(_feature(entry, name, graph, is_input=True))
    outputs = {name: names.unique(name) for name in dict.fromkeys(graph.outputs)}
    with Function(placeholders, opset_version=coremltools.target.iOS16) as function:
        values = Values(graph, Builder, names)
        for feature in features:
            variable = function.inputs[feature.feature]
            if feature.is_scalar:
                squeezed = names.unique(f"{feature.feature}_scalar")
                variable = Builder.squeeze(x=variable, axes=[0], name=squeezed)
            if feature.dtype == "bool":
                cast = names.unique(f"{feature.feature}_bool")
                variable = Builder.cast(x=variable, dtype="bool", name=cast)
            values.bind(feature.source, variable)
        for node in graph.nodes:
            if node.key in writers:
                _write(Emission(node, values), writers[node.key])
        results = []
        for name, feature_name in outputs.items():
            feature = _feature(feature_name, name, graph, is_input=False)
            variable = values.find(name)
            assert variable is not None
            if feature.is_scalar:
                lifted = names.unique(f"{feature_name}_row")
                variable = Builder.expand_dims(x=variable, axes=[0], name=lifted)
            if feature.dtype == "bool":
                results.append(Builder.cast(x=variable, dtype="int32", name=feature_name))
            else:
                results.append(Builder.identity(x=variable, name=feature_name))
            features.append(feature)
        function.set_outputs(results)
    program = Program()
    program.add_function("main", function)
    return program, features


def _feature(feature: str, source: str, graph: Graph, *, is_input: bool) -> Feature:
    type_ = graph.types[source]
    return Feature(feature, source, type_.dtype.name, type_.rank == 0, is_input)


def _write(emission: Emission, registration: Registration) -> None:
    registration.emit(emission)
    for name in emission.node.outputs:
        if name and emission.graph.uses(name) and emission.values.find(name) is None:
            emission.refuse(f"its output {name!r} cannot be expressed")


def _convert(program: Any, *, fp16: bool) -> Any:
    """coremltools' model of a program."""
    import coremltools

    precision = coremltools.precision
    # The cast to float16 overflows on purpose where a bound is infinite; quality is measured after.
    with np.errstate(all="ignore"):
        try:
            return coremltools.convert(
                program,
                source="milinternal",
                convert_to="mlprogram",
                minimum_deployment_target=coremltools.target.iOS16,
                compute_precision=half_precision(program) if fp16 else precision.FLOAT32,
                skip_model_load=True,
            )
        except REFUSALS as error:
            raise TargetRefused(
                TARGET, f"coremltools cannot write it: {told(error)}; leave the target {TARGET} out"
            ) from error
