"""Putting a device out, at once and everywhere."""

import datetime
from collections.abc import Callable, Iterable
from typing import Protocol

from edgewright_fleet.ca import CertificateAuthority
from edgewright_fleet.store import DeviceRecord, Devices


class Gate(Protocol):
    """Who lets devices in over MQTT: the embedded broker, or an external one's operator."""

    def write_access_list(self, revoked: Iterable[str]) -> None:
        """Deny these devices every topic."""

    def reload(self) -> None:
        """Take up the new lists without dropping anybody else."""


class Revocation:
    """The HTTPS door asks the store at every request; the broker needs list files.

    A revocation list refuses new connections only, and an ACL denial also stops the live
    one: both are written.
    """

    def __init__(
        self,
        devices: Devices,
        authority: CertificateAuthority,
        gate: Gate,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._devices = devices
        self._authority = authority
        self._gate = gate
        self._clock = clock

    def revoke(self, device: str) -> DeviceRecord:
        """Refuse the device from now on. Raises UnknownName, ConflictError."""
        self._devices.revoke(device, self._clock())
        self.publish()
        self._gate.reload()
        return self._devices.get(device)

    def publish(self) -> None:
        """Write revocation list and access list from what the store says."""
        revoked = [(d.id, d.serial, d.revoked) for d in self._devices.all() if d.revoked]
        self._authority.write_crl((serial, time) for _, serial, time in revoked)
        self._gate.write_access_list(device for device, _, _ in revoked)
