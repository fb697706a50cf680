"""Raw tensors' elements as Python numbers and back, with checks of type and range.

Small tensors are done with the standard library; numpy, which costs a small server 12 MB, is
borrowed only for large ones, where it is several times as fast.
"""

import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from edgewright_manifests.signature import DataType, ModelSignature

from edgewright_runtime.engine.raw_tensor import ELEMENT_BYTES, Buffer, RawTensor

LARGE = 16_384
"""Elements from which on numpy is worth its import."""

_CODES: Mapping[DataType, str] = MappingProxyType(
    {
        "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
        "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
        "FP16": "e", "FP32": "f", "FP64": "d",
    }
)  # fmt: skip  # a table
"""struct's and array's letters; array has none for BOOL and FP16."""
FLOATS = frozenset({"FP16", "FP32", "FP64"})


def pack_numbers(datatype: DataType, values: Sequence[float]) -> bytes:
    """Little-endian elements. `values` are ints and floats for FP types, else ints.

    Raises OverflowError for a value outside of the type (for FP types: finite values too).
    """
    if datatype in ("BOOL", "FP16"):
        try:
            return struct.pack(f"<{len(values)}{_CODES[datatype]}", *values)
        except struct.error as error:
            raise OverflowError(str(error)) from error
    packed = array(_CODES[datatype], values)
    # FP32 elements cannot overflow their FP64 sum, but an infinity among them shows in it.
    if datatype == "FP32" and not math.isfinite(sum(packed)):
        raise OverflowError(f"a value is outside of {datatype}")
    return packed.tobytes()


def numbers(tensor: RawTensor) -> list[float]:
    """The elements in row-major order as bools, ints or floats."""
    if tensor.datatype == "FP16":  # memoryview has no such format before Python 3.12
        return list(struct.unpack(f"<{tensor.nbytes // 2}e", tensor.data))
    view: Any = _flat(tensor.data)  # Any: the stubs want the format as a literal
    return cast(list[float], view.cast(_CODES[tensor.datatype]).tolist())


def all_finite(signature: ModelSignature, outputs: Mapping[str, RawTensor]) -> bool:
    """Whether no floating-point output holds a NaN or an infinity."""
    return all(_is_finite(outputs[s.name]) for s in signature.outputs if s.datatype in FLOATS)


def truth_bytes(data: Buffer) -> bytes:
    """BOOL elements with 1 for every byte but 0; engines take any other byte for undefined."""
    return bytes(data).translate(_TRUTH)


def _is_finite(tensor: RawTensor) -> bool:
    if tensor.nbytes // ELEMENT_BYTES[tensor.datatype] >= LARGE:
        import numpy as np

        from edgewright_runtime.engine.tensors import from_raw

        return bool(np.isfinite(from_raw(tensor)).all())
    return all(map(math.isfinite, numbers(tensor)))


def _flat(data: Buffer) -> memoryview:
    view = memoryview(data)
    return view if view.ndim == 1 and view.format == "B" else view.cast("B")


_TRUTH = bytes([0]) + bytes([1]) * 255
