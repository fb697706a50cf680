"""Rollouts and their devices, for edgewright_fleet.rollouts (its port RolloutStore)."""

from collections import defaultdict
from collections.abc import Sequence

from edgewright_manifests import documents
from edgewright_manifests.messages import Event
from sqlalchemy import Connection, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from edgewright_fleet.errors import ConflictError, UnknownName
from edgewright_fleet.rollouts.model import (
    Assigned,
    Member,
    Restore,
    Rollout,
    RolloutDevice,
    RolloutState,
)
from edgewright_fleet.store.assignments import AssignmentRecord, Assignments
from edgewright_fleet.store.database import Database
from edgewright_fleet.store.devices import Devices
from edgewright_fleet.store.groups import Groups
from edgewright_fleet.store.releases import Releases
from edgewright_fleet.store.schema import events, rollout_devices, rollouts
from edgewright_fleet.store.selection import choose_variant

_UNFINISHED = [s.value for s in (RolloutState.PLANNED, RolloutState.RUNNING, RolloutState.PAUSED)]
_RESTORING = [Restore.WANTED.value, Restore.ASSIGNED.value]


class Rollouts:
    """The tables of rollouts and of the devices in them."""

    def __init__(
        self,
        database: Database,
        devices: Devices,
        groups: Groups,
        releases: Releases,
        assignments: Assignments,
    ) -> None:
        self._database = database
        self._devices = devices
        self._groups = groups
        self._releases = releases
        self._assignments = assignments

    def rollout(self, rollout_id: str) -> Rollout:
        """The rollout. Raises UnknownName."""
        with self._database.reading() as connection:
            row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).first()
        if row is None:
            raise UnknownName(
                f"there is no rollout {rollout_id!r}; see `edgewright fleet rollout status`"
            )
        return _decode(row.document)

    def rollouts(self) -> Sequence[Rollout]:
        """All of them, newest first."""
        query = select(rollouts.c.document).order_by(rollouts.c.created.desc(), rollouts.c.id)
        with self._database.reading() as connection:
            return [_decode(document) for document in connection.execute(query).scalars()]

    def active(self) -> Sequence[Rollout]:
        """Those that the driver must look at: unfinished, or with a device to be restored."""
        restoring = exists().where(
            rollout_devices.c.rollout == rollouts.c.id,
            rollout_devices.c.restore.in_(_RESTORING),
        )
        query = (
            select(rollouts.c.document)
            .where(or_(rollouts.c.state.in_(_UNFINISHED), restoring))
            .order_by(rollouts.c.created)
        )
        with self._database.reading() as connection:
            return [_decode(document) for document in connection.execute(query).scalars()]

    def devices(self, rollout_id: str) -> Sequence[RolloutDevice]:
        """The rollout's devices by position."""
        query = (
            select(rollout_devices.c.document)
            .where(rollout_devices.c.rollout == rollout_id)
            .order_by(rollout_devices.c.position, rollout_devices.c.device)
        )
        with self._database.reading() as connection:
            return [
                documents.decode(document, RolloutDevice, source="rollout_devices.document")
                for document in connection.execute(query).scalars()
            ]

    def members(self, rollout: Rollout) -> Sequence[Member]:
        """Every device that is in the rollout's group now, or was taken into the rollout.

        Raises UnknownName when there is no such group or release.
        """
        release = self._releases.get(rollout.model, rollout.version)
        in_group = set(self._groups.members(rollout.group))
        in_rollout = {d.device: d.assignment for d in self.devices(rollout.id)}
        assigned = self._assignments.all_current()
        history = self._events_of(in_rollout)
        members = []
        for device in self._devices.all():
            if device.id not in in_group and device.id not in in_rollout:
                continue
            ineligible = None
            if device.revoked:
                ineligible = "the device is revoked"
            elif device.id not in in_group:
                ineligible = f"the device left the group {rollout.group}"
            else:
                choice = choose_variant(device, release)
                ineligible = choice if isinstance(choice, str) else None
            members.append(
                Member(
                    device=device.id,
                    stratum=device.profile,
                    online=device.online,
                    ineligible=ineligible,
                    assigned=_assigned(assigned.get(device.id), rollout.model),
                    report=device.report,
                    events=tuple(history.get(device.id, ())),
                )
            )
        return members

    def save(self, rollout: Rollout, devices: Sequence[RolloutDevice]) -> None:
        """Insert or replace the rollout and these of its devices, in one transaction.

        Raises ConflictError, and writes nothing, unless `rollout.revision` is one more than
        the stored one (1 for a new rollout).
        """
        try:
            with self._database.writing() as connection:
                _save_rollout(connection, rollout)
                for device in devices:
                    _save_device(connection, device)
        except IntegrityError as error:
            raise ConflictError(f"rollout {rollout.id!r} exists already") from error

    def _events_of(self, wanted: dict[str, int | None]) -> dict[str, list[Event]]:
        numbers = {device: number for device, number in wanted.items() if number is not None}
        found: defaultdict[str, list[Event]] = defaultdict(list)
        if not numbers:
            return found
        query = (
            select(events.c.device, events.c.assignment, events.c.document)
            .where(events.c.device.in_(numbers), events.c.assignment.in_(set(numbers.values())))
            .order_by(events.c.time, events.c.received)
        )
        with self._database.reading() as connection:
            for row in connection.execute(query):
                if numbers[row.device] == row.assignment:
                    found[row.device].append(
                        documents.decode(row.document, Event, source="events.document")
                    )
        return found


def _save_rollout(connection: Connection, rollout: Rollout) -> None:
    values = {
        "state": rollout.state.value,
        "revision": rollout.revision,
        "document": documents.encode(rollout),
    }
    if rollout.revision == 1:
        connection.execute(
            insert(rollouts).values(id=rollout.id, created=rollout.created_at, **values)
        )
        return
    result = connection.execute(
        update(rollouts)
        .where(rollouts.c.id == rollout.id, rollouts.c.revision == rollout.revision - 1)
        .values(**values)
    )
    if result.rowcount == 0:
        raise ConflictError(f"rollout {rollout.id!r} was changed by someone else meanwhile")


def _save_device(connection: Connection, device: RolloutDevice) -> None:
    connection.execute(
        delete(rollout_devices).where(
            rollout_devices.c.rollout == device.rollout,
            rollout_devices.c.device == device.device,
        )
    )
    connection.execute(
        insert(rollout_devices).values(
            rollout=device.rollout,
            device=device.device,
            position=device.position,
            assignment=device.assignment,
            restore=device.restore.value,
            document=documents.encode(device),
        )
    )


def _assigned(record: AssignmentRecord | None, model: str) -> Assigned | None:
    if record is None or record.model != model:
        return None
    image = record.target.custom.image if record.target else None
    return Assigned(
        number=record.number,
        version=image.version if image else None,
        variant=f"{image.target}-{image.precision}" if image else None,
        rollout=record.target.custom.rollout if record.target else None,
        key=record.key,
    )


def _decode(document: bytes) -> Rollout:
    return documents.decode(document, Rollout, source="rollouts.document")
