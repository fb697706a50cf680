"""Tensors as JSON arrays, strictly: no value is rounded, cut or guessed on the way."""

import math
from itertools import chain
from typing import Any

from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.elements import FLOATS, LARGE, numbers, pack_numbers
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.http.large_json import Numbers

_KINDS: dict[type, str] = {bool: "booleans", int: "integers", float: "numbers"}
_NUMBERS = {int, float}


def read_json_tensor(name: str, datatype: DataType, shape: tuple[int, ...], data: Any) -> RawTensor:
    """`data` (nested or flat; Any: parsed JSON) as a tensor. Raises InvalidInput."""
    if isinstance(data, Numbers):
        tensor = data.tensor(name, datatype, shape)
        if tensor is not None:
            return tensor
        data = data.plain()
    if not isinstance(data, list):
        raise InvalidInput(f"input '{name}': data must be an array")
    values, kinds = _flat(name, data)
    if len(values) != math.prod(shape):
        raise InvalidInput(
            f"input '{name}': data has {len(values)} values, shape {list(shape)} needs "
            f"{math.prod(shape)}"
        )
    if datatype == "BYTES":
        if not kinds <= {str}:
            raise InvalidInput(f"input '{name}': data of BYTES must be strings")
        return RawTensor(datatype, shape, elements=[text.encode("utf-8") for text in values])
    _check_kinds(name, datatype, values, kinds)
    try:
        return RawTensor(datatype, shape, pack_numbers(datatype, values))
    except OverflowError as error:
        raise InvalidInput(f"input '{name}': data has values outside of {datatype}") from error


def write_json_tensor(name: str, tensor: RawTensor) -> Any:
    """What orjson is to write for `data`: flat, in row-major order.

    Raises InvalidInput for BYTES that are no UTF-8, which JSON cannot carry.
    """
    if tensor.elements is None:
        return numbers(tensor) if math.prod(tensor.shape) < LARGE else _array(tensor)
    try:
        return [element.decode("utf-8") for element in tensor.elements]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"output '{name}' holds bytes that are no UTF-8; ask for it with binary_data"
        ) from error


def _flat(name: str, data: list[Any]) -> tuple[list[Any], set[type]]:
    """The values in row-major order and their types; loops, since JSON may nest beyond our stack.

    Raises InvalidInput for arrays that are not regular.
    """
    kinds = set(map(type, data))
    while list in kinds:
        if len(kinds) > 1 or len(set(map(len, data))) > 1:
            raise InvalidInput(f"input '{name}': data is no regular array")
        data = list(chain.from_iterable(data))
        kinds = set(map(type, data))
    return data, kinds


def _check_kinds(name: str, datatype: DataType, values: list[Any], kinds: set[type]) -> None:
    if datatype == "BOOL":
        fits = kinds <= {bool} or (kinds <= {int} and set(values) <= {0, 1})
    elif datatype in FLOATS:
        fits = kinds <= _NUMBERS
    else:
        fits = kinds <= {int}
    if not fits:
        known = " and ".join(sorted(_KINDS[kind] for kind in kinds & _KINDS.keys()))
        found = known if kinds <= _KINDS.keys() else "other values"
        raise InvalidInput(f"input '{name}': data has {found} where {datatype} is declared")


def _array(tensor: RawTensor) -> Any:
    from edgewright_runtime.engine.tensors import from_raw

    return from_raw(tensor).reshape(-1)
