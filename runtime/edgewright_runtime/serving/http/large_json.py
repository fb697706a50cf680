"""Large JSON requests: numbers from text to memory without a Python object for each.

A picture as JSON is 150,000 numbers in a megabyte of text. simdjson reads it three times as fast
as the fastest parser that makes Python lists; it is imported at the first such request.
"""

import functools
import importlib.util
import math
from typing import Any

from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.elements import FLOATS
from edgewright_runtime.engine.raw_tensor import Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput

LARGE_BYTES = 64 << 10
_KINDS = {"UINT64": "u", "FP16": "d", "FP32": "d", "FP64": "d"}
"""simdjson's letters; other integers are read as int64 and narrowed."""


class Numbers:
    """An array of a request that has not been read yet. Any: simdjson ships no types."""

    def __init__(self, array: Any, kept: object) -> None:
        self._array = array
        self._kept = kept  # the parser and the text, which the array looks into

    def plain(self) -> list[Any]:
        """As Python lists."""
        return list(self._array.as_list())

    def tensor(self, name: str, datatype: DataType, shape: tuple[int, ...]) -> RawTensor | None:
        """The tensor; None where plain lists must tell what is wrong, or hold no numbers."""
        import numpy as np

        from edgewright_runtime.engine.tensors import NUMPY_DTYPES, to_raw

        if datatype in ("BYTES", "BOOL"):
            return None
        kind = _KINDS.get(datatype, "i")
        try:
            data = self._array.as_buffer(of_type=kind)
        except (TypeError, ValueError):
            return None
        values = np.frombuffer(data, {"d": np.float64, "i": np.int64, "u": np.uint64}[kind])
        if values.size != math.prod(shape):
            return None
        wanted = NUMPY_DTYPES[datatype]
        with np.errstate(over="ignore"):
            narrow = values.astype(wanted)
        is_kept = np.isfinite(narrow) if datatype in FLOATS else narrow == values
        if not is_kept.all():
            raise InvalidInput(f"input '{name}': data has values outside of {datatype}")
        return to_raw(narrow.reshape(shape), datatype)


def parse_large(data: Buffer) -> dict[str, Any] | None:
    """The document with `Numbers` for each input's data; None where orjson should read it."""
    if not _is_installed():
        return None
    import simdjson

    parser = simdjson.Parser()
    try:
        document = parser.parse(bytes(data))
        if not isinstance(document, simdjson.Object) or "inputs" not in document:
            return None
        # Members and elements one by one: its iterators make Python lists of what is in them.
        read = {key: _plain(document[key]) for key in document if key != "inputs"}
        inputs = document["inputs"]
        if not isinstance(inputs, simdjson.Array):
            return None
        read["inputs"] = [_entry(inputs[index], (parser, data)) for index in range(len(inputs))]
    except (ValueError, RuntimeError):
        return None  # orjson says what is wrong with it, and where
    return read


@functools.cache
def _is_installed() -> bool:
    return importlib.util.find_spec("simdjson") is not None


def _entry(entry: Any, kept: object) -> Any:
    if not hasattr(entry, "as_dict"):
        return _plain(entry)
    found = {}
    for key in entry:
        value = entry[key]
        is_data = key == "data" and hasattr(value, "as_buffer")
        found[key] = Numbers(value, kept) if is_data else _plain(value)
    return found


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.as_list() if hasattr(value, "as_list") else value
