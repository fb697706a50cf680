"""Fetches blobs so that no byte is fetched twice, whatever ends the process in between.

Each blob has a `.part` file of its full size and a `.map` file of one byte per chunk that
is there. A chunk is written, then marked; both are synced every few chunks. After a kill
nothing written is lost; after a power cut the map may promise more than the disk kept,
which the digest finds, and then that blob alone is fetched anew.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.bundle import Descriptor
from edgewright_manifests.digest import Digest, digest_of_file
from edgewright_manifests.messages import RPC_CHUNK_BYTES

from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.source import Source, SourceUnreachable, Span
from edgewright_runtime.update.faults import Reach, pass_by

CHUNK_BYTES = RPC_CHUNK_BYTES
"""The unit of resuming, for HTTPS too."""
SYNC_EVERY_CHUNKS = 16
"""1 MiB between syncs: flash writes in blocks of about that size."""
RESERVE_BYTES = 16 * 1024 * 1024
"""Left free for the outbox, logs and metadata."""


class DownloadRefused(RuntimeFault):
    """The blob cannot be had, now or later: its bytes are wrong, or there is no room."""


class DownloadStopped(RuntimeFault):
    """The caller asked to stop; what is fetched stays for the next time."""


class Downloads:
    """The folder of fetched and half-fetched blobs."""

    def __init__(self, folder: Path, *, reach: Reach = pass_by) -> None:
        self._folder = folder
        self._reach = reach
        self.fetched_bytes = 0
        """Bytes that came since this object was made: whether there is progress."""
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: Digest) -> Path:
        """Where the complete blob lies, once it does."""
        return self._folder / digest.removeprefix("sha256:")

    def has(self, blob: Descriptor) -> bool:
        """Whether the blob is complete here; it was verified before it got its name."""
        path = self.path(blob.digest)
        return path.is_file() and path.stat().st_size == blob.size_bytes

    def check_room(self, blobs: Sequence[Descriptor]) -> None:
        """Raise DownloadRefused when the missing bytes and a reserve do not fit on the disk."""
        # A part has its blocks only once they are written, so a sparse one counts as missing.
        missing = sum(
            blob.size_bytes - self._partial(blob).present_bytes()
            for blob in blobs
            if not self.has(blob)
        )
        free = shutil.disk_usage(self._folder).free
        if missing + RESERVE_BYTES > free:
            raise DownloadRefused(
                f"{self._folder}: {missing} bytes to fetch and {RESERVE_BYTES} in reserve, but "
                f"only {free} free; free some space"
            )

    def fetch(self, blob: Descriptor, source: Source, *, stop: Callable[[], bool]) -> None:
        """Fetch what is missing of one blob, and verify it.

        Raises SourceUnreachable (what came stays) and SourceRefused; DownloadRefused when the
        bytes, fetched in one go, have another digest; DownloadStopped when `stop` says so.
        """
        if self.has(blob):
            return
        partial = self._partial(blob)
        resumed = partial.present_bytes() > 0
        self._fill(partial, blob, source, stop)
        if not partial.finish(self.path(blob.digest)) and resumed:
            # The part that an earlier run left was torn by a power cut; once more from nothing.
            self._fill(partial, blob, source, stop)
            partial.finish(self.path(blob.digest))
        if not self.has(blob):
            raise DownloadRefused(
                f"blob {blob.digest} ({blob.title}): the bytes received have another digest; the "
                "server's copy is damaged or was tampered with, nothing was installed"
            )
        documents.sync_folder(self._folder)

    def keep_only(self, digests: set[Digest]) -> None:
        """Remove what belongs to no blob of `digests`."""
        names = {digest.removeprefix("sha256:") for digest in digests}
        for path in self._folder.iterdir():
            if path.name.partition(".")[0] not in names:
                path.unlink()

    def _fill(
        self, partial: "_Partial", blob: Descriptor, source: Source, stop: Callable[[], bool]
    ) -> None:
        with partial:
            missing = partial.missing()
            for offset, data in source.spans(blob.digest, missing) if missing else ():
                self.fetched_bytes += len(data)
                for _ in partial.write(offset, data):
                    self._reach("download:chunk")
                    if stop():
                        raise DownloadStopped(f"blob {blob.digest}: stopped")
            if partial.missing():
                raise SourceUnreachable(f"blob {blob.digest}: the transfer ended early")

    def _partial(self, blob: Descriptor) -> "_Partial":
        return _Partial(self.path(blob.digest), blob)


class _Partial:
    """One blob on its way; open (as a context manager) while it is written."""

    def __init__(self, place: Path, blob: Descriptor) -> None:
        self._blob = blob
        self._data_path = place.with_suffix(".part")
        self._map_path = place.with_suffix(".map")
        self._count = -(-blob.size_bytes // CHUNK_BYTES)
        self._data = self._map = -1
        self._marks = bytearray()
        self._received: dict[int, int] = {}
        self._unsynced = 0

    def present_bytes(self) -> int:
        """About how much is there already."""
        try:
            marks = self._map_path.read_bytes()
        except OSError:
            return 0
        return min(self._blob.size_bytes, sum(marks) * CHUNK_BYTES)

    def __enter__(self) -> None:
        flags = os.O_RDWR | os.O_CREAT
        self._data = os.open(self._data_path, flags, 0o644)
        self._map = os.open(self._map_path, flags, 0o644)
        if os.fstat(self._data).st_size != self._blob.size_bytes:
            os.ftruncate(self._map, 0)
            os.ftruncate(self._data, self._blob.size_bytes)
        os.ftruncate(self._map, self._count)
        self._marks = bytearray(os.pread(self._map, self._count, 0))
        self._received = {}

    def __exit__(self, *_: object) -> None:
        self._sync()
        os.close(self._data)
        os.close(self._map)

    def missing(self) -> list[Span]:
        """What is not there yet, one span a chunk."""
        return [
            Span(index * CHUNK_BYTES, self._length(index))
            for index, mark in enumerate(self._marks)
            if not mark
        ]

    def write(self, offset: int, data: bytes) -> Iterator[int]:
        """Put bytes in their place; gives the index of each chunk that is complete by them."""
        view = memoryview(data)
        while view and 0 <= offset < self._blob.size_bytes:
            index = offset // CHUNK_BYTES
            end = index * CHUNK_BYTES + self._length(index)
            piece = view[: end - offset]
            os.pwrite(self._data, piece, offset)
            received = self._received.get(index, 0) + len(piece)
            self._received[index] = received
            offset += len(piece)
            view = view[len(piece) :]
            if received == self._length(index) and not self._marks[index]:
                self._marks[index] = 1
                os.pwrite(self._map, b"\x01", index)
                self._unsynced += 1
                if self._unsynced >= SYNC_EVERY_CHUNKS:
                    self._sync()
                yield index

    def finish(self, place: Path) -> bool:
        """Give the blob its name when its digest holds; else forget it."""
        held = digest_of_file(self._data_path) == self._blob.digest
        if held:
            self._data_path.replace(place)
        self._data_path.unlink(missing_ok=True)
        self._map_path.unlink(missing_ok=True)
        return held

    def _length(self, index: int) -> int:
        return min(CHUNK_BYTES, self._blob.size_bytes - index * CHUNK_BYTES)

    def _sync(self) -> None:
        os.fdatasync(self._data)
        os.fdatasync(self._map)
        self._unsynced = 0
