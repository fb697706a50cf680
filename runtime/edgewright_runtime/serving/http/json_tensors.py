"""Tensors as JSON arrays, strictly: no value is rounded, cut or guessed on the way."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.tensors import NUMPY_DTYPES, Tensor
from edgewright_runtime.errors import InvalidInput

_KINDS = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers"}
_ACCEPTED = {"BOOL": "b", "FP16": "iuf", "FP32": "iuf", "FP64": "iuf"}  # others: integers


def read_json_tensor(name: str, datatype: DataType, shape: tuple[int, ...], data: Any) -> Tensor:
    """`data` (nested or flat; Any: parsed JSON) as an array. Raises InvalidInput."""
    if not isinstance(data, list):
        raise InvalidInput(f"input '{name}': data must be an array")
    if datatype == "BYTES":
        return _read_bytes(name, shape, data)
    try:
        array = np.array(data) if data else np.empty(0, NUMPY_DTYPES[datatype])
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"input '{name}': data is no regular array") from error
    wanted = NUMPY_DTYPES[datatype]
    if array.size == 0:
        array = array.astype(wanted)
    elif array.dtype.kind not in _ACCEPTED.get(datatype, "iu"):
        array = _unusual(name, datatype, array, data)
    if array.size != math.prod(shape):
        raise InvalidInput(
            f"input '{name}': data has {array.size} values, shape {list(shape)} needs "
            f"{math.prod(shape)}"
        )
    return _narrowed(name, datatype, array, wanted).reshape(shape)


def write_json_tensor(name: str, datatype: DataType, array: Tensor) -> Any:
    """What orjson is to write for `data`: flat, in row-major order.

    Raises InvalidInput for BYTES that are no UTF-8, which JSON cannot carry.
    """
    if datatype != "BYTES":
        return np.ascontiguousarray(array).reshape(-1)
    try:
        return [bytes(item).decode("utf-8") for item in array.reshape(-1)]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"output '{name}' holds bytes that are no UTF-8; ask for it with binary_data"
        ) from error


def _unusual(name: str, datatype: DataType, array: Tensor, data: list[Any]) -> Tensor:
    """Integers that numpy read as something else: 0 and 1 for BOOL, beyond int64 for UINT64."""
    if datatype == "BOOL" and array.dtype.kind in "iu" and bool(np.isin(array, (0, 1)).all()):
        return array.astype(np.bool_)
    if datatype == "UINT64" and array.dtype.kind in "fO":
        values = list(_flat(data))
        if all(type(value) is int and 0 <= value < 1 << 64 for value in values):
            return np.array(values, np.uint64)
    found = _KINDS.get(array.dtype.kind, "other values")
    raise InvalidInput(f"input '{name}': data has {found} where {datatype} is declared")


def _narrowed(name: str, datatype: DataType, array: Tensor, wanted: np.dtype[Any]) -> Tensor:
    if array.dtype == wanted:
        return array
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        if int(array.min(initial=0)) < limits.min or int(array.max(initial=0)) > limits.max:
            raise InvalidInput(f"input '{name}': data has values outside of {datatype}")
        return array.astype(wanted)
    with np.errstate(over="ignore"):
        narrow = array.astype(wanted)
    if not np.isfinite(narrow).all():
        # JSON has no infinity, so it was a number too large for the type.
        raise InvalidInput(f"input '{name}': data has values outside of {datatype}")
    return narrow


def _read_bytes(name: str, shape: tuple[int, ...], data: list[Any]) -> Tensor:
    texts = list(_flat(data))
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"input '{name}': data of BYTES must be strings")
    items = [text.encode("utf-8") for text in texts]
    if len(items) != math.prod(shape):
        raise InvalidInput(
            f"input '{name}': data has {len(items)} values, shape {list(shape)} needs "
            f"{math.prod(shape)}"
        )
    array = np.empty(len(items), np.object_)
    array[:] = items
    return array.reshape(shape)


def _flat(data: list[Any]) -> Iterator[Any]:
    """Depth first without recursion: the JSON parser allows more depth than our stack."""
    open_lists = [iter(data)]
    while open_lists:
        for value in open_lists[-1]:
            if isinstance(value, list):
                open_lists.append(iter(value))
                break
            yield value
        else:
            open_lists.pop()
