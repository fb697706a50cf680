"""Reads FlatBuffer tables of a file that nobody vouches for.

The format's own Python reader follows every offset it is given. Here each one is checked against
the file's length before it is followed, and everything that is copied out is charged to a budget,
so that vectors which point at each other's contents end in a refusal and not in hours of work.
Layout: https://flatbuffers.dev/internals, "Tables", "Vectors", "Strings".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.frontend.tflite.refusal import damaged

_BUDGET_FACTOR = 8
_BUDGET_FLOOR = 1 << 20
"""An honest file says everything once; shared strings and vectors make it a little more."""


class Source:
    """The bytes of a file, every read checked."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._budget = _BUDGET_FACTOR * len(data) + _BUDGET_FLOOR

    def scalar(self, code: str, position: int) -> int | float:
        """One little-endian number of `struct`'s type `code`."""
        self.span(position, struct.calcsize(code))
        value: int | float = struct.unpack_from(f"<{code}", self.data, position)[0]
        return value

    def unsigned(self, position: int) -> int:
        """A 32-bit offset or length."""
        return int(self.scalar("I", position))

    def span(self, position: int, size_bytes: int) -> memoryview:
        """The bytes there, not copied."""
        if position < 0 or size_bytes < 0 or position + size_bytes > len(self.data):
            raise damaged(f"it points at byte {position + size_bytes} of {len(self.data)}")
        return memoryview(self.data)[position : position + size_bytes]

    def vector(self, position: int, item_bytes: int) -> tuple[int, int]:
        """Where the elements of the vector begin that is referred to here, and how many."""
        start = position + self.unsigned(position)
        count = self.unsigned(start)
        self.span(start + 4, count * item_bytes)
        return start + 4, count

    def charge(self, size_bytes: int) -> None:
        """Accounts for what is about to be copied or parsed."""
        self._budget -= size_bytes
        if self._budget < 0:
            raise damaged("its parts overlap: together they say more than the file can hold")


class Table:
    """One table; subclasses name its fields."""

    __slots__ = ("_slots", "position", "source")

    def __init__(self, source: Source, position: int) -> None:
        self.source = source
        source.charge(4)
        vtable = position - int(source.scalar("i", position))
        size_bytes = int(source.scalar("H", vtable))
        if size_bytes < 4:
            raise damaged("a table has no list of fields")
        self._slots = source.span(vtable, size_bytes)[4:]
        self.position = position

    def place(self, index: int) -> int | None:
        """Where field `index` lies in the file; None where it is absent."""
        if 2 * index + 2 > len(self._slots):
            return None
        offset = struct.unpack_from("<H", self._slots, 2 * index)[0]
        return self.position + offset if offset else None


T = TypeVar("T", bound=Table)


@dataclass(frozen=True, slots=True)
class Integer:
    """A field with one integer of `struct`'s type `code`."""

    index: int
    code: str = "i"
    default: int = 0

    def __get__(self, table: Table, owner: object = None) -> int:
        place = table.place(self.index)
        return self.default if place is None else int(table.source.scalar(self.code, place))


@dataclass(frozen=True, slots=True)
class Flag:
    """A field that is true or false."""

    index: int

    def __get__(self, table: Table, owner: object = None) -> bool:
        place = table.place(self.index)
        return place is not None and bool(table.source.scalar("B", place))


@dataclass(frozen=True, slots=True)
class Number:
    """A field with a float32."""

    index: int

    def __get__(self, table: Table, owner: object = None) -> float:
        place = table.place(self.index)
        return 0.0 if place is None else float(table.source.scalar("f", place))


@dataclass(frozen=True, slots=True)
class Text:
    """A field with a string; what is no UTF-8 in it is replaced, absent is empty."""

    index: int

    def __get__(self, table: Table, owner: object = None) -> str:
        place = table.place(self.index)
        if place is None:
            return ""
        start, count = table.source.vector(place, 1)
        table.source.charge(count)
        return bytes(table.source.span(start, count)).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Bytes:
    """A field with raw bytes, not copied; None where it is absent."""

    index: int

    def __get__(self, table: Table, owner: object = None) -> memoryview | None:
        place = table.place(self.index)
        if place is None:
            return None
        return table.source.span(*table.source.vector(place, 1))


@dataclass(frozen=True, slots=True)
class Vector:
    """A field with numbers of one type; empty where it is absent."""

    index: int
    dtype: str = "<i4"

    def __get__(self, table: Table, owner: object = None) -> NDArray[np.generic]:
        place = table.place(self.index)
        dtype = np.dtype(self.dtype)
        if place is None:
            return np.empty(0, dtype)
        start, count = table.source.vector(place, dtype.itemsize)
        table.source.charge(count * dtype.itemsize)
        return np.frombuffer(table.source.data, dtype, count, start)


@dataclass(frozen=True, slots=True)
class Integers:
    """A field with integers as Python's; None where it is absent."""

    index: int
    dtype: str = "<i4"

    def __get__(self, table: Table, owner: object = None) -> tuple[int, ...] | None:
        if table.place(self.index) is None:
            return None
        return tuple(int(n) for n in Vector(self.index, self.dtype).__get__(table).tolist())


@dataclass(frozen=True, slots=True)
class Child(Generic[T]):
    """A field with a table of its own."""

    index: int
    kind: type[T]

    def __get__(self, table: Table, owner: object = None) -> T | None:
        place = table.place(self.index)
        if place is None:
            return None
        return self.kind(table.source, place + table.source.unsigned(place))


@dataclass(frozen=True, slots=True)
class Children(Generic[T]):
    """A field with a vector of tables; empty where it is absent."""

    index: int
    kind: type[T]

    def __get__(self, table: Table, owner: object = None) -> tuple[T, ...]:
        place = table.place(self.index)
        if place is None:
            return ()
        source = table.source
        start, count = source.vector(place, 4)
        source.charge(4 * count)
        entries = range(start, start + 4 * count, 4)
        return tuple(self.kind(source, entry + source.unsigned(entry)) for entry in entries)
