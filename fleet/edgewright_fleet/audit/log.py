"""The writer of the audit log: each record durable, in the tree and under a signed head.

A folder holds `records/*.jsonl` (a line is a leaf), `checkpoint` (the newest signed head),
`checkpoints.jsonl` (every signed head; it tells which record was changed when one was) and
`public-key`. One process writes; any number may read and verify meanwhile.
"""

import asyncio
import contextlib
import datetime
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from edgewright_manifests import documents

from edgewright_fleet.audit.heads import AuditKey, Head
from edgewright_fleet.audit.opening import OpenLog, open_log
from edgewright_fleet.audit.records import AuditRecord, ModelMetadata
from edgewright_fleet.errors import AuditError

REPAIR = "audit.repair"


class Operation:
    """An operation under way; what is added here stands in its `after` record."""

    def __init__(self, record: AuditRecord) -> None:
        self.id = record.id
        self.resources = list(record.resources)
        self.detail = record.detail
        self.rollback_available = record.rollback_available
        self.model = record.model

    def add_resources(self, *resources: str) -> None:
        """Name further things that the operation touched."""
        self.resources += [each for each in resources if each not in self.resources]


class AuditLog:
    """Appends records; every call returns when its record is on disk and signed.

    Safe to use from any number of threads. Appends that meet share one fsync and one
    signature. Raises AuditError from the constructor when what is in `folder` is not what
    `key` signed, or another process writes it; from an append when the record could not be
    made durable: what was to be done must then not be done.
    """

    def __init__(
        self,
        folder: Path,
        key: AuditKey,
        *,
        environment: str | None = None,
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        timer: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._environment = socket.gethostname() if environment is None else environment
        self._clock = clock
        self._timer = timer
        self._new_id = new_id
        self._changed = threading.Condition()
        self._queue: list[_Entry] = []
        self._writing = False
        self._fault: str | None = None
        self._open: OpenLog = open_log(folder, key)
        if self._open.repairs:
            self._repair_record(self._open.repairs)

    @property
    def head(self) -> Head:
        """The newest signed head."""
        return self._open.head

    @property
    def checkpoint(self) -> str:
        """The newest signed head as a checkpoint (C2SP signed note), to be kept elsewhere."""
        return self._open.head.note

    @property
    def public_key(self) -> str:
        """The verifier key as one line (`NAME+KEYID+BASE64`), to be pinned by who verifies."""
        return self._open.public_key

    @property
    def folder(self) -> Path:
        """Where the log lies."""
        return self._open.folder

    def close(self) -> None:
        """Wait for appends under way and let another process write. Idempotent."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writing)
            self._fault = self._fault or "it is closed"
            self._open.close()

    @contextlib.contextmanager
    def operation(
        self,
        operation: str,
        *,
        user: str,
        command: str = "",
        resources: Sequence[str] = (),
        change_ticket: str | None = None,
        rollback_available: bool = False,
        model: ModelMetadata | tuple[str, str] | None = None,
        detail: str | None = None,
    ) -> Iterator[Operation]:
        """Record an operation before and after the block, with its duration and error.

        Errors pass through. Raises AuditError, before the block is entered, when the
        operation cannot be recorded. Blocks; in asyncio use `operation_async`.
        """
        before = AuditRecord(
            sequence=-1,
            id=self._new_id(),
            phase="before",
            timestamp=self._clock(),
            user=user,
            operation=operation,
            command=command,
            environment=self._environment,
            change_ticket=change_ticket,
            resources=tuple(resources),
            outcome="started",
            detail=detail,
            rollback_available=rollback_available,
            model=ModelMetadata(name=model[0], version=model[1])
            if isinstance(model, tuple)
            else model,
        )
        self._append(before)
        started = self._timer()
        under_way = Operation(before)
        try:
            yield under_way
        except BaseException as error:
            words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self._append_after(before, under_way, started, words)
            raise
        self._append_after(before, under_way, started, None)

    @contextlib.asynccontextmanager
    async def operation_async(
        self,
        operation: str,
        *,
        user: str,
        command: str = "",
        resources: Sequence[str] = (),
        change_ticket: str | None = None,
        rollback_available: bool = False,
        model: ModelMetadata | tuple[str, str] | None = None,
        detail: str | None = None,
    ) -> AsyncIterator[Operation]:
        """`operation` for asyncio: the writing is done in a worker thread."""
        block = self.operation(
            operation,
            user=user,
            command=command,
            resources=resources,
            change_ticket=change_ticket,
            rollback_available=rollback_available,
            model=model,
            detail=detail,
        )
        entering = asyncio.ensure_future(asyncio.to_thread(block.__enter__))
        try:
            under_way = await asyncio.shield(entering)
        except asyncio.CancelledError as error:
            await entering
            await asyncio.to_thread(block.__exit__, type(error), error, error.__traceback__)
            raise
        try:
            yield under_way
        except BaseException as error:
            # Shielded: a cancelled operation is recorded as one, too.
            await asyncio.shield(
                asyncio.to_thread(block.__exit__, type(error), error, error.__traceback__)
            )
            raise
        await asyncio.shield(asyncio.to_thread(block.__exit__, None, None, None))

    def _append_after(
        self, before: AuditRecord, under_way: Operation, started: float, error: str | None
    ) -> None:
        self._append(
            AuditRecord(
                sequence=-1,
                id=before.id,
                phase="after",
                timestamp=self._clock(),
                user=before.user,
                operation=before.operation,
                command=before.command,
                environment=before.environment,
                change_ticket=before.change_ticket,
                resources=tuple(under_way.resources),
                outcome="done" if error is None else "failed",
                detail=under_way.detail,
                error=error,
                rollback_available=under_way.rollback_available,
                duration_s=round(self._timer() - started, 6),
                model=under_way.model,
            )
        )

    def _repair_record(self, repairs: Sequence[str]) -> None:
        with self.operation(
            REPAIR,
            user="fleet",
            command="open",
            resources=("audit",),
            detail="; ".join(repairs),
        ):
            pass  # done already; the log says of itself what was done to it

    def _append(self, record: AuditRecord) -> None:
        """Make the record durable and signed; its sequence is given here."""
        entry = _Entry(record)
        with self._changed:
            self._queue.append(entry)
        while True:
            with self._changed:
                # Whoever finds nobody writing writes for all that have queued up.
                self._changed.wait_for(lambda: entry.settled or not self._writing)
                if entry.settled:
                    break
                self._writing = True
            self._write_batch()
        if entry.error is not None:
            raise AuditError(entry.error)

    def _write_batch(self) -> None:
        with self._changed:
            batch = self._queue[: self._open.room]
            del self._queue[: len(batch)]
            fault = self._fault
        interrupted = "the writer was interrupted; start it again"
        error: str | None = interrupted
        try:
            if fault is not None:
                raise AuditError(f"{self._open.folder}: the audit log takes no records: {fault}")
            first = self._open.head.size
            self._open.append(
                [
                    documents.encode(msgspec.structs.replace(entry.record, sequence=first + offset))
                    for offset, entry in enumerate(batch)
                ]
            )
            error = None
        except AuditError as raised:
            error = str(raised)
        finally:
            with self._changed:
                # A fault after which file and memory may differ is repaired by opening anew.
                self._fault = (
                    fault or self._open.broken or (interrupted if error is interrupted else None)
                )
                for entry in batch:
                    entry.settled = True
                    entry.error = error
                self._writing = False
                self._changed.notify_all()


@dataclass(slots=True)
class _Entry:
    """A record that waits to be written."""

    record: AuditRecord
    settled: bool = False
    error: str | None = None
