"""A copy of the log as it is signed, to be kept or handed over; `audit verify` reads it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
from edgewright_manifests.documents import Document, write_atomically

from edgewright_fleet.audit.heads import Head, Verifier
from edgewright_fleet.audit.opening import CHECKPOINT, PUBLIC_KEY
from edgewright_fleet.audit.segments import read_lines, records_folder
from edgewright_fleet.errors import AuditError, ConflictError


class ExportReport(Document, frozen=True):
    """What was exported."""

    folder: str
    records: int


def signed_lines(folder: Path, public_key: str) -> Iterator[bytes]:
    """Every signed record as its JSON line (with the line feed), then the checkpoint.

    The checkpoint is a JSON object `{"checkpoint": NOTE}` on the last line. Raises AuditError
    when the checkpoint does not hold or records are missing.
    """
    head = _read_head(folder, public_key)
    count = 0
    for line in itertools.islice(read_lines(folder), head.size):
        count += 1
        yield line.data + b"\n"
    if count < head.size:
        raise AuditError(f"{folder}: has {count} records, but {head.size} were signed")
    yield msgspec.json.encode({"checkpoint": head.note}) + b"\n"


def export_log(folder: Path, public_key: str, out: Path) -> ExportReport:
    """Copy every signed record, the checkpoint and the public key to the new folder `out`.

    Raises ConflictError when `out` exists, AuditError when the log or `out` cannot be used.
    """
    head = _read_head(folder, public_key)
    written = 0
    try:
        if out.exists() and any(out.iterdir()):
            raise ConflictError(f"{out}: exists already; name a folder that is not there yet")
        records_folder(out).mkdir(parents=True, exist_ok=True)
        with (records_folder(out) / f"{0:020d}.jsonl").open("wb") as file:
            for line in itertools.islice(read_lines(folder), head.size):
                file.write(line.data + b"\n")
                written += 1
        write_atomically(out / PUBLIC_KEY, public_key.strip().encode() + b"\n")
        write_atomically(out / CHECKPOINT, head.note.encode())
    except OSError as error:
        raise AuditError(f"{out}: the audit log cannot be exported: {error}") from error
    if written < head.size:
        raise AuditError(f"{folder}: has {written} records, but {head.size} were signed")
    return ExportReport(folder=str(out), records=written)


def _read_head(folder: Path, public_key: str) -> Head:
    path = folder / CHECKPOINT
    try:
        return Verifier(public_key).open(path.read_bytes(), path)
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from error
