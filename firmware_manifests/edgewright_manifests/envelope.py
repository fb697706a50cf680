"""Signed messages of devices: DSSE envelopes (PAE) with ECDSA P-256 and SHA-256.

The format is https://github.com/secure-systems-lab/dsse, protocol and JSON envelope
of version 1. The type of the payload is signed with it, so that an event can never be
taken for a version report.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest, digest_of
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError, TrustError

VERSION_REPORT = "application/vnd.edgewright.version-report.v1+json"
EVENT = "application/vnd.edgewright.event.v1+json"
MAX_ENVELOPE_BYTES = 128 * 1024
"""As much as one MQTT packet of ours may carry."""

_SIGNING = ec.ECDSA(hashes.SHA256())


class Signature(Document, frozen=True):
    """One signature over the envelope's pre-authentication encoding; `sig` is base64 of DER."""

    keyid: str
    sig: str


class Envelope(Document, frozen=True, rename="camel"):
    """The JSON envelope; `payload` is base64 of the signed document's bytes."""

    payload: str
    payload_type: str
    signatures: Annotated[tuple[Signature, ...], msgspec.Meta(min_length=1, max_length=1)]


def key_id(public_key: ec.EllipticCurvePublicKey) -> Digest:
    """The name under which a key signs: the digest of its SubjectPublicKeyInfo (DER)."""
    return digest_of(
        public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def seal(
    payload: bytes, payload_type: str, private_key: ec.EllipticCurvePrivateKey, key_id: str
) -> bytes:
    """Sign `payload` as `payload_type` and give the envelope's JSON.

    `private_key` is on the curve P-256. Raises TrustError when the envelope would be
    larger than MAX_ENVELOPE_BYTES.
    """
    _check_curve(private_key.curve, "signing key")
    signature = private_key.sign(_pae(payload_type, payload), _SIGNING)
    data = documents.encode(
        Envelope(
            payload=base64.b64encode(payload).decode(),
            payload_type=payload_type,
            signatures=(Signature(keyid=key_id, sig=base64.b64encode(signature).decode()),),
        )
    )
    if len(data) > MAX_ENVELOPE_BYTES:
        raise TrustError(
            f"envelope of {payload_type}: {len(data)} bytes, at most {MAX_ENVELOPE_BYTES} allowed"
        )
    return data


def open_envelope(data: bytes, payload_type: str, public_key: ec.EllipticCurvePublicKey) -> bytes:
    """The payload, once its type and the signature by `public_key` (P-256) hold.

    Raises TrustError for anything else; the payload must then not be looked at.
    """
    place = f"envelope of {payload_type}"
    _check_curve(public_key.curve, place)
    if len(data) > MAX_ENVELOPE_BYTES:
        raise TrustError(f"{place}: {len(data)} bytes, at most {MAX_ENVELOPE_BYTES} allowed")
    try:
        envelope = documents.decode(data, Envelope, source=place)
    except DocumentError as error:
        raise TrustError(str(error)) from error
    if envelope.payload_type != payload_type:
        raise TrustError(f"{place}: it says that it is {envelope.payload_type!r}")
    payload = _decode64(envelope.payload, f"{place}: payload")
    signature = _decode64(envelope.signatures[0].sig, f"{place}: signature")
    try:
        public_key.verify(signature, _pae(payload_type, payload), _SIGNING)
    except InvalidSignature:
        raise TrustError(
            f"{place}: the signature does not verify with the key {key_id(public_key)}; "
            f"it claims to be by {envelope.signatures[0].keyid!r}"
        ) from None
    return payload


def _pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE protocol.md: `DSSEv1 LEN(type) type LEN(body) body`."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _decode64(text: str, place: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrustError(f"{place} is no base64 ({error})") from error
    if base64.b64encode(data).decode() != text:
        # Unused bits of the last digit may differ; then one message has several spellings.
        raise TrustError(f"{place} is no canonical base64")
    return data


def _check_curve(curve: ec.EllipticCurve, place: str) -> None:
    if not isinstance(curve, ec.SECP256R1):
        raise TrustError(f"{place}: the key is on the curve {curve.name}, expected P-256")
