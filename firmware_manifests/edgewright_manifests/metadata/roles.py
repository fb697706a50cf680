"""Loading, verifying and signing TUF metadata; python-tuf does it, errors become ours."""

import datetime
from collections.abc import Callable, Iterable
from typing import TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edgewright_manifests.errors import TrustError

RoleT = TypeVar("RoleT", Root, Targets, Snapshot, Timestamp)

Clock = Callable[[], datetime.datetime]

ROOT_DAYS = 730
TARGETS_DAYS = 180
DIRECTOR_TARGETS_DAYS = 30
ONLINE_DAYS = 7
MAX_ROOT_BYTES = 128 * 1024
MAX_TARGETS_BYTES = 4 * 1024 * 1024
"""As much as a device accepts."""

_COMPACT = JSONSerializer(compact=True)


def load(data: bytes, kind: type[RoleT], source: str) -> Metadata[RoleT]:
    """Parse metadata of one role, without any verification. Raises TrustError."""
    try:
        found = Metadata[RoleT].from_bytes(data)
    except DeserializationError as error:
        raise TrustError(f"{source}: is no TUF metadata") from error
    if not isinstance(found.signed, kind):
        raise TrustError(f"{source}: is of role {found.signed.type}, expected {kind.type}")
    return found


def verify(root: Root, metadata: Metadata[RoleT], source: str) -> None:
    """Hold the signatures against the keys and threshold in `root`. Raises TrustError."""
    role = metadata.signed.type
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except RepositoryError as error:
        raise TrustError(
            f"{source}: its signatures do not hold under root version {root.version} ({error}); "
            f"sign it with the {role} key"
        ) from error


def verify_next_root(current: Root, following: Metadata[Root], source: str) -> None:
    """Check that `following` may replace `current` (TUF 5.3.4, 5.3.5). Raises TrustError."""
    if following.signed.version != current.version + 1:
        raise TrustError(
            f"{source}: is root version {following.signed.version}, expected {current.version + 1}"
        )
    missing = missing_root_signatures(current, following)
    if missing:
        raise TrustError(
            f"{source}: threshold not met, {missing} more root signature(s) are needed; "
            "add them with `edgewright keys sign`"
        )


def missing_root_signatures(current: Root | None, following: Metadata[Root]) -> int:
    """How many more signatures make `following` valid after `current` (None: as the first)."""
    result = following.signed.get_root_verification_result(
        current, following.signed_bytes, following.signatures
    )
    return max(0, result.first.missing, result.second.missing)


def sign(signed: RoleT, signers: Iterable[CryptoSigner]) -> bytes:
    """The signed metadata as JSON."""
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return to_bytes(metadata)


def to_bytes(metadata: Metadata[RoleT]) -> bytes:
    """The metadata as compact JSON."""
    return metadata.to_bytes(_COMPACT)


def described(version: int, data: bytes) -> MetaFile:
    """The entry that snapshot or timestamp has for a file: version, length and SHA-256."""
    return MetaFile.from_data(version, data, ["sha256"])


def in_days(clock: Clock, days: int) -> datetime.datetime:
    """`days` from now, as TUF wants it: UTC and whole seconds."""
    moment = clock().astimezone(datetime.UTC) + datetime.timedelta(days=days)
    return moment.replace(microsecond=0)


def expires_within(signed: RoleT, now: datetime.datetime, days: float) -> bool:
    """Whether less than `days` of its life are left at `now`."""
    return signed.expires - now < datetime.timedelta(days=days)
