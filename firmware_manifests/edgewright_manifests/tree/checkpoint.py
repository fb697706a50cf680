"""Signed checkpoints: what a log says its size and root are.

Formats: C2SP tlog-checkpoint and signed-note (https://c2sp.org/tlog-checkpoint,
https://c2sp.org/signed-note), signature type 0x01, Ed25519.
"""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from edgewright_manifests.errors import TrustError
from edgewright_manifests.tree.merkle import HASH_BYTES

MAX_NOTE_BYTES = 64 * 1024
_ED25519 = b"\x01"
_MARK = "\N{EM DASH} "
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(NamedTuple):
    """A log's name, how many records it has, and the root over them (32 bytes)."""

    origin: str
    size: int
    root: bytes


def verifier_key(name: str, public_key: Ed25519PublicKey) -> str:
    """The public key as signed-note's tools want it: `NAME+KEYID+BASE64`."""
    _check_name(name)
    encoded = _ED25519 + public_key.public_bytes_raw()
    return f"{name}+{_key_id(name, public_key).hex()}+{base64.b64encode(encoded).decode()}"


def parse_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Name and key from `NAME+KEYID+BASE64`. Raises TrustError."""
    broken = TrustError("log key: is no signed-note verifier key (NAME+KEYID+BASE64)")
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
        raise broken
    encoded = _decode64(parts[2], broken)
    if encoded[:1] != _ED25519 or len(encoded) != 33:
        raise broken
    key = Ed25519PublicKey.from_public_bytes(encoded[1:])
    if _key_id(parts[0], key).hex() != parts[1]:
        raise broken
    return parts[0], key


def sign_checkpoint(
    checkpoint: Checkpoint, private_key: Ed25519PrivateKey, *, name: str | None = None
) -> bytes:
    """The checkpoint as a signed note; `name` is the key's (None: the log's origin)."""
    name = checkpoint.origin if name is None else name
    _check_name(name)
    if not checkpoint.origin or "\n" in checkpoint.origin or len(checkpoint.root) != HASH_BYTES:
        raise TrustError(f"checkpoint of {checkpoint.origin!r}: needs an origin and a 32 byte root")
    root = base64.b64encode(checkpoint.root).decode()
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"
    signature = private_key.sign(text.encode())
    signed = base64.b64encode(_key_id(name, private_key.public_key()) + signature).decode()
    return f"{text}\n{_MARK}{name} {signed}\n".encode()


def open_checkpoint(
    note: bytes, public_key: Ed25519PublicKey, *, origin: str, name: str | None = None
) -> Checkpoint:
    """The checkpoint, once it is of the log `origin` and the signature by `public_key` holds.

    Signatures by other keys (witnesses) are passed over, as the format demands. Raises
    TrustError for anything else.
    """
    name = origin if name is None else name
    broken = TrustError(f"checkpoint of {origin}: is no signed note")
    if len(note) > MAX_NOTE_BYTES:
        raise broken
    try:
        text, separator, signatures = note.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise broken from None
    if not separator or not signatures.endswith("\n"):
        raise broken
    text += "\n"
    wanted = _key_id(name, public_key)
    held = False
    for line in signatures[:-1].split("\n"):
        signer, _, encoded = line.removeprefix(_MARK).partition(" ")
        if not line.startswith(_MARK) or not _NAME.fullmatch(signer):
            raise broken
        signature = _decode64(encoded, broken)
        if signer == name and signature[:4] == wanted:
            try:
                public_key.verify(signature[4:], text.encode())
            except InvalidSignature:
                raise TrustError(
                    f"checkpoint of {origin}: the signature by {name} does not verify"
                ) from None
            held = True
    if not held:
        raise TrustError(f"checkpoint of {origin}: has no signature by {name}+{wanted.hex()}")
    return _parse(text, origin, broken)


def _parse(text: str, origin: str, broken: TrustError) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or not _SIZE.fullmatch(lines[1]):
        raise broken
    if lines[0] != origin:
        raise TrustError(f"checkpoint of {origin}: is of another log, {lines[0]!r}")
    root = _decode64(lines[2], broken)
    if len(root) != HASH_BYTES:
        raise broken
    return Checkpoint(lines[0], int(lines[1]), root)


def _key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    encoded = _ED25519 + public_key.public_bytes_raw()
    return hashlib.sha256(name.encode() + b"\n" + encoded).digest()[:4]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise TrustError(f"log key name {name!r}: must be one word without '+'")


def _decode64(text: str, broken: TrustError) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise broken from None
    if base64.b64encode(data).decode() != text:
        raise broken
    return data
