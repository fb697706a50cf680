"""Tensors as raw little-endian bytes: the protocol's binary tensor extension."""

import math
import sys

import numpy as np
from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.tensors import NUMPY_DTYPES, Tensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.http.messages import Buffer

_LENGTH_BYTES = 4


def read_binary_tensor(
    name: str, datatype: DataType, shape: tuple[int, ...], data: memoryview
) -> Tensor:
    """An array over `data`, without a copy where alignment allows. Raises InvalidInput."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return _read_bytes(name, count, data).reshape(shape)
    dtype = NUMPY_DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(
            f"input '{name}' has {len(data)} bytes of data, {datatype} {list(shape)} needs "
            f"{count * dtype.itemsize}"
        )
    if datatype == "BOOL":
        # Any byte but 0 is true; a numpy bool of another byte than 0 and 1 is undefined.
        return np.not_equal(np.frombuffer(data, np.uint8), 0).reshape(shape)
    array = np.frombuffer(data, dtype.newbyteorder("<"))
    if not array.flags.aligned or sys.byteorder != "little":
        array = array.astype(dtype)
    return array.reshape(shape)


def write_binary_tensor(datatype: DataType, array: Tensor) -> Buffer:
    """The tensor's bytes, row-major; BYTES with a 4-byte length before each."""
    if datatype != "BYTES":
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        return little.reshape(-1).view(np.uint8).data
    return b"".join(
        len(item).to_bytes(_LENGTH_BYTES, "little") + item for item in map(bytes, array.reshape(-1))
    )


def _read_bytes(name: str, count: int, data: memoryview) -> Tensor:
    items: list[bytes] = []
    position = 0
    while position < len(data):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or position > len(data):
            raise InvalidInput(f"input '{name}': a string's length goes beyond the data")
        items.append(bytes(data[start:position]))
    if len(items) != count:
        raise InvalidInput(f"input '{name}' has {len(items)} strings, its shape needs {count}")
    array = np.empty(count, np.object_)
    array[:] = items
    return array
