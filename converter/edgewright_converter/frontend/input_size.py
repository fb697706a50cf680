"""Gives the dynamic axes of a model's inputs and outputs a size; the batch stays as it is."""

from collections.abc import Mapping
from dataclasses import replace

import onnx

from edgewright_converter.frontend.onnx_file import OnnxSource

Sizes = Mapping[str, tuple[int, ...]]
"""By name of an input or output its sizes, the batch first."""


def fix_sizes(source: OnnxSource, sizes: Sizes) -> OnnxSource:
    """The model with every axis but the first of these inputs and outputs of a fixed size.

    The ranks must be the model's own. The digest stays that of the file that was given.
    """
    model = onnx.load_model_from_string(source.data)
    for value in (*model.graph.input, *model.graph.output):
        if value.name not in sizes:
            continue
        shape = value.type.tensor_type.shape
        if not value.type.tensor_type.HasField("shape"):
            shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in sizes[value.name])
        for dimension, size in list(zip(shape.dim, sizes[value.name], strict=True))[1:]:
            dimension.dim_value = size
    # What was inferred for the dynamic size contradicts the fixed one, or says less.
    del model.graph.value_info[:]
    return replace(source, data=model.SerializeToString(deterministic=True))
