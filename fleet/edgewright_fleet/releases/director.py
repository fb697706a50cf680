"""Which variant each device gets: chosen, numbered, signed, and its doorbell rung."""

import datetime
import logging
import threading
from collections.abc import Callable

from edgewright_manifests.digest import Digest, digest_of
from edgewright_manifests.errors import ManifestError
from edgewright_manifests.messages import Desired
from edgewright_manifests.release import DirectorCustom

from edgewright_fleet.errors import UnprocessableError
from edgewright_fleet.releases.signing import Signing
from edgewright_fleet.rollouts.model import AssignmentOrder
from edgewright_fleet.store import (
    AssignedTarget,
    AssignmentRecord,
    Assignments,
    DeviceRecord,
    Devices,
    Releases,
    choose_variant,
)

log = logging.getLogger(__name__)

Announce = Callable[[DeviceRecord, Desired], None]
"""Publishes a device's `down/desired`."""


class FleetDirector:
    """Fills the rollouts' port Director. Calls block (SQL, signing, fsync).

    The order is written down first, then signed, then announced; `finish` completes what a
    crash cut short between these.
    """

    def __init__(
        self,
        devices: Devices,
        releases: Releases,
        assignments: Assignments,
        signing: Signing,
        clock: Callable[[], datetime.datetime],
        announce: Announce,
    ) -> None:
        self._devices = devices
        self._releases = releases
        self._assignments = assignments
        self._signing = signing
        self._clock = clock
        self._announce = announce
        self._lock = threading.Lock()
        """What is written down last must be signed last."""

    def assign(self, order: AssignmentOrder) -> int:
        """Assign, or assign again, what the order asks for; the assignment's number.

        Raises UnknownName for a device or release that is not there, UnprocessableError for
        a device that is revoked or can run no variant of the release.
        """
        with self._lock:
            return self._assign(self._devices.get(order.device), order)

    def _assign(self, device: DeviceRecord, order: AssignmentOrder) -> int:
        known = self._assignments.by_key(order.key)
        while known is None:
            record = self._record(device, order)
            added = self._assignments.add(record)
            known = record if added else self._assignments.by_key(order.key)
        current = self._assignments.current(device.id)
        if current is not None and current.number == known.number:
            self._sign_and_announce(device, known)
        return known.number

    def desired(self, device: DeviceRecord) -> Desired:
        """What the device's doorbell says now."""
        current = self._assignments.current(device.id)
        timestamp = self._signing.read("director", "timestamp.json", device.id)
        return Desired(
            generation=current.number if current else 0, director_timestamp=digest_of(timestamp)
        )

    def welcome(self, device: DeviceRecord) -> None:
        """Ring the doorbell of a device that has just enrolled."""
        self._announce(device, self.desired(device))

    def announce_all(self) -> None:
        """Ring every doorbell: after a start, and when the broker comes back."""
        for device in self._devices.all():
            if not device.revoked:
                self._announce(device, self.desired(device))

    def finish(self) -> None:
        """Sign what was written down but not signed when the server ended."""
        with self._lock:
            for device_id, record in self._assignments.all_current().items():
                device = self._devices.get(device_id)
                if not record.director_timestamp and not device.revoked:
                    log.info("assignment completed device=%s number=%d", device_id, record.number)
                    self._sign_and_announce(device, record)

    def refresh(self) -> None:
        """Sign again what is about to expire, and tell the devices that it concerns."""
        for device_id in self._signing.refresh():
            device = self._devices.find(device_id)
            if device is not None and not device.revoked:
                self._announce(device, self.desired(device))

    def _record(self, device: DeviceRecord, order: AssignmentOrder) -> AssignmentRecord:
        if device.revoked:
            raise UnprocessableError(f"device {device.id!r} is revoked")
        number = self._assignments.next_number(device.id)
        return AssignmentRecord(
            device=device.id,
            number=number,
            key=order.key,
            model=order.model,
            target=self._target(device, order, number),
            created=self._clock(),
        )

    def _target(
        self, device: DeviceRecord, order: AssignmentOrder, number: int
    ) -> AssignedTarget | None:
        if order.version is None:
            return None
        release = self._releases.get(order.model, order.version)
        chosen = choose_variant(device, release, order.variant)
        if isinstance(chosen, str):
            raise UnprocessableError(f"device {device.id!r}: {chosen}")
        return AssignedTarget(
            path=chosen.target_path,
            manifest=chosen.manifest,
            manifest_size_bytes=chosen.manifest_size_bytes,
            custom=DirectorCustom(
                image=chosen.image,
                device=device.id,
                hardware_id=device.hardware_id,
                assignment=number,
                rollout=order.rollout,
                rollback=order.rollback,
                transport=order.transport,
                probation=order.probation,
            ),
        )

    def _sign_and_announce(self, device: DeviceRecord, record: AssignmentRecord) -> None:
        timestamp: Digest = record.director_timestamp
        if not timestamp:
            try:
                timestamp = self._signing.sign(device.id, record.target)
            except ManifestError as error:
                raise UnprocessableError(f"device {device.id!r}: {error}") from error
            self._assignments.set_signed(device.id, record.number, timestamp)
        self._announce(device, self.desired(device))
