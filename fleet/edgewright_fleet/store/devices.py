"""Enrolled devices and what each last said about itself."""

import datetime
from typing import Any

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.messages import VersionReport
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from edgewright_fleet.errors import ConflictError, UnknownName
from edgewright_fleet.store.database import Database
from edgewright_fleet.store.schema import devices


class DeviceRecord(Document, frozen=True):
    """One device."""

    id: str
    tenant: str
    profile: str
    hardware_id: str
    certificate: str
    """PEM."""
    fingerprint: Digest
    serial: str
    enrolled: datetime.datetime
    revoked: datetime.datetime | None = None
    online: bool = False
    last_seen: datetime.datetime | None = None
    sequence: int = 0
    report: VersionReport | None = None


class Devices:
    """The table of devices."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, device: DeviceRecord) -> None:
        """Enrol a new device. Raises ConflictError when the name is taken."""
        try:
            with self._database.writing() as connection:
                connection.execute(
                    insert(devices).values(
                        id=device.id,
                        tenant=device.tenant,
                        profile=device.profile,
                        hardware_id=device.hardware_id,
                        certificate=device.certificate,
                        fingerprint=device.fingerprint,
                        serial=device.serial,
                        enrolled=device.enrolled,
                        online=False,
                        sequence=0,
                    )
                )
        except IntegrityError as error:
            raise ConflictError(
                f"device {device.id!r} is enrolled already; take another name"
            ) from error

    def get(self, device: str) -> DeviceRecord:
        """One device. Raises UnknownName."""
        found = self.find(device)
        if found is None:
            raise UnknownName(f"device {device!r} is not enrolled; see `edgewright fleet devices`")
        return found

    def find(self, device: str) -> DeviceRecord | None:
        """One device, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(devices).where(devices.c.id == device)).first()
        return _record(row) if row else None

    def by_fingerprint(self, fingerprint: Digest) -> DeviceRecord | None:
        """The device whose enrolled certificate has this digest (DER)."""
        query = select(devices).where(devices.c.fingerprint == fingerprint)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return _record(row) if row else None

    def all(self) -> list[DeviceRecord]:
        """Every device, revoked ones included, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(devices).order_by(devices.c.id)).all()
        return [_record(row) for row in rows]

    def store_report(self, report: VersionReport, now: datetime.datetime) -> bool:
        """Keep a device's report when its sequence rises; False for an older one or a replay."""
        active = report.active
        with self._database.writing() as connection:
            result = connection.execute(
                update(devices)
                .where(devices.c.id == report.device, devices.c.sequence < report.sequence)
                .values(
                    sequence=report.sequence,
                    state=report.state.value,
                    active_model=active.model if active else None,
                    active_version=active.version if active else None,
                    report=documents.encode(report),
                    last_seen=now,
                )
            )
            return result.rowcount == 1

    def set_online(self, device: str, online: bool, now: datetime.datetime) -> None:
        """What the last will, or the connection, says."""
        with self._database.writing() as connection:
            connection.execute(
                update(devices).where(devices.c.id == device).values(online=online, last_seen=now)
            )

    def set_all_offline(self) -> None:
        """The embedded broker was down, and with it every connection."""
        with self._database.writing() as connection:
            connection.execute(update(devices).values(online=False))

    def revoke(self, device: str, now: datetime.datetime) -> None:
        """Mark as revoked, for ever. Raises UnknownName, or ConflictError when it is already."""
        if self.get(device).revoked:
            raise ConflictError(f"device {device!r} is revoked already")
        with self._database.writing() as connection:
            connection.execute(
                update(devices)
                .where(devices.c.id == device, devices.c.revoked.is_(None))
                .values(revoked=now, online=False)
            )


def _record(row: Row[Any]) -> DeviceRecord:  # Any: Core rows are typed by column at run time
    report = row.report
    return DeviceRecord(
        id=row.id,
        tenant=row.tenant,
        profile=row.profile,
        hardware_id=row.hardware_id,
        certificate=row.certificate,
        fingerprint=row.fingerprint,
        serial=row.serial,
        enrolled=row.enrolled,
        revoked=row.revoked,
        online=row.online,
        last_seen=row.last_seen,
        sequence=row.sequence,
        report=documents.decode(report, VersionReport, source="devices.report") if report else None,
    )
