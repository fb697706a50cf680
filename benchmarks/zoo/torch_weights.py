"""Reads the tensors of a PyTorch weights file (the format before 1.6) without PyTorch.

The file is a row of pickles, then the raw storages. Only the classes that a state dict needs
are let through, so an unknown file cannot run code.
"""

import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]  # Any: the element type is data

_DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _View:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In elements."""


def _rebuild(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _View:
    return _View(storage, offset, shape, strides)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # Any: what pickle calls
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a state dict")

    def persistent_load(self, pid: Any) -> _Storage:  # Any: as pickle gives it
        return _Storage(pid[2], _DTYPES[pid[1]])


def read_weights(data: bytes) -> Weights:
    """Every tensor of the state dict, by name."""
    file = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol version, system facts
        _Reader(file).load()
    views: dict[str, _View] = _Reader(file).load()
    keys: list[str] = _Reader(file).load()
    dtypes = {view.storage.key: view.storage.dtype for view in views.values()}
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    return {
        name: np.ndarray(
            view.shape,
            view.storage.dtype,
            storages[view.storage.key],
            view.offset * view.storage.dtype.itemsize,
            [stride * view.storage.dtype.itemsize for stride in view.strides],
        )
        for name, view in views.items()
    }
