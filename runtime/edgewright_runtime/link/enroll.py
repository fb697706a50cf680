"""Joins a fleet: makes a key that never leaves the device, and has the fleet sign it.

The token pins the fleet's CA by digest. The CA certificate is fetched over a connection
that proves nothing, held against the digest, and only then is the secret sent, over a
connection that this CA must vouch for.
"""

import base64
import binascii
import http.client
import shutil
import ssl
import urllib.parse
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edgewright_manifests import documents
from edgewright_manifests.device_profile import load_profile
from edgewright_manifests.digest import digest_of
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import EnrolmentReply, EnrolmentRequest, EnrolmentToken
from edgewright_manifests.topics import check_name

from edgewright_runtime.errors import RuntimeFault, one_line
from edgewright_runtime.link.identity import (
    CA,
    CERTIFICATE,
    FOLDER,
    KEY,
    RECORD,
    DeviceRecord,
    is_enrolled,
)

PREFIX = "ew1."
TIMEOUT_S = 30.0
MAX_REPLY_BYTES = 1024 * 1024
NEW = ".identity.new"
"""Where the identity grows; the key in it is used again when an answer got lost."""


class EnrolmentFailed(RuntimeFault):
    """The device did not join; the state folder is as before."""


def enroll(token: str, state_dir: Path, device: str, profile: str) -> None:
    """Join the fleet that `token` names as `device`, with a shipped profile or one's own TOML.

    Writes `state_dir/identity` whole or not at all. Raises EnrolmentFailed; DocumentError
    for a bad token, name or profile.
    """
    check_name("device", device)
    wanted = load_profile(profile)
    parsed = parse_token(token)
    if is_enrolled(state_dir):
        raise EnrolmentFailed(
            f"{state_dir}: this device is enrolled already; use another state folder to join "
            "another fleet"
        )
    new = state_dir / NEW
    new.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = _device_key(new / KEY)
    ca = _pinned_ca(parsed)
    request = EnrolmentRequest(
        secret=parsed.secret,
        csr=_signing_request(key, device),
        device=device,
        profile=wanted.name,
        hardware_id=wanted.hardware_id,
    )
    reply = _ask_for_certificate(parsed, ca, request)
    _check_reply(reply, parsed, device, key)
    record = DeviceRecord(
        device=device,
        tenant=reply.tenant,
        profile=wanted.name,
        hardware_id=wanted.hardware_id,
        targets=wanted.targets,
        mqtt_host=reply.mqtt_host,
        mqtt_port=reply.mqtt_port,
        device_url=reply.device_url,
        director_root=reply.director_root,
        image_root=reply.image_root,
        transport=reply.transport,
    )
    documents.write_atomically(new / CERTIFICATE, reply.certificate.encode())
    documents.write_atomically(new / CA, reply.ca.encode())
    documents.write_atomically(new / RECORD, documents.encode(record))
    place = state_dir / FOLDER
    # Without a record it was no identity; and what another fleet numbered or signed is void.
    for leftover in (place, state_dir / "tuf"):
        shutil.rmtree(leftover, ignore_errors=True)
    for name in ("update.json", "outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"):
        (state_dir / name).unlink(missing_ok=True)
    new.rename(place)
    documents.sync_folder(state_dir)


def parse_token(token: str) -> EnrolmentToken:
    """What a token says. Raises DocumentError."""
    body = token.strip().removeprefix(PREFIX)
    remedy = "copy the whole token that `edgewright fleet token create` printed"
    if not token.strip().startswith(PREFIX):
        raise DocumentError("token", f"does not start with {PREFIX}", remedy)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        parsed = documents.decode(data, EnrolmentToken, source="token")
    except (binascii.Error, ValueError, DocumentError) as error:
        raise DocumentError("token", "is damaged", remedy) from error
    if urllib.parse.urlsplit(parsed.url).scheme != "https":
        raise DocumentError("token", f"names {parsed.url!r}, which is no https address", remedy)
    return parsed


def _device_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key of an attempt whose answer got lost, or a new one."""
    if path.is_file():
        try:
            known = serialization.load_pem_private_key(path.read_bytes(), None)
        except ValueError:
            known = None
        if isinstance(known, ec.EllipticCurvePrivateKey):
            return known
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    documents.write_atomically(path, pem, mode=0o600)
    return key


def _signing_request(key: ec.EllipticCurvePrivateKey, device: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _pinned_ca(token: EnrolmentToken) -> str:
    """The fleet's CA certificate (PEM), whose digest is the token's."""
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE  # what comes is held against the token's digest
    status, body = _exchange(token.url, "GET", "/enrol/v1/ca", None, blind)
    if status != 200:
        raise EnrolmentFailed(f"{token.url}: gives no CA certificate (status {status})")
    try:
        certificate = x509.load_pem_x509_certificate(body)
    except ValueError as error:
        raise EnrolmentFailed(f"{token.url}: its CA certificate cannot be read") from error
    found = digest_of(certificate.public_bytes(serialization.Encoding.DER))
    if found != token.ca:
        raise EnrolmentFailed(
            f"{token.url}: its CA certificate is {found}, the token expects {token.ca}; somebody "
            "else answers there, or the token is of another fleet. Nothing was sent"
        )
    return body.decode()


def _ask_for_certificate(
    token: EnrolmentToken, ca: str, request: EnrolmentRequest
) -> EnrolmentReply:
    context = ssl.create_default_context(cadata=ca)
    status, body = _exchange(token.url, "POST", "/enrol/v1", documents.encode(request), context)
    if status in (200, 201):
        return documents.decode(body, EnrolmentReply, source=f"{token.url}/enrol/v1")
    raise EnrolmentFailed(f"{token.url}: {_complaint(body)} (status {status})")


def _check_reply(
    reply: EnrolmentReply, token: EnrolmentToken, device: str, key: ec.EllipticCurvePrivateKey
) -> None:
    check_name("tenant", reply.tenant)
    try:
        certificate = x509.load_pem_x509_certificate(reply.certificate.encode())
        ca = x509.load_pem_x509_certificate(reply.ca.encode())
    except ValueError as error:
        raise EnrolmentFailed(f"{token.url}: its certificates cannot be read") from error
    names = [n.value for n in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if certificate.public_key() != key.public_key() or names != [device]:
        raise EnrolmentFailed(f"{token.url}: the certificate is not for {device} and its key")
    if digest_of(ca.public_bytes(serialization.Encoding.DER)) != token.ca:
        raise EnrolmentFailed(f"{token.url}: answers with another CA than the token's")


def _exchange(
    url: str, method: str, path: str, body: bytes | None, context: ssl.SSLContext
) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port or 443, timeout=TIMEOUT_S, context=context
    )
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, parts.path.rstrip("/") + path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(MAX_REPLY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise EnrolmentFailed(
            f"{url}: cannot be reached ({one_line(error)}); check address, network and clock"
        ) from error
    finally:
        connection.close()


def _complaint(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, str])["error"])
    except (msgspec.DecodeError, KeyError):
        return " ".join(body[:200].decode(errors="replace").split()) or "refused"
