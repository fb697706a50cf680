"""Opening a log to write to it: what a crash left behind is repaired, damage is refused."""

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from edgewright_manifests.documents import decode, sync_folder, write_atomically
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.tree import EMPTY_ROOT, MerkleTree

from edgewright_fleet.audit.heads import AuditKey, Head, Verifier
from edgewright_fleet.audit.records import AuditRecord
from edgewright_fleet.audit.segments import (
    Line,
    SegmentWriter,
    drop_torn_line,
    read_lines,
    records_folder,
)
from edgewright_fleet.errors import AuditError

CHECKPOINT = "checkpoint"
HISTORY = "checkpoints.jsonl"
PUBLIC_KEY = "public-key"
LOCK = "writer.lock"
TAKE_TRIES = 5


class OpenLog:
    """A log that this process alone writes. Not thread-safe: AuditLog sees to that."""

    def __init__(
        self, folder: Path, key: AuditKey, lock: int, tree: MerkleTree, head: Head
    ) -> None:
        self.folder = folder
        self.head = head
        self.repairs: tuple[str, ...] = ()
        """What was repaired on opening, for people."""
        self.broken: str | None = None
        """Set when file and memory may differ; only opening the log anew helps then."""
        self.public_key = key.public
        self._key = key
        self._lock: int | None = lock
        self._tree = tree
        self._segments = SegmentWriter(folder, tree.size)
        self._history = os.open(folder / HISTORY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    @property
    def room(self) -> int:
        """How many records one `append` may take."""
        return self._segments.room

    def append(self, lines: Sequence[bytes]) -> None:
        """Make the lines durable and sign the tree with them. Raises AuditError."""
        try:
            self._segments.append(lines, self._tree.size)
        except OSError as error:
            raise AuditError(
                f"{self.folder}: an audit record cannot be written: {error}"
            ) from error
        try:
            for line in lines:
                self._tree.append(line)
            self.sign()
        except OSError as error:
            self.broken = f"its checkpoint could not be written: {error}; start the server again"
            raise AuditError(f"{self.folder}: {self.broken}") from error

    def sign(self) -> None:
        """Sign the tree as it is now and publish that. Raises OSError."""
        head = self._key.sign(self._tree.size, self._tree.root())
        write_atomically(self.folder / CHECKPOINT, head.note.encode())
        self.head = head
        # After the checkpoint and without an fsync: who has lost its end can still verify
        # everything, and only names a changed record less exactly.
        os.write(self._history, msgspec.json.encode(head.note) + b"\n")

    def close(self) -> None:
        """Let another process write. Idempotent."""
        if self._lock is None:
            return
        self._segments.close()
        os.close(self._history)
        os.close(self._lock)
        self._lock = None


def open_log(folder: Path, key: AuditKey) -> OpenLog:
    """Take the log over, or begin one in an empty folder.

    Whole records after the last checkpoint are signed; a torn last one is dropped. Raises
    AuditError when another process has it, or when the log is not what `key` signed.
    """
    try:
        records_folder(folder).mkdir(parents=True, exist_ok=True)
        lock = _take(folder)
    except OSError as error:
        raise AuditError(f"{folder}: the audit log cannot be opened: {error}") from error
    try:
        if not (folder / CHECKPOINT).exists():
            _begin(folder, key)
        return _recover(folder, key, lock)
    except OSError as error:
        os.close(lock)
        raise AuditError(f"{folder}: the audit log cannot be opened: {error}") from error
    except AuditError:
        os.close(lock)
        raise


def is_being_written(folder: Path) -> bool:
    """Whether some process has the log open for writing."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(folder: Path) -> int:
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o640)
    for attempt in range(TAKE_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            # `is_being_written` holds it for a blink.
            time.sleep(0.02 * attempt)
    os.close(descriptor)
    raise AuditError(
        f"{folder}: another process writes this audit log; stop the other fleet server"
    )


def _begin(folder: Path, key: AuditKey) -> None:
    if next(read_lines(folder), None) is not None:
        raise AuditError(
            f"{folder / CHECKPOINT}: is missing though there are records; put the log back from "
            "a backup, or move the folder away to begin a new log"
        )
    write_atomically(folder / PUBLIC_KEY, key.public.encode() + b"\n")
    write_atomically(folder / CHECKPOINT, key.sign(0, EMPTY_ROOT).note.encode())
    sync_folder(folder.parent)


def _recover(folder: Path, key: AuditKey, lock: int) -> OpenLog:
    head = Verifier(key.public).open((folder / CHECKPOINT).read_bytes(), folder / CHECKPOINT)
    tree = MerkleTree()
    torn: Line | None = None
    for line in read_lines(folder):
        if tree.size >= head.size:
            if torn is not None:
                raise _damaged(folder, tree.size, "is no whole record, and more follows it")
            if not line.whole:
                torn = line
                continue
            _require_record(folder, line, tree.size)
        elif not line.whole:
            raise _damaged(folder, tree.size, "was cut short")
        tree.append(line.data)
        if tree.size == head.size and tree.root() != head.root:
            raise _damaged(folder, None, "are not what was signed")
    if tree.size < head.size:
        raise _damaged(folder, tree.size, f"is missing; {head.size} records were signed")
    repairs: list[str] = []
    if torn is not None:
        drop_torn_line(folder, torn)
        repairs.append(
            f"dropped the unfinished record {tree.size} ({len(torn.data)} bytes) that a crash left"
        )
    _mend_history(folder)
    log = OpenLog(folder, key, lock, tree, head)
    if tree.size > head.size:
        repairs.append(
            f"signed records {head.size} to {tree.size - 1}, which a crash left unsigned"
        )
        log.sign()
    log.repairs = tuple(repairs)
    return log


def _require_record(folder: Path, line: Line, index: int) -> None:
    try:
        record = decode(line.data, AuditRecord, source=f"record {index}")
    except DocumentError as error:
        raise _damaged(folder, index, f"is no audit record ({error})") from error
    if record.sequence != index:
        raise _damaged(folder, index, f"says that it is record {record.sequence}")


def _mend_history(folder: Path) -> None:
    path = folder / HISTORY
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def _damaged(folder: Path, index: int | None, problem: str) -> AuditError:
    what = "the records" if index is None else f"record {index}"
    return AuditError(
        f"{folder}: the audit log is damaged: {what} {problem}; run `edgewright fleet audit "
        "verify`, keep this folder as evidence and put the log back from a backup"
    )
