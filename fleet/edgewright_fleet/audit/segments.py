"""The records on disk: JSON lines in segment files named by the index of their first record."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edgewright_manifests.documents import sync_folder

from edgewright_fleet.errors import AuditError

SEGMENT_RECORDS = 1 << 16
"""Records in a segment: about 40 MB, a file that every tool still opens."""


class Line(NamedTuple):
    """One line of a segment, without its line feed."""

    data: bytes
    whole: bool
    """False when the line feed is missing: a write that was cut short."""


def records_folder(folder: Path) -> Path:
    """Where the segments of the log in `folder` lie."""
    return folder / "records"


def segment_paths(folder: Path) -> list[Path]:
    """The segments in order. Raises AuditError when the folder cannot be read."""
    try:
        return sorted(records_folder(folder).glob("*.jsonl"))
    except OSError as error:
        raise AuditError(f"{folder}: the audit records cannot be read: {error}") from error


def read_lines(folder: Path) -> Iterator[Line]:
    """Every line of every segment, in order. Raises AuditError when one cannot be read."""
    for path in segment_paths(folder):
        try:
            with path.open("rb") as file:
                for data in file:
                    if data.endswith(b"\n"):
                        yield Line(data[:-1], True)
                    else:
                        yield Line(data, False)
        except OSError as error:
            raise AuditError(f"{path}: cannot be read: {error.strerror}") from error


class SegmentWriter:
    """Appends lines durably; starts a new segment where one is full. Not thread-safe."""

    def __init__(self, folder: Path, size: int) -> None:
        """Continue after `size` records, which must be exactly what is in the segments."""
        self._folder = folder
        self._descriptor: int | None = None
        self._free = 0
        paths = segment_paths(folder)
        if paths and size:
            first = int(paths[-1].stem)
            if first + SEGMENT_RECORDS > size:
                self._open(paths[-1])
                self._free = first + SEGMENT_RECORDS - size

    @property
    def room(self) -> int:
        """How many records one `append` may take, at least 1."""
        return self._free or SEGMENT_RECORDS

    def append(self, lines: Sequence[bytes], size: int) -> None:
        """Write at most `room` lines after the `size` records that are there, and fsync.

        Raises OSError; what was written of the lines is then taken away again.
        """
        if self._free == 0:
            self._start_segment(size)
        self._write(b"".join(line + b"\n" for line in lines))
        self._free -= len(lines)

    def close(self) -> None:
        """Let go of the open segment."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, data: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError("the audit log's segment is not open")
        start = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, start)
            raise

    def _start_segment(self, first: int) -> None:
        self.close()
        folder = records_folder(self._folder)
        self._open(folder / f"{first:020d}.jsonl")
        sync_folder(folder)
        self._free = SEGMENT_RECORDS

    def _open(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)


def drop_torn_line(folder: Path, torn: Line) -> None:
    """Take the last, unfinished line off the last segment, durably. Raises OSError."""
    path = segment_paths(folder)[-1]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - len(torn.data))
        file.flush()
        os.fsync(file.fileno())
