"""Which variant each device should have; the number rises with every change."""

import datetime
from typing import Any

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.release import DirectorCustom
from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from edgewright_fleet.store.database import Database
from edgewright_fleet.store.schema import assignments, devices


class AssignedTarget(Document, frozen=True):
    """The TUF target that a device is to have."""

    path: str
    manifest: Digest
    manifest_size_bytes: int
    custom: DirectorCustom


class AssignmentRecord(Document, frozen=True):
    """One assignment of one device."""

    device: str
    number: int
    key: str
    """Who asks again with the same key gets the same assignment."""
    model: str
    target: AssignedTarget | None
    """None where an assignment was withdrawn."""
    created: datetime.datetime
    director_timestamp: str = ""
    """Digest of the director's timestamp.json; empty until it is written and signed."""


class Assignments:
    """The table of assignments; nothing is ever changed in it but `director_timestamp`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_number(self, device: str) -> int:
        """What the next assignment of this device will be called."""
        with self._database.reading() as connection:
            return (connection.scalar(_highest(device)) or 0) + 1

    def add(self, record: AssignmentRecord) -> bool:
        """Keep a new assignment; False when its number or key was taken meanwhile."""
        target = record.target
        try:
            with self._database.writing() as connection:
                # One assignment at a time per device, on PostgreSQL too.
                connection.execute(
                    select(devices.c.id).where(devices.c.id == record.device).with_for_update()
                )
                highest = connection.scalar(_highest(record.device)) or 0
                if highest + 1 != record.number:
                    return False
                connection.execute(
                    insert(assignments).values(
                        device=record.device,
                        number=record.number,
                        key=record.key,
                        model=record.model,
                        version=target.custom.image.version if target else None,
                        target_path=target.path if target else None,
                        manifest=target.manifest if target else None,
                        manifest_size_bytes=target.manifest_size_bytes if target else None,
                        custom=documents.encode(target.custom) if target else None,
                        director_timestamp=record.director_timestamp,
                        created=record.created,
                    )
                )
        except IntegrityError:
            return False
        return True

    def set_signed(self, device: str, number: int, director_timestamp: Digest) -> None:
        """The director's metadata for this assignment is on disk."""
        with self._database.writing() as connection:
            connection.execute(
                update(assignments)
                .where(assignments.c.device == device, assignments.c.number == number)
                .values(director_timestamp=director_timestamp)
            )

    def by_key(self, key: str) -> AssignmentRecord | None:
        """The assignment that was made under this key."""
        return self._first(select(assignments).where(assignments.c.key == key))

    def current(self, device: str) -> AssignmentRecord | None:
        """The newest assignment of a device."""
        return self._first(
            select(assignments)
            .where(assignments.c.device == device)
            .order_by(assignments.c.number.desc())
            .limit(1)
        )

    def all_current(self) -> dict[str, AssignmentRecord]:
        """The newest assignment of every device that has one."""
        newest = (
            select(assignments.c.device, func.max(assignments.c.number).label("number"))
            .group_by(assignments.c.device)
            .subquery()
        )
        query = select(assignments).join(
            newest,
            (assignments.c.device == newest.c.device) & (assignments.c.number == newest.c.number),
        )
        with self._database.reading() as connection:
            return {row.device: _record(row) for row in connection.execute(query)}

    def _first(self, query: Select[Any]) -> AssignmentRecord | None:  # Any: a row of all columns
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return _record(row) if row else None


def _highest(device: str) -> Select[Any]:  # Any: one aggregate
    return select(func.max(assignments.c.number)).where(assignments.c.device == device)


def _record(row: Row[Any]) -> AssignmentRecord:  # Any: Core rows are typed by column at run time
    target = None
    if row.custom is not None:
        target = AssignedTarget(
            path=row.target_path,
            manifest=row.manifest,
            manifest_size_bytes=row.manifest_size_bytes,
            custom=documents.decode(row.custom, DirectorCustom, source="assignments.custom"),
        )
    return AssignmentRecord(
        device=row.device,
        number=row.number,
        key=row.key,
        model=row.model,
        target=target,
        created=row.created,
        director_timestamp=row.director_timestamp,
    )
