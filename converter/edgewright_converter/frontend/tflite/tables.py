"""The tables that a TFLite file is made of, by the field numbers of its schema (version 3).

A test compares each with the accessors that the schema's own compiler wrote.
"""

from edgewright_converter.frontend.tflite.flatbuffer import (
    Bytes,
    Child,
    Children,
    Flag,
    Integer,
    Integers,
    Table,
    Text,
    Vector,
)


class DimensionMetadataTable(Table):
    """How one dimension of a sparse tensor is stored (TACO's format)."""

    format = Integer(0, "b")
    dense_size = Integer(1)
    segments_type = Integer(2, "B")
    segments = Child(3, Table)
    indices_type = Integer(4, "B")
    indices = Child(5, Table)


class SparsityTable(Table):
    """How a sparse tensor is stored."""

    traversal_order = Integers(0)
    block_map = Integers(1)
    dimensions = Children(2, DimensionMetadataTable)


class QuantizationTable(Table):
    """Scales and zero points of a tensor."""

    scale = Vector(2, "<f4")
    zero_point = Vector(3, "<i8")
    details_type = Integer(4, "B")
    quantized_dimension = Integer(6)


class TensorTable(Table):
    """One tensor: what is known of its shape, and which buffer holds it."""

    shape = Integers(0)
    type = Integer(1, "b")
    buffer = Integer(2, "I")
    name = Text(3)
    quantization = Child(4, QuantizationTable)
    is_variable = Flag(5)
    sparsity = Child(6, SparsityTable)
    shape_signature = Integers(7)


class OperatorCodeTable(Table):
    """Which operator, in which version."""

    deprecated_builtin_code = Integer(0, "b")
    custom_code = Text(1)
    version = Integer(2, "i", 1)
    builtin_code = Integer(3)


class OperatorTable(Table):
    """One operator call."""

    code_index = Integer(0, "I")
    inputs = Integers(1)
    outputs = Integers(2)
    options_type = Integer(3, "B")
    options = Child(4, Table)


class SubgraphTable(Table):
    """One graph with its tensors."""

    tensors = Children(0, TensorTable)
    inputs = Integers(1)
    outputs = Integers(2)
    operators = Children(3, OperatorTable)
    name = Text(4)


class BufferTable(Table):
    """The contents of tensors; in files over 2 GiB outside the FlatBuffer."""

    data = Bytes(0)
    offset = Integer(1, "Q")
    size_bytes = Integer(2, "Q")


class TensorMapTable(Table):
    """The name of an input or output in a signature."""

    name = Text(0)
    tensor = Integer(1, "I")


class SignatureTable(Table):
    """An entry point with named inputs and outputs."""

    inputs = Children(0, TensorMapTable)
    outputs = Children(1, TensorMapTable)
    key = Text(2)
    subgraph = Integer(4, "I")


class ModelTable(Table):
    """The whole file."""

    version = Integer(0, "I")
    operator_codes = Children(1, OperatorCodeTable)
    subgraphs = Children(2, SubgraphTable)
    description = Text(3)
    buffers = Children(4, BufferTable)
    signatures = Children(7, SignatureTable)
