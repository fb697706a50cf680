"""The audit key and the signed heads of the tree (C2SP checkpoints)."""

from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from edgewright_manifests.documents import write_atomically
from edgewright_manifests.errors import TrustError
from edgewright_manifests.tree import (
    Checkpoint,
    open_checkpoint,
    parse_verifier_key,
    sign_checkpoint,
    verifier_key,
)

from edgewright_fleet.errors import AuditError

ORIGIN = "edgewright-fleet/audit"


class Head(NamedTuple):
    """A signed head: the tree's size and root (32 bytes), and the note that says so."""

    size: int
    root: bytes
    note: str


class AuditKey:
    """The private Ed25519 key that signs heads, and the log's name."""

    def __init__(self, private: Ed25519PrivateKey, origin: str = ORIGIN) -> None:
        self._private = private
        self._origin = origin
        self.public = verifier_key(origin, private.public_key())
        """The verifier key as one line (`NAME+KEYID+BASE64`), to be pinned by who verifies."""

    @classmethod
    def open(cls, path: Path, origin: str = ORIGIN) -> "AuditKey":
        """The key in the PEM file at `path`; made there (0600) when there is none.

        Raises AuditError when the file is no Ed25519 key or cannot be read.
        """
        try:
            if not path.exists():
                key = Ed25519PrivateKey.generate()
                pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                write_atomically(path, pem, mode=0o600)
                return cls(key, origin)
            loaded = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise AuditError(f"{path}: is no usable audit key: {error}") from error
        if not isinstance(loaded, Ed25519PrivateKey):
            raise AuditError(f"{path}: is no Ed25519 key; the audit log is signed with one")
        return cls(loaded, origin)

    def sign(self, size: int, root: bytes) -> Head:
        """The signed head of a tree."""
        note = sign_checkpoint(Checkpoint(self._origin, size, root), self._private)
        return Head(size, root, note.decode())


class Verifier:
    """Opens heads with a pinned public key."""

    def __init__(self, public: str) -> None:
        """`public` is AuditKey.public. Raises AuditError when it is no such line."""
        try:
            self._origin, self._key = parse_verifier_key(public)
        except TrustError as error:
            raise AuditError(f"public key: {error}") from error

    def open(self, note: bytes, source: Path | str) -> Head:
        """The head that the note signs.

        Raises AuditError, naming `source`, when it is no such note, or another key signed it.
        """
        try:
            checkpoint = open_checkpoint(note, self._key, origin=self._origin)
        except TrustError as error:
            raise AuditError(f"{source}: {error}") from error
        return Head(checkpoint.size, checkpoint.root, note.decode())
