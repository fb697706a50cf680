"""What a device says is believed when its enrolled key signed it, it is about itself, and new."""

import datetime
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from edgewright_manifests import documents
from edgewright_manifests.envelope import EVENT, VERSION_REPORT, open_envelope
from edgewright_manifests.errors import ManifestError, TrustError
from edgewright_manifests.messages import Event, Telemetry, VersionReport
from edgewright_manifests.topics import parse_upward

from edgewright_fleet.store import Devices, Events

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to know what came in. Called in a worker thread."""

    def reported(self, report: VersionReport) -> None:
        """A report that is new."""

    def happened(self, event: Event) -> None:
        """An event, once each."""

    def online(self, device: str, online: bool) -> None:
        """A device came or went."""

    def measured(self, device: str) -> None:
        """Fresh telemetry of a device."""


class Intake:
    """Turns messages of devices into rows of the store. Calls block (SQL)."""

    def __init__(
        self,
        tenant: str,
        devices: Devices,
        events: Events,
        clock: Callable[[], datetime.datetime],
        listener: Listener,
    ) -> None:
        self._tenant = tenant
        self._devices = devices
        self._events = events
        self._clock = clock
        self._listener = listener
        self.telemetry: dict[str, Telemetry] = {}
        """The last word of each device, in memory only: it may be lost."""

    def accept(self, topic: str, payload: bytes) -> bool:
        """Take one message in; False (and a log line) when it was not to be believed."""
        try:
            return self._accept(topic, payload)
        except ManifestError as error:
            log.warning("message refused topic=%s reason=%s", topic, error)
            return False

    def _accept(self, topic: str, payload: bytes) -> bool:
        where = parse_upward(topic)
        device = self._devices.find(where.device)
        if device is None or device.revoked or where.tenant != self._tenant:
            raise TrustError("the device is not enrolled, or revoked")
        if where.channel == "online":
            online = payload == b"1"
            self._devices.set_online(device.id, online, self._clock())
            self._listener.online(device.id, online)
            return True
        if where.channel == "telemetry":
            self.telemetry[device.id] = documents.decode(payload, Telemetry, source=topic)
            self._listener.measured(device.id)
            return True
        if where.channel == "reported":
            body = open_envelope(payload, VERSION_REPORT, _public_key(device.certificate))
            return self._keep_report(device.id, documents.decode(body, VersionReport, source=topic))
        if where.channel == "event":
            body = open_envelope(payload, EVENT, _public_key(device.certificate))
            return self._keep_event(device.id, documents.decode(body, Event, source=topic))
        raise TrustError(f"there is no channel {where.channel!r}")

    def _keep_report(self, device: str, report: VersionReport) -> bool:
        if report.device != device:
            raise TrustError(f"the report is about {report.device!r}")
        if not self._devices.store_report(report, self._clock()):
            log.info(
                "report dropped, its sequence does not rise device=%s sequence=%d",
                device,
                report.sequence,
            )
            return False
        self._listener.reported(report)
        return True

    def _keep_event(self, device: str, event: Event) -> bool:
        if event.device != device:
            raise TrustError(f"the event is about {event.device!r}")
        if not self._events.add(event, self._clock()):
            return False
        self._listener.happened(event)
        return True


@lru_cache(maxsize=4096)
def _public_key(certificate_pem: str) -> ec.EllipticCurvePublicKey:
    key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TrustError("the enrolled certificate has no P-256 key")
    return key
