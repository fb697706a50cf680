"""Small audit logs to write, copy and damage."""

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edgewright_fleet.audit.heads import AuditKey
from edgewright_fleet.audit.log import AuditLog
from edgewright_fleet.audit.records import AuditRecord
from edgewright_fleet.audit.segments import segment_paths
from edgewright_fleet.audit.verify import VerifyReport, verify_log
from edgewright_manifests import documents

KEY = AuditKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = AuditKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def open_log(folder: Path) -> AuditLog:
    ticks = iter(range(1_000_000))
    return AuditLog(
        folder,
        KEY,
        environment="test",
        clock=lambda: START + datetime.timedelta(seconds=next(ticks)),
        timer=lambda: float(next(ticks)),
    )


def write_log(folder: Path, operations: int) -> Path:
    """A closed log of two records an operation."""
    log = open_log(folder)
    for number in range(operations):
        with log.operation("device.enrol", user="admin", resources=(f"device:pi-{number}",)):
            pass
    log.close()
    return folder


def copy_log(folder: Path, to: Path) -> Path:
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(folder, to)
    return to


def records(folder: Path) -> list[AuditRecord]:
    return [
        documents.decode(line, AuditRecord, source="record")
        for path in segment_paths(folder)
        for line in path.read_bytes().splitlines()
    ]


def edit_lines(folder: Path, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the lines of the only segment."""
    [path] = segment_paths(folder)
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


def verify(folder: Path, **kept: bytes) -> VerifyReport:
    return verify_log(folder, KEY.public, kept)


def only_problem(report: VerifyReport) -> tuple[str, int | None]:
    assert not report.intact
    [problem] = report.problems
    assert "\n" not in problem.message
    return problem.kind, problem.index
