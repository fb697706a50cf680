"""Our field numbers against the accessors that the schema's own compiler wrote."""

import inspect
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgewright_converter.frontend.tflite import options, tables
from edgewright_converter.frontend.tflite.flatbuffer import (
    Child,
    Children,
    Flag,
    Integer,
    Integers,
    Number,
    Source,
    Table,
    Text,
    Vector,
)

_ALIKE = {
    "ActivationOptions": (
        "AddOptions", "SubOptions", "MulOptions", "DivOptions", "L2NormOptions",
    ),
    "BlockOptions": ("SpaceToDepthOptions", "DepthToSpaceOptions"),
}  # fmt: skip  # names, not one a line
_TABLES = {
    "QuantizationTable": "QuantizationParameters",
    "SparsityTable": "SparsityParameters",
    "SignatureTable": "SignatureDef",
    "SubgraphTable": "SubGraph",
}
_FIELDS = {
    "tensor": "tensorIndex", "options": "builtinOptions",
    "options_type": "builtinOptionsType", "code_index": "opcodeIndex", "key": "signatureKey",
    "subgraph": "subgraphIndex", "signatures": "signatureDefs", "segments": "arraySegments",
    "segments_type": "arraySegmentsType", "indices": "arrayIndices", "size_bytes": "size",
    "indices_type": "arrayIndicesType", "dimensions": "dimMetadata",
}  # fmt: skip  # a dictionary of words


def _classes(module: Any) -> list[type[Table]]:  # Any: a module has no better type
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Table) and kind.__module__ == module.__name__
    ]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _pairs() -> list[tuple[type[Table], str]]:
    pairs = []
    for kind in _classes(options):
        names = _ALIKE.get(kind.__name__, (kind.__name__,))
        pairs += [(kind, name) for name in names]
    for kind in _classes(tables):
        name = kind.__name__
        pairs.append((kind, _TABLES.get(name, name.removesuffix("Table"))))
    return pairs


@pytest.mark.parametrize(("kind", "name"), _pairs(), ids=lambda part: str(part))
def test_every_field_is_where_the_schema_has_it(kind: type[Table], name: str) -> None:
    accessor = getattr(schema, name)
    for field, descriptor in vars(kind).items():
        if not isinstance(
            descriptor, Integer | Integers | Flag | Number | Text | Vector | Child | Children
        ):
            continue
        camel = _FIELDS.get(field, _camel(field))
        method = inspect.getsource(getattr(accessor, camel[0].upper() + camel[1:]))
        assert f"Offset({4 + 2 * descriptor.index}))" in method, field


@pytest.mark.parametrize(("kind", "name"), _pairs(), ids=lambda part: str(part))
def test_numbers_come_back_as_the_schema_packed_them(kind: type[Table], name: str) -> None:
    packed = getattr(schema, f"{name}T")()
    wanted: dict[str, float] = {}
    for number, (field, descriptor) in enumerate(vars(kind).items()):
        camel = _FIELDS.get(field, _camel(field))
        if isinstance(descriptor, Integer) and not field.endswith("_type"):
            wanted[field] = number + 3
        elif isinstance(descriptor, Flag):
            wanted[field] = 1
        elif isinstance(descriptor, Number):
            wanted[field] = number + 0.5
        elif isinstance(descriptor, Integers):
            setattr(packed, camel, np.asarray([number, 7], np.int32))
            assert hasattr(packed, camel)
            continue
        else:
            continue
        assert hasattr(packed, camel), camel
        setattr(packed, camel, wanted[field])
    builder = flatbuffers.Builder(64)
    builder.Finish(packed.Pack(builder))
    source = Source(bytes(builder.Output()))
    table = kind(source, source.unsigned(0))
    assert {field: getattr(table, field) for field in wanted} == wanted
    absent = Source(bytes((4, 0, 4, 0, 4, 0, 0, 0)))
    empty, original = kind(absent, 4), getattr(schema, name)()
    original.Init(absent.data, 4)
    for field in wanted:
        camel = _FIELDS.get(field, _camel(field))
        assert getattr(empty, field) == getattr(original, camel[0].upper() + camel[1:])()
