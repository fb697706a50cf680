"""Tensors as buffers: what a caller gives as bytes, and memory as what a caller gets.

numpy is used where it is installed; without it tensors are flat memoryviews, or bytes.
"""

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from edgewright_manifests.signature import DYNAMIC, DataType, TensorSpec

from edgewright_runtime.errors import InvalidInput, LocalFault
from edgewright_runtime.local_protocol import ITEM_BYTES

Tensor = Any  # Any: a numpy array, a memoryview, or a list of bytes, by datatype and machine

FORMATS: Mapping[DataType, str] = MappingProxyType(
    {
        "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b",
        "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
    }
)  # fmt: skip  # struct's table
_KINDS = MappingProxyType(
    {
        **dict.fromkeys("BHILQN", "unsigned"),
        **dict.fromkeys("bhilqn", "signed"),
        **dict.fromkeys("efd", "float"),
        "?": "bool",
    }
)
_LENGTH_BYTES = 4


def find_numpy() -> Any:
    """The numpy module; None where it is not installed."""
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


class Given:
    """One input as a caller gave it: its bytes, row-major, and its shape."""

    __slots__ = ("data", "shape")

    def __init__(self, spec: TensorSpec, value: Tensor) -> None:
        """Raises InvalidInput for what is no tensor of this datatype."""
        if spec.datatype == "BYTES":
            self.data, self.shape = _pack_strings(spec, value)
            return
        try:
            view = memoryview(value)
        except TypeError as error:
            raise InvalidInput(
                f"input '{spec.name}' is a {type(value).__name__}; give an array or a buffer"
            ) from error
        raw = view.format == "B" and view.ndim == 1 and spec.datatype != "UINT8"
        if not raw and not _same_type(view, spec.datatype):
            raise InvalidInput(
                f"input '{spec.name}' has elements '{view.format}' of {view.itemsize} bytes, "
                f"the model takes {spec.datatype}"
            )
        self.shape = _raw_shape(spec, view.nbytes) if raw else view.shape or ()
        if view.ndim == 1 and len(spec.shape) != 1:
            # Flat memory of a known shape, as an array.array has it.
            self.shape = _raw_shape(spec, view.nbytes)
        # A view of no elements cannot be cast.
        is_plain = view.c_contiguous and view.nbytes
        self.data = view.cast("B") if is_plain else memoryview(view.tobytes())


def view_of(memory: memoryview, datatype: DataType, shape: Sequence[int], numpy: Any) -> Tensor:
    """Memory as a tensor, without a copy."""
    if numpy is not None:
        dtype = "?" if datatype == "BOOL" else f"<{FORMATS[datatype]}"
        return numpy.frombuffer(memory, dtype).reshape(shape)
    # struct's half floats are not among memoryview's formats.
    word: Any = "H" if datatype == "FP16" else FORMATS[datatype]  # Any: typeshed lists literals
    return memory.cast(word)


def copy_of(memory: memoryview, datatype: DataType, shape: Sequence[int], numpy: Any) -> Tensor:
    """The same as memory of the caller's own; BYTES as a list (an object array with numpy)."""
    if datatype == "BYTES":
        items = _unpack_strings(memory)
        if numpy is None:
            return items
        array = numpy.empty(len(items), numpy.object_)
        array[:] = items
        return array.reshape(shape)
    return view_of(memoryview(bytearray(memory)), datatype, shape, numpy)


def _same_type(view: memoryview, datatype: DataType) -> bool:
    form = view.format.lstrip("@=<")
    return (
        view.itemsize == ITEM_BYTES[datatype]
        and form in _KINDS
        and _KINDS[form] == _KINDS[FORMATS[datatype]]
    )


def _raw_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """The shape of that many bytes; one free dimension is deduced."""
    known = ITEM_BYTES[spec.datatype]
    for side in spec.shape:
        known *= side if side != DYNAMIC else 1
    free = spec.shape.count(DYNAMIC)
    if free > 1 or not known or size % known or (not free and size != known):
        raise InvalidInput(
            f"input '{spec.name}': {size} bytes do not make a tensor of shape {list(spec.shape)}"
        )
    return tuple(size // known if side == DYNAMIC else side for side in spec.shape)


def _pack_strings(spec: TensorSpec, value: Tensor) -> tuple[memoryview, tuple[int, ...]]:
    items = list(value.reshape(-1)) if hasattr(value, "reshape") else list(value)
    shape = tuple(value.shape) if hasattr(value, "shape") else (len(items),)
    if not all(isinstance(item, bytes) for item in items):
        raise InvalidInput(f"input '{spec.name}' takes strings as bytes")
    packed = b"".join(len(item).to_bytes(_LENGTH_BYTES, "little") + item for item in items)
    return memoryview(packed), shape


def _unpack_strings(memory: memoryview) -> list[bytes]:
    items: list[bytes] = []
    position = 0
    while position < len(memory):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(memory[start - _LENGTH_BYTES : start], "little")
        if position > len(memory):
            raise LocalFault("a string in the answer goes beyond the answer")
        items.append(bytes(memory[start:position]))
    return items
