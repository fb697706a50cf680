"""Who this device is to the fleet: its key, its certificate, and where the fleet is."""

import datetime
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.release import Transport
from edgewright_manifests.variant import Target

from edgewright_runtime.errors import RuntimeFault

FOLDER = "identity"
KEY = "device.key"
CERTIFICATE = "device.crt"
CA = "ca.crt"
RECORD = "device.json"

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, openssl/x509_vfy.h


class NotEnrolled(RuntimeFault):
    """The state folder has no identity, or a damaged one."""


class DeviceRecord(Document, frozen=True):
    """`identity/device.json`: what enrolment gave, beside key and certificates."""

    device: str
    tenant: str
    profile: str
    hardware_id: str
    targets: tuple[Target, ...]
    """The profile's targets, in order of preference."""
    mqtt_host: str
    mqtt_port: int
    device_url: str
    director_root: str
    image_root: str
    transport: Transport


class Identity(NamedTuple):
    """A device's identity, read from its state folder."""

    folder: Path
    record: DeviceRecord
    key: ec.EllipticCurvePrivateKey
    issued: datetime.datetime
    """When the fleet's CA signed the certificate: a time that has passed for certain."""

    def tls(self, *, clock_is_behind: bool) -> ssl.SSLContext:
        """Mutual TLS with the fleet's CA as the only authority.

        With a system clock that is known to be wrong, certificates' dates are not judged:
        else a board without a battery could never reach the server that sets its clock
        right. What TLS carries is signed by itself.
        """
        context = ssl.create_default_context(cafile=str(self.folder / CA))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.folder / CERTIFICATE, self.folder / KEY)
        if clock_is_behind:
            context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        return context


def is_enrolled(state_dir: Path) -> bool:
    """Whether the state folder has an identity."""
    return (state_dir / FOLDER / RECORD).is_file()


def read_identity(state_dir: Path) -> Identity:
    """The identity in `state_dir`. Raises NotEnrolled."""
    folder = state_dir / FOLDER
    if not is_enrolled(state_dir):
        raise NotEnrolled(
            f"{state_dir}: this device is not enrolled; run `edgewright runtime enroll` with a "
            "token of the fleet's operator"
        )
    try:
        record = documents.read_json(folder / RECORD, DeviceRecord)
        key = serialization.load_pem_private_key((folder / KEY).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
    except (OSError, ValueError, DocumentError) as error:
        raise NotEnrolled(f"{folder}: is damaged ({error}); enrol this device again") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NotEnrolled(f"{folder / KEY}: is no P-256 key; enrol this device again")
    return Identity(folder, record, key, certificate.not_valid_before_utc)
