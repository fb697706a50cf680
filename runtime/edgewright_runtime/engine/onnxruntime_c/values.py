"""Tensors between Python's buffers and ONNX Runtime's values."""

import ctypes
import math
from collections.abc import Mapping
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_ssize_t, c_void_p
from typing import Any, NamedTuple, cast

from edgewright_manifests.signature import DataType, TensorSpec

from edgewright_runtime.engine.onnxruntime_c.library import Api, Pointer
from edgewright_runtime.engine.raw_tensor import ELEMENT_BYTES, Buffer, RawTensor

ELEMENT_TYPES: Mapping[DataType, int] = {
    "FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8,
    "BOOL": 9, "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13,
}  # fmt: skip  # ONNXTensorElementDataType
OTHER_TYPES: Mapping[int, str] = {
    0: "undefined", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz",
    21: "uint4", 22: "int4",
}  # fmt: skip  # what the Open Inference Protocol lacks
DATATYPES: Mapping[int, DataType] = {number: name for name, number in ELEMENT_TYPES.items()}


class Place(NamedTuple):
    """A tensor in a caller's memory."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    address: int
    nbytes: int
    kept: object
    """The memory's owner."""


_ALIGNMENT = 16
"""Kernels load vectors; memory that is not aligned is copied first."""


class _PyBuffer(ctypes.Structure):
    """Py_buffer of CPython's C interface (PEP 3118)."""

    _fields_ = (
        ("buf", c_void_p), ("obj", ctypes.py_object), ("len", c_ssize_t),
        ("itemsize", c_ssize_t), ("readonly", c_int), ("ndim", c_int), ("format", c_char_p),
        ("shape", c_void_p), ("strides", c_void_p), ("suboffsets", c_void_p),
        ("internal", c_void_p),
    )  # fmt: skip  # a table


_get_buffer: Any = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, ctypes.POINTER(_PyBuffer), c_int]
_release_buffer: Any = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [ctypes.POINTER(_PyBuffer)]


def address_of(data: Buffer) -> int:
    """Where the bytes lie; valid for as long as the caller keeps `data` and does not resize it."""
    view = _PyBuffer()
    _get_buffer(data, view, 0)
    address = int(view.buf or 0)
    _release_buffer(view)
    return address


def place_of(name: str, tensor: RawTensor) -> Place:
    """Where a tensor of numbers lies."""
    data = tensor.data
    return Place(name, tensor.datatype, tensor.shape, address_of(data), tensor.nbytes, data)


def value_at(
    api: Api, where: int | bytes, nbytes: int, datatype: DataType, shape: tuple[int, ...]
) -> int:
    """A value over memory that stays where it is. Raises CallFailed."""
    value = Pointer()
    status = api.make_value(
        api.memory, where, nbytes, (c_int64 * len(shape))(*shape), len(shape),
        ELEMENT_TYPES[datatype], ctypes.byref(value),
    )  # fmt: skip  # the C function's order
    api.check(status)
    return cast(int, value.value)


def input_value(api: Api, tensor: RawTensor) -> tuple[int, object]:
    """(value, what must be kept until it is released). Raises CallFailed."""
    data = tensor.data
    if isinstance(data, bytes):
        # ctypes passes the address of its first byte, which malloc has aligned.
        return value_at(api, data, len(data), tensor.datatype, tensor.shape), data
    address = address_of(data)
    if address % _ALIGNMENT:
        data = bytearray(data)
        address = address_of(data)
    return value_at(api, address, tensor.nbytes, tensor.datatype, tensor.shape), data


def read_value(api: Api, value: int, spec: TensorSpec) -> RawTensor:
    """A copy of what the library made for the output `spec`. Raises CallFailed."""
    # The shape is the value's own: the library does not hold a model to the one it declares.
    described = Pointer()
    api.call("GetTensorTypeAndShape", value, ctypes.byref(described))
    try:
        _, shape = type_and_shape(api, described)
    finally:
        api.release("ReleaseTensorTypeAndShapeInfo", described)
    data = Pointer()
    api.check(api.get_data(value, ctypes.byref(data)))
    nbytes = math.prod(shape) * ELEMENT_BYTES[spec.datatype]
    return RawTensor(spec.datatype, shape, ctypes.string_at(data, nbytes) if nbytes else b"")


def type_and_shape(api: Api, described: Pointer) -> tuple[int, tuple[int, ...]]:
    """(element type, sizes with -1 where free) of an OrtTensorTypeAndShapeInfo."""
    number, rank = c_int(), c_size_t()
    api.call("GetTensorElementType", described, ctypes.byref(number))
    api.call("GetDimensionsCount", described, ctypes.byref(rank))
    sizes = (c_int64 * rank.value)()
    api.call("GetDimensions", described, sizes, rank)
    return number.value, tuple(sizes)
