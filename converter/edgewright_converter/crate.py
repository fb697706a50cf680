"""One object in one file: arrays are mapped, not copied; damage and foreign types are refused.

What passes between the processes of a conversion, and what the cache keeps. The head is a
pickle (protocol 5) that may name only our own value types and numpy's arrays; large buffers
follow it out of band, aligned, so that several processes share one copy in the page cache.
"""

import hashlib
import io
import mmap
import os
import pickle  # read back through _Strict only
import struct
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgewright_converter.errors import ConverterError

_MAGIC = b"edgewright crate 1\n"
_DIGEST_BYTES = 32
_ALIGNMENT = 64
"""numpy's own alignment for vector instructions."""
_OWN = ("edgewright_converter.", "edgewright_manifests.")
_FOREIGN = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("builtins", "bytearray"),
}  # numpy 1 and 2 name the same functions differently
_PATHLIB = ("pathlib", "pathlib._local")  # since Python 3.13 the second
_MSGSPEC = ("msgspec", "msgspec._core")
_HASHED_BYTES = 1 << 20
_BROKEN = (
    pickle.UnpicklingError, struct.error, AttributeError, EOFError, ImportError, LookupError,
    MemoryError, OverflowError, TypeError, ValueError,
)  # fmt: skip  # what pickle raises over nonsense


class CrateDamaged(ConverterError):
    """The file is no whole crate of this program; make it again."""


class _Strict(pickle.Unpickler):
    """Builds our dataclasses, msgspec structs and errors, paths and arrays; nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # whatever the module holds
        if (module, name) in _FOREIGN or (module in _PATHLIB and name.endswith("Path")):
            return super().find_class(module, name)
        if module.startswith(_OWN):
            found = super().find_class(module, name)
            if _is_value_type(found) or (module, name) == (ConverterError.__module__, "restore"):
                return found
        if module in _MSGSPEC:
            found = getattr(import_module(module), name, None)
            if name == "rebuild" or found is msgspec.UNSET:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a crate")


def _is_value_type(found: object) -> bool:
    return isinstance(found, type) and (
        is_dataclass(found) or issubclass(found, msgspec.Struct | Exception)
    )


def write_crate(path: Path, value: object, *, sync: bool = False) -> None:
    """Write `value` to `path`, whole or not at all; `sync` makes it survive a power cut."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with staged.open("wb") as file:
            file.write(_MAGIC + bytes(_DIGEST_BYTES))
            hashed = hashlib.sha256()
            for piece in _pieces(head, views):
                hashed.update(piece)
                file.write(piece)
            file.seek(len(_MAGIC))
            file.write(hashed.digest())
            if sync:
                file.flush()
                os.fsync(file.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def read_crate(path: Path) -> Any:  # the caller knows what it wrote there, and checks the class
    """The object in `path`; its arrays are read-only views of the file.

    Raises CrateDamaged for anything that is not exactly what write_crate wrote, and OSError.
    """
    with path.open("rb") as file:
        _check_digest(file, path)
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        place = len(_MAGIC) + _DIGEST_BYTES
        (count,) = struct.unpack_from("<Q", mapped, place)
        lengths = struct.unpack_from(f"<{count}Q", mapped, place + 8)
        place += 8 * (1 + count)
        parts = []
        for length in lengths:
            place += _padding(place)
            parts.append(mapped[place : place + length])
            place += length
        return _Strict(io.BytesIO(parts[0]), buffers=parts[1:]).load()
    except _BROKEN as error:
        raise CrateDamaged(f"{path}: does not hold what it should: {error}") from error


def _pieces(head: bytes, views: Sequence[memoryview]) -> Iterator[bytes | memoryview]:
    parts = [memoryview(head), *views]
    lengths = struct.pack(f"<{1 + len(parts)}Q", len(parts), *(part.nbytes for part in parts))
    place = len(_MAGIC) + _DIGEST_BYTES + len(lengths)
    yield lengths
    for part in parts:
        yield bytes(_padding(place))
        yield part
        place += _padding(place) + part.nbytes


def _padding(place: int) -> int:
    return -place % _ALIGNMENT


def _check_digest(file: BinaryIO, path: Path) -> None:
    head = file.read(len(_MAGIC) + _DIGEST_BYTES)
    if head[: len(_MAGIC)] != _MAGIC or len(head) != len(_MAGIC) + _DIGEST_BYTES:
        raise CrateDamaged(f"{path}: is no crate of this version")
    hashed = hashlib.sha256()
    while piece := file.read(_HASHED_BYTES):
        hashed.update(piece)
    if hashed.digest() != head[len(_MAGIC) :]:
        raise CrateDamaged(f"{path}: is damaged")
