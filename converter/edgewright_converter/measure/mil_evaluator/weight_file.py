"""The weight file of a package (`weight.bin`, MIL's blob storage, version 2).

Layout, as documented in coremltools' mlmodel/src/MILBlob/Blob/StorageFormat.hpp: a header of 64
bytes (count, version), then per blob 64 bytes of metadata (sentinel, element type, size and place
of the data), and the data, each aligned to 64 bytes.
"""

from __future__ import annotations

import struct
from math import prod

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.errors import PackageDamaged

_VERSION = 2
_SENTINEL = 0xDEADBEEF
_HEADER = struct.Struct("<II")
_METADATA = struct.Struct("<IIQQ")
_DTYPES = {1: "<f2", 2: "<f4", 3: "u1", 4: "i1", 6: "<i2", 7: "<u2"}


def read_blob(data: bytes, offset: int, shape: tuple[int, ...]) -> Array:
    """The array whose metadata lies at `offset`. Raises PackageDamaged."""
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[1] != _VERSION:
        raise PackageDamaged("its weight file is not of version 2")
    if offset + _METADATA.size > len(data):
        raise PackageDamaged(f"its weight file ends before offset {offset}")
    sentinel, kind, size, start = _METADATA.unpack_from(data, offset)
    if sentinel != _SENTINEL or kind not in _DTYPES or start + size > len(data):
        raise PackageDamaged(f"its weight file has no blob at offset {offset}")
    dtype = np.dtype(_DTYPES[kind])
    if size != prod(shape) * dtype.itemsize:
        raise PackageDamaged(f"the blob at offset {offset} has {size} bytes, not shape {shape}")
    return np.frombuffer(data, dtype, prod(shape), start).reshape(shape)
