"""The director repository on the server: what each single device is to have, signed online."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from edgewright_manifests import documents, topics
from edgewright_manifests.custom import write_custom
from edgewright_manifests.digest import Digest, digest_of
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError, TrustError
from edgewright_manifests.metadata import roles
from edgewright_manifests.metadata.image_repository import REFRESH_DAYS
from edgewright_manifests.metadata.keys import Keyring, read_roots, utc_now
from edgewright_manifests.metadata.roles import Clock
from edgewright_manifests.release import DirectorCustom

REFRESH_TARGETS_DAYS = 10.0
"""A device's targets live 30 days; with less than this left they are signed anew."""


class DirectorMetadata(NamedTuple):
    """One device's metadata as it now stands."""

    files: dict[str, bytes]
    """`timestamp.json`, `snapshot.json`, `targets.json`."""
    timestamp_digest: Digest
    """For the doorbell (messages.Desired)."""
    version: int
    """Version of targets, snapshot and timestamp alike."""


class _Stored(Document, frozen=True):
    """One device's three files in one, so that they change together or not at all."""

    version: int
    root_version: int
    targets: str
    snapshot: str
    timestamp: str


class DirectorRepository:
    """A folder with the roots, and one file for each device's metadata.

    One process writes. Versions rise with every change and across restarts. All roots are kept.
    """

    def __init__(self, folder: Path, online: Keyring, *, clock: Clock = utc_now) -> None:
        """Open a repository that `open` has made. Raises TrustError when it does not hold."""
        self._folder = folder
        self._online = online
        self._clock = clock
        version = 1
        while (folder / f"{version + 1}.root.json").exists():
            version += 1
        path = folder / f"{version}.root.json"
        self._root: Metadata[Root] = roles.load(documents.read_bytes(path), Root, str(path))

    @classmethod
    def open(cls, folder: Path, public: Path, online: Keyring, *, clock: Clock = utc_now) -> Self:
        """Open the repository in `folder`, making it from the key folder's public part if new.

        Newer roots in `public` are taken over; refresh then signs every device's metadata
        anew where the key has changed. Raises TrustError when roots and keys do not fit together.
        """
        roots = read_roots(public, "director")
        if not (folder / "1.root.json").exists():
            documents.write_atomically(folder / "1.root.json", roots[0][1])
        repository = cls(folder, online, clock=clock)
        if documents.read_bytes(folder / "1.root.json") != roots[0][1]:
            raise TrustError(
                f"{folder}: was made with other root keys than {public}; bring the right keys"
            )
        for root, data in roots:
            if root.signed.version > repository.root_version:
                repository.accept_root(data)
        online.require(repository._root.signed, "targets")
        return repository

    @property
    def root_version(self) -> int:
        """Version of the root in force."""
        return self._root.signed.version

    def accept_root(self, data: bytes) -> None:
        """Take over the next root. Call refresh then. Raises TrustError when it does not hold."""
        following = roles.load(data, Root, "director root")
        roles.verify_next_root(self._root.signed, following, "director root")
        documents.write_atomically(self._folder / f"{following.signed.version}.root.json", data)
        self._root = following

    def devices(self) -> Iterator[str]:
        """Names of the devices that have metadata."""
        return (path.stem for path in sorted((self._folder / "devices").glob("*.json")))

    def read(self, device: str, name: str) -> bytes | None:
        """The bytes under a name that this device's TUF client asks for; None: there are none."""
        head, _, tail = name.partition(".")
        if name == "root.json":
            return (self._folder / f"{self.root_version}.root.json").read_bytes()
        if tail == "root.json" and head.isascii() and head.isdigit():
            path = self._folder / f"{int(head)}.root.json"
            return path.read_bytes() if path.exists() else None
        stored = self._load(device)
        if stored is None:
            return None
        return _files(stored).get(name)

    def current(self, device: str) -> DirectorMetadata | None:
        """A device's metadata as it stands; None before its first assignment."""
        stored = self._load(device)
        return None if stored is None else _described(stored)

    def assign(
        self, device: str, targets: Mapping[str, tuple[int, str, DirectorCustom]]
    ) -> DirectorMetadata:
        """Replace all that is assigned to `device`: by target path (length, SHA-256 hex, custom).

        Raises TrustError when a custom is for another device, or the name cannot be a device's.
        """
        files = {}
        for path, (length, sha256, custom) in targets.items():
            if custom.device != device:
                raise TrustError(
                    f"{path}: its custom is for device {custom.device!r}, not {device!r}"
                )
            extra = {"custom": write_custom(custom)}
            files[path] = TargetFile(length, {"sha256": sha256}, path, extra)
        stored = self._load(device)
        return self._write(device, files, 1 if stored is None else stored.version + 1)

    def refresh(self) -> list[str]:
        """Sign anew what expires soon, or was signed under an older root.

        Gives the devices whose metadata changed, so that their doorbell can be rung. Run it
        at least once a day.
        """
        now = self._clock()
        changed = []
        for device in self.devices():
            stored = self._load(device)
            if stored is None:
                continue
            targets = roles.load(stored.targets.encode(), Targets, device).signed
            timestamp = roles.load(stored.timestamp.encode(), Timestamp, device).signed
            if (
                stored.root_version != self.root_version
                or roles.expires_within(targets, now, REFRESH_TARGETS_DAYS)
                or roles.expires_within(timestamp, now, REFRESH_DAYS)
            ):
                self._write(device, targets.targets, stored.version + 1)
                changed.append(device)
        return changed

    def _write(self, device: str, files: dict[str, TargetFile], version: int) -> DirectorMetadata:
        root = self._root.signed
        online = roles.in_days(self._clock, roles.ONLINE_DAYS)
        targets = roles.sign(
            Targets(
                version=version,
                expires=roles.in_days(self._clock, roles.DIRECTOR_TARGETS_DAYS),
                targets=files,
            ),
            self._online.require(root, "targets"),
        )
        snapshot = roles.sign(
            Snapshot(
                version=version,
                expires=online,
                meta={"targets.json": roles.described(version, targets)},
            ),
            self._online.require(root, "snapshot"),
        )
        timestamp = roles.sign(
            Timestamp(
                version=version, expires=online, snapshot_meta=roles.described(version, snapshot)
            ),
            self._online.require(root, "timestamp"),
        )
        stored = _Stored(
            version=version,
            root_version=self.root_version,
            targets=targets.decode(),
            snapshot=snapshot.decode(),
            timestamp=timestamp.decode(),
        )
        documents.write_atomically(self._path(device), documents.encode(stored))
        return _described(stored)

    def _load(self, device: str) -> _Stored | None:
        path = self._path(device)
        if not path.exists():
            return None
        return documents.read_json(path, _Stored)

    def _path(self, device: str) -> Path:
        try:
            return self._folder / "devices" / f"{topics.check_name('device', device)}.json"
        except DocumentError as error:
            raise TrustError(str(error)) from error


def _files(stored: _Stored) -> dict[str, bytes]:
    return {
        "timestamp.json": stored.timestamp.encode(),
        "snapshot.json": stored.snapshot.encode(),
        "targets.json": stored.targets.encode(),
    }


def _described(stored: _Stored) -> DirectorMetadata:
    files = _files(stored)
    return DirectorMetadata(files, digest_of(files["timestamp.json"]), stored.version)
