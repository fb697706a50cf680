"""Tensors as raw little-endian bytes: the protocol's binary tensor extension.

The bytes are taken as they are: every machine that this runtime has engines for is
little-endian.
"""

import math

from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.elements import truth_bytes
from edgewright_runtime.engine.raw_tensor import ELEMENT_BYTES, Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput

_LENGTH_BYTES = 4


def read_binary_tensor(
    name: str, datatype: DataType, shape: tuple[int, ...], data: memoryview
) -> RawTensor:
    """A tensor over `data`, without a copy. Raises InvalidInput."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return RawTensor(datatype, shape, elements=_read_bytes(name, count, data))
    if len(data) != count * ELEMENT_BYTES[datatype]:
        raise InvalidInput(
            f"input '{name}' has {len(data)} bytes of data, {datatype} {list(shape)} needs "
            f"{count * ELEMENT_BYTES[datatype]}"
        )
    return RawTensor(datatype, shape, truth_bytes(data) if datatype == "BOOL" else data)


def write_binary_tensor(tensor: RawTensor) -> Buffer:
    """The tensor's bytes, row-major; BYTES with a 4-byte length before each."""
    if tensor.elements is None:
        return tensor.data
    return b"".join(
        len(element).to_bytes(_LENGTH_BYTES, "little") + element for element in tensor.elements
    )


def _read_bytes(name: str, count: int, data: memoryview) -> list[bytes]:
    elements: list[bytes] = []
    position = 0
    while position < len(data):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or position > len(data):
            raise InvalidInput(f"input '{name}': a string's length goes beyond the data")
        elements.append(bytes(data[start:position]))
    if len(elements) != count:
        raise InvalidInput(f"input '{name}' has {len(elements)} strings, its shape needs {count}")
    return elements
