"""Tensors in a caller's system shared memory: Triton's extension, by POSIX key.

The memory is read and written by system calls, never mapped: its owner may truncate it at any
moment, and a mapping whose pages are gone kills the process that touches it (SIGBUS). A read
that comes back short is an error of one request. That costs one copy each way; callers who want
none use the local door, whose memory is sealed.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import (
    InvalidInput,
    NotAllowed,
    RegionUnknown,
    RuntimeFault,
    one_line,
)

FOLDER = Path("/dev/shm")  # noqa: S108  # where Linux keeps POSIX shared memory (shm_overview(7))
_KEY = re.compile(r"/?[^/\0]{1,255}\Z")
_REGIONS = 1024
_LARGEST = 1 << 62
_TENSOR_BYTES = 1 << 30  # as much as a slot of the local door may hold


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes within a registered region."""

    region: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Region:
    name: str
    key: str
    offset: int
    size_bytes: int
    descriptor: int


class SharedMemory:
    """The regions that callers have registered. Belongs to the event loop's thread."""

    def __init__(self, *, is_allowed: bool = True, folder: Path = FOLDER) -> None:
        self._is_allowed = is_allowed
        self._folder = folder
        self._regions: dict[str, _Region] = {}

    def register(self, name: str, key: str, offset: int, size_bytes: int) -> None:
        """Take `size_bytes` from `offset` of the memory called `key`.

        Raises InvalidInput when there is no such memory or it is smaller, NotAllowed when this
        server takes none.
        """
        if not self._is_allowed:
            raise NotAllowed(
                "shared memory is for callers on this machine, and this server can be reached "
                "from the network; start it with --shared-memory on, or on 127.0.0.1"
            )
        if name in self._regions:
            raise InvalidInput(f"shared memory region '{name}' is registered already")
        if len(self._regions) >= _REGIONS:
            raise InvalidInput(f"{_REGIONS} regions are registered, the limit; unregister some")
        descriptor = self._open(key)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or offset + size_bytes > found.st_size:
            os.close(descriptor)
            raise InvalidInput(
                f"shared memory '{key}' has {found.st_size} bytes; region '{name}' wants "
                f"{size_bytes} from {offset}"
            )
        self._regions[name] = _Region(name, key, offset, size_bytes, descriptor)

    def unregister(self, name: str | None = None) -> None:
        """Let go of a region, or of all; nothing to do when there is none."""
        for wanted in list(self._regions) if name is None else [name]:
            region = self._regions.pop(wanted, None)
            if region is not None:
                os.close(region.descriptor)

    def status(self, name: str | None = None) -> list[dict[str, str | int]]:
        """Triton's document on one region or all. Raises RegionUnknown."""
        wanted = list(self._regions.values()) if name is None else [self._region(name)]
        return [
            {
                "name": region.name,
                "key": region.key,
                "offset": region.offset,
                "byte_size": region.size_bytes,
            }
            for region in wanted
        ]

    def read(self, place: Place) -> memoryview:
        """A copy of what lies there. Raises RegionUnknown, InvalidInput."""
        region = self._checked(place)
        if place.size_bytes > _TENSOR_BYTES:
            raise InvalidInput(f"a tensor in shared memory has at most {_TENSOR_BYTES} bytes here")
        start = region.offset + place.offset
        found = os.pread(region.descriptor, place.size_bytes, start)
        while len(found) < place.size_bytes:
            more = os.pread(region.descriptor, place.size_bytes - len(found), start + len(found))
            if not more:
                raise _truncated(region)
            found += more
        return memoryview(found)

    def write(self, place: Place, data: Buffer) -> None:
        """Put `data` at the beginning of the place. Raises RegionUnknown, InvalidInput."""
        region = self._checked(place)
        if len(data) > place.size_bytes:
            raise InvalidInput(
                f"an output has {len(data)} bytes, its place in shared memory region "
                f"'{region.name}' {place.size_bytes}"
            )
        start = region.offset + place.offset
        # A write beyond the end would make the memory longer again.
        if start + len(data) > os.fstat(region.descriptor).st_size:
            raise _truncated(region)
        view, position = memoryview(data), 0
        while position < len(view):
            position += os.pwrite(region.descriptor, view[position:], start + position)

    def check(self, place: Place) -> None:
        """Whether the place lies within its region. Raises RegionUnknown, InvalidInput."""
        self._checked(place)

    def _checked(self, place: Place) -> _Region:
        region = self._region(place.region)
        if place.offset + place.size_bytes > region.size_bytes:
            raise InvalidInput(
                f"{place.size_bytes} bytes from {place.offset} go beyond the "
                f"{region.size_bytes} of shared memory region '{region.name}'"
            )
        return region

    def _region(self, name: str) -> _Region:
        found = self._regions.get(name)
        if found is None:
            raise RegionUnknown(f"no shared memory region '{name}' is registered")
        return found

    def _open(self, key: str) -> int:
        name = key.removeprefix("/")
        if not _KEY.match(key) or name in (".", ".."):
            raise InvalidInput(f"'{key[:100]}' is no key of shared memory; it is /NAME")
        try:
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            return os.open(self._folder / name, flags)
        except FileNotFoundError as error:
            raise InvalidInput(f"there is no shared memory '{key}' on this machine") from error
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise RuntimeFault("too many open files; unregister regions") from error
            raise InvalidInput(f"shared memory '{key}' does not open: {one_line(error)}") from error


def read_place(parameters: Mapping[str, object], what: str) -> Place | None:
    """Where the parameters `shared_memory_*` of a tensor put it. Raises InvalidInput."""
    region = parameters.get("shared_memory_region")
    if region is None:
        return None
    if not isinstance(region, str):
        raise InvalidInput(f"{what}: 'shared_memory_region' must be a name")
    offset = byte_count(parameters, "shared_memory_offset", what)
    if "shared_memory_byte_size" not in parameters:
        raise InvalidInput(f"{what}: 'shared_memory_byte_size' is missing")
    return Place(region, offset, byte_count(parameters, "shared_memory_byte_size", what))


def byte_count(document: Mapping[str, object], key: str, what: str) -> int:
    """A number of bytes in a document, 0 without. Raises InvalidInput."""
    found = document.get(key, 0)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _LARGEST:
        raise InvalidInput(f"{what}: '{key}' must be a number of bytes")
    return found


def _truncated(region: _Region) -> InvalidInput:
    return InvalidInput(
        f"shared memory region '{region.name}' is larger than its memory now is; it was truncated"
    )
