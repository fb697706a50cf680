"""Tokens, and the one request by which a device joins: its key never leaves it."""

import base64
import datetime
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from edgewright_manifests import documents
from edgewright_manifests.messages import EnrolmentReply, EnrolmentRequest, EnrolmentToken
from edgewright_manifests.topics import check_name

from edgewright_fleet.ca import CertificateAuthority
from edgewright_fleet.errors import ConflictError, ForbiddenError, UnprocessableError
from edgewright_fleet.store import DeviceRecord, Devices, Tokens

TOKEN_PREFIX = "ew1."  # noqa: S105 - the visible version mark of a token, no secret
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Addresses:
    """Where devices find the doors, as they are to be told."""

    operator_url: str
    device_url: str
    mqtt_host: str
    mqtt_port: int


class RootsAndDirector(Protocol):
    """What enrolment needs of the signing side."""

    def roots(self) -> tuple[str, str]:
        """The first trusted roots: of the director, of the image repository."""

    def introduce(self, device: str) -> None:
        """Sign empty director metadata for a new device, so that it has something to check."""


class Enrolment:
    """Makes tokens and takes devices in. Every call blocks (SQL, fsync)."""

    def __init__(
        self,
        tenant: str,
        devices: Devices,
        tokens: Tokens,
        authority: CertificateAuthority,
        signing: RootsAndDirector,
        clock: Callable[[], datetime.datetime],
        addresses: Addresses,
        welcome: Callable[[DeviceRecord], None],
    ) -> None:
        self._tenant = tenant
        self._devices = devices
        self._tokens = tokens
        self._authority = authority
        self._signing = signing
        self._clock = clock
        self._addresses = addresses
        self._welcome = welcome

    def create_token(self, *, uses: int, ttl_s: float, user: str) -> str:
        """A token that enrols `uses` devices within `ttl_s`. Shown once: only a hash is kept."""
        if uses < 1 or ttl_s <= 0:
            raise UnprocessableError("a token needs at least one use and some time to live")
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        now = self._clock()
        self._tokens.add(
            secret,
            expires=now + datetime.timedelta(seconds=ttl_s),
            uses=uses,
            now=now,
            created_by=user,
        )
        token = EnrolmentToken(
            url=self._addresses.operator_url, ca=self._authority.fingerprint, secret=secret
        )
        text = base64.urlsafe_b64encode(documents.encode(token)).decode().rstrip("=")
        return TOKEN_PREFIX + text

    def check_secret(self, secret: str) -> None:
        """Raises ForbiddenError for a secret that was never issued."""
        if not self._tokens.is_known(secret):
            raise _bad_token()

    def check_name(self, device: str) -> None:
        """Raises DocumentError for a name that no device can have."""
        check_name("device", device)

    @property
    def authority_certificate(self) -> str:
        """The fleet CA's certificate (PEM), which tokens pin by digest."""
        return self._authority.certificate_pem

    def enrol(self, request: EnrolmentRequest) -> EnrolmentReply:
        """Issue a certificate for the device's own key and remember the device.

        A device whose answer got lost may ask again with the same key and token, and gets
        the same certificate. Raises ForbiddenError for a wrong, expired or used token,
        DocumentError for a bad name, UnprocessableError for a bad request, ConflictError
        for a name that is taken.
        """
        if not self._tokens.take(request.secret, now=self._clock()):
            known = self._devices.find(request.device)
            if known and _same_key(known, request.csr) and self._tokens.is_known(request.secret):
                return self._reply(known)
            raise _bad_token()
        enrolled = False
        try:
            reply = self._reply(self._take_in(request))
            enrolled = True
        finally:
            if not enrolled:
                self._tokens.give_back(request.secret)
        return reply

    def _take_in(self, request: EnrolmentRequest) -> DeviceRecord:
        self.check_name(request.device)
        if not request.profile or len(request.profile) > 255 or len(request.hardware_id) > 255:
            raise UnprocessableError("profile, hardware_id: expected 1 to 255 characters")
        known = self._devices.find(request.device)
        if known is not None:
            if known.revoked or not _same_key(known, request.csr):
                state = "was revoked" if known.revoked else "is enrolled already"
                raise ConflictError(f"device {request.device!r} {state}; take another name")
            return known
        certificate = self._authority.issue_device(request.csr, request.device)
        device = DeviceRecord(
            id=request.device,
            tenant=self._tenant,
            profile=request.profile,
            hardware_id=request.hardware_id,
            certificate=certificate.pem,
            fingerprint=certificate.fingerprint,
            serial=certificate.serial,
            enrolled=self._clock(),
        )
        self._signing.introduce(device.id)
        self._devices.add(device)
        self._welcome(device)
        return device

    def _reply(self, device: DeviceRecord) -> EnrolmentReply:
        director_root, image_root = self._signing.roots()
        return EnrolmentReply(
            tenant=self._tenant,
            device=device.id,
            certificate=device.certificate,
            ca=self._authority.certificate_pem,
            mqtt_host=self._addresses.mqtt_host,
            mqtt_port=self._addresses.mqtt_port,
            device_url=self._addresses.device_url,
            director_root=director_root,
            image_root=image_root,
        )


def _bad_token() -> ForbiddenError:
    return ForbiddenError(
        "the enrolment token is wrong, expired or used up; "
        "ask the fleet's operator for a new one (edgewright fleet token create)"
    )


def _same_key(device: DeviceRecord, csr_pem: str) -> bool:
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
    except ValueError:
        return False
    certificate = x509.load_pem_x509_certificate(device.certificate.encode())
    return request.is_signature_valid and request.public_key() == certificate.public_key()
