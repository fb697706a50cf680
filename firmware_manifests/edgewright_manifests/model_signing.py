"""OpenSSF Model Signing v1: a signature over a bundle that others' tools verify too.

Format: https://github.com/ossf/model-signing-spec (an in-toto statement of all digests, in a
DSSE envelope, in a sigstore bundle v0.3), signed with an elliptic-curve key. It lies beside
the bundle, not in it, so that digests stay what they are. It covers the blobs, which
hold everything: `index.json` and `oci-layout` are written anew by tools that copy bundles.
"""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from edgewright_manifests import documents
from edgewright_manifests.bundle import Bundle
from edgewright_manifests.errors import TrustError

_PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
_BUNDLE_TYPE: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = (
    "application/vnd.dev.sigstore.bundle.v0.3+json"
)
_STATEMENT: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
_PREDICATE: Literal["https://model_signing/signature/v1.0"] = "https://model_signing/signature/v1.0"
_LAYOUT = ("index.json", "oci-layout")
_BLOBS = "blobs/sha256/"
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_MAX_SIGNATURE_BYTES = 4 * 1024 * 1024
"""A statement has 180 bytes per blob."""


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    """Unknown fields are let be: the format may grow."""


class _KeyHint(_Camel, frozen=True):
    hint: str


class _Material(_Camel, frozen=True):
    public_key: _KeyHint
    tlog_entries: tuple[msgspec.Raw, ...] = ()


class _Signed(_Camel, frozen=True):
    sig: str
    keyid: str = ""


class _Envelope(_Camel, frozen=True):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: tuple[_Signed, ...]


class _SigstoreBundle(_Camel, frozen=True):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


class _Subject(_Camel, frozen=True):
    name: str
    digest: dict[str, str]


class _Serialization(msgspec.Struct, frozen=True):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] = ()


class _Resource(msgspec.Struct, frozen=True):
    name: str
    algorithm: Literal["sha256"]
    digest: str


class _Predicate(msgspec.Struct, frozen=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Statement(msgspec.Struct, frozen=True, rename="camel"):
    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: Literal["https://model_signing/signature/v1.0"]
    predicate: _Predicate


def sign_bundle(bundle: Bundle, key: Path) -> bytes:
    """The signature of a bundle, after every byte of it was verified.

    `key` is an unencrypted PEM private key on P-256, P-384 or P-521. Raises TrustError for
    another key, BundleError for a damaged bundle.
    """
    private = _private_key(key)
    bundle.verify()
    resources = tuple(
        _Resource(_BLOBS + hexadecimal, "sha256", hexadecimal)
        for hexadecimal in sorted(digest.removeprefix("sha256:") for digest in bundle.blobs)
    )
    statement = _Statement(
        type=_STATEMENT,
        subject=(_Subject(f"{bundle.name}-{bundle.version}", {"sha256": _root(resources)}),),
        predicate_type=_PREDICATE,
        predicate=_Predicate(_Serialization("files", "sha256", False, _LAYOUT), resources),
    )
    payload = documents.encode(statement)
    public = private.public_key()
    signature = private.sign(_framed(payload), ec.ECDSA(_HASHES[public.curve.name]))
    return documents.encode(
        _SigstoreBundle(
            _BUNDLE_TYPE,
            _Material(_KeyHint(_hint(public))),
            _Envelope(
                base64.b64encode(payload).decode(),
                _PAYLOAD_TYPE,
                (_Signed(base64.b64encode(signature).decode()),),
            ),
        )
    )


def verify_signature(bundle: Bundle, signature: Path, key: Path) -> str:
    """The name that was signed, when `signature` by `key` covers exactly this bundle.

    Raises TrustError when it does not, BundleError for a damaged bundle, and DocumentError for
    a file that cannot be read or is no signature.
    """
    public = _public_key(key)
    data = documents.read_bytes(signature)
    if len(data) > _MAX_SIGNATURE_BYTES:
        raise TrustError(f"{signature}: is too large for a signature ({len(data)} bytes)")
    found = documents.decode(data, _SigstoreBundle, source=str(signature))
    if found.verification_material.public_key.hint != _hint(public):
        raise TrustError(f"{signature}: was made with another key than {key}; give that one's")
    envelope = found.dsse_envelope
    try:
        (signed,) = envelope.signatures
        payload = base64.b64decode(envelope.payload, validate=True)
        public.verify(
            base64.b64decode(signed.sig, validate=True),
            _framed(payload),
            ec.ECDSA(_HASHES[public.curve.name]),
        )
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise TrustError(
            f"{signature}: the signature does not hold; get it again from who signed"
        ) from error
    statement = documents.decode(payload, _Statement, source=f"{signature}: statement")
    _check_coverage(bundle, statement, signature)
    bundle.verify()
    return statement.subject[0].name


def _check_coverage(bundle: Bundle, statement: _Statement, place: Path) -> None:
    resources = statement.predicate.resources
    roots = [subject.digest.get("sha256") for subject in statement.subject]
    if roots != [_root(resources)]:
        raise TrustError(f"{place}: its statement contradicts itself; have the bundle signed again")
    signed = {item.name: item.digest for item in resources if item.name not in _LAYOUT}
    wanted = {_BLOBS + digest.removeprefix("sha256:"): digest[7:] for digest in bundle.blobs}
    if signed != wanted or len({item.name for item in resources}) < len(resources):
        missing = sorted(wanted.items() - signed.items()) or sorted(signed.items() - wanted.items())
        raise TrustError(
            f"{place}: is for another bundle than {bundle.path} "
            f"({missing[0][0] if missing else 'a blob'} is not in both)"
        )


def _root(resources: tuple[_Resource, ...]) -> str:
    told = hashlib.sha256()
    for resource in resources:
        try:
            told.update(bytes.fromhex(resource.digest))
        except ValueError:
            return ""
    return told.hexdigest()


def _framed(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding (dsse v1.0.0, protocol.md)."""
    kind = _PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _hint(public: ec.EllipticCurvePublicKey) -> str:
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(documents.read_bytes(path), password=None)
    except TypeError as error:
        raise TrustError(f"{path}: is encrypted; decrypt it (openssl ec -in ...)") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrustError(f"{path}: is no private key; {_MAKE}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise TrustError(f"{path}: is no key on P-256, P-384 or P-521; {_MAKE}")
    return key


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(documents.read_bytes(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrustError(
            f"{path}: is no public key; openssl ec -in KEY -pubout makes it"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise TrustError(f"{path}: is no key on P-256, P-384 or P-521")
    return key


_MAKE = "make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
