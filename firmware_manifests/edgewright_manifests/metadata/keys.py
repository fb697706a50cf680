"""The key folder of a fleet: who signs what, and the first roots.

    keys/offline/root-1.pem ... targets.pem   stay with people; move them off the server
    keys/online/snapshot.pem timestamp.pem director.pem   what `fleet serve` needs
    keys/public/image.root.json director.root.json image.targets.json   and every
        older root as image.N.root.json, director.N.root.json

Both repositories' roots are signed by the offline root keys. In the image repository
targets is the offline key and snapshot and timestamp are online; in the director
repository all three are the online director key.
"""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Targets

from edgewright_manifests import documents
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import roles
from edgewright_manifests.metadata.roles import Clock

Repository = Literal["image", "director"]
REPOSITORIES: tuple[Repository, ...] = ("image", "director")
ONLINE_ROLES = ("snapshot", "timestamp", "director")
OFFLINE, ONLINE, PUBLIC = "offline", "online", "public"


def utc_now() -> datetime.datetime:
    """The system's clock."""
    return datetime.datetime.now(datetime.UTC)


class Keyring:
    """The private keys in one folder, found by key id; file names are for people."""

    def __init__(self, folder: Path) -> None:
        """Load every `*.pem` in `folder`. Raises TrustError when one is no Ed25519 key."""
        self.folder = folder
        if not folder.is_dir():
            raise TrustError(f"{folder}: no such folder; make keys with `edgewright keys init`")
        self.paths = {read_key(path).public_key.keyid: path for path in folder.glob("*.pem")}
        self._signers = {keyid: read_key(path) for keyid, path in self.paths.items()}

    def __contains__(self, keyid: str) -> bool:
        return keyid in self._signers

    def signers(self, root: Root, role: str) -> list[CryptoSigner]:
        """Those keys of `role` in `root` that are in this folder."""
        return [self._signers[i] for i in root.roles[role].keyids if i in self._signers]

    def require(self, root: Root, role: str) -> list[CryptoSigner]:
        """As signers, but enough for the threshold. Raises TrustError."""
        found = self.signers(root, role)
        threshold = root.roles[role].threshold
        if len(found) < threshold:
            raise TrustError(
                f"{self.folder}: has {len(found)} of the {threshold} keys that sign {role} under "
                f"root version {root.version}; bring the right keys"
            )
        return found


def init_keys(
    folder: Path, *, root_keys: int = 3, root_threshold: int = 2, clock: Clock = utc_now
) -> None:
    """Make all keys, both roots and an empty first `targets` of the image repository.

    Private keys are Ed25519 as PKCS 8 PEM, readable by their owner only. Raises TrustError
    when `folder` exists and is not empty, or the threshold cannot be met.
    """
    if not 1 <= root_threshold <= root_keys:
        raise TrustError(
            f"a threshold of {root_threshold} with {root_keys} root keys cannot be; "
            "choose 1 to the number of keys"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrustError(f"{folder}: exists already; its keys are not overwritten")
    offline = {f"root-{number}": new_key() for number in range(1, root_keys + 1)}
    targets = new_key()
    online = {role: new_key() for role in ONLINE_ROLES}
    for name, key in {**offline, "targets": targets}.items():
        write_key(folder / OFFLINE / f"{name}.pem", key)
    for name, key in online.items():
        write_key(folder / ONLINE / f"{name}.pem", key)
    image = _first_root(offline.values(), root_threshold, clock, consistent_snapshot=True)
    image.add_key(targets.public_key, "targets")
    image.add_key(online["snapshot"].public_key, "snapshot")
    image.add_key(online["timestamp"].public_key, "timestamp")
    director = _first_root(offline.values(), root_threshold, clock, consistent_snapshot=False)
    for role in ("targets", "snapshot", "timestamp"):
        director.add_key(online["director"].public_key, role)
    first = Targets(version=1, expires=roles.in_days(clock, roles.TARGETS_DAYS))
    write_public(folder, "image.targets.json", roles.sign(first, [targets]))
    write_root(folder, "director", roles.sign(director, offline.values()), 1)
    write_root(folder, "image", roles.sign(image, offline.values()), 1)


def read_root(folder: Path, repository: Repository) -> Metadata[Root]:
    """The newest root in a key folder's public part. Raises TrustError."""
    return read_roots(folder / PUBLIC, repository)[-1][0]


def read_roots(public: Path, repository: Repository) -> list[tuple[Metadata[Root], bytes]]:
    """Every root from version 1 on, in order, with its bytes. Raises TrustError."""
    found: list[tuple[Metadata[Root], bytes]] = []
    while (path := public / f"{repository}.{len(found) + 1}.root.json").exists():
        data = _read(path)
        root = roles.load(data, Root, str(path))
        if found:
            roles.verify_next_root(found[-1][0].signed, root, str(path))
        elif root.signed.version != 1 or roles.missing_root_signatures(None, root):
            raise TrustError(f"{path}: is no valid first root; make keys with `edgewright keys`")
        found.append((root, data))
    if not found:
        raise TrustError(
            f"{public}: has no {repository}.1.root.json; make keys with `edgewright keys init`"
        )
    return found


def write_root(folder: Path, repository: Repository, data: bytes, version: int) -> None:
    """Keep a root for ever under its version, and as the newest."""
    write_public(folder, f"{repository}.{version}.root.json", data)
    write_public(folder, f"{repository}.root.json", data)


def write_public(folder: Path, name: str, data: bytes) -> None:
    """Write one file of the public part."""
    documents.write_atomically(folder / PUBLIC / name, data)


def new_key() -> CryptoSigner:
    """A fresh Ed25519 key."""
    return CryptoSigner.generate_ed25519()


def read_key(path: Path) -> CryptoSigner:
    """A private key from its PEM file. Raises TrustError when it is no plain Ed25519 key."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError(f"{path}: is no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustError(f"{path}: is no Ed25519 key")
    return CryptoSigner(key)


def write_key(path: Path, key: CryptoSigner) -> None:
    """Write a private key that only its owner can read, in a folder that only he can list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    documents.write_atomically(path, key.private_bytes, mode=0o600)


def _first_root(
    keys: Iterable[CryptoSigner], threshold: int, clock: Clock, *, consistent_snapshot: bool
) -> Root:
    root = Root(
        version=1,
        expires=roles.in_days(clock, roles.ROOT_DAYS),
        consistent_snapshot=consistent_snapshot,
    )
    for key in keys:
        root.add_key(key.public_key, "root")
    root.roles["root"].threshold = threshold
    return root


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrustError(f"{path}: cannot be read ({error.strerror})") from error
