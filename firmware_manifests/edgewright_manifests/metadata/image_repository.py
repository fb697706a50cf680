"""The image repository on the server: what has been published, signed offline."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from edgewright_manifests import documents
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import roles
from edgewright_manifests.metadata.keys import Keyring, read_roots, utc_now
from edgewright_manifests.metadata.roles import Clock

KEPT_VERSIONS = 10
"""Old snapshots and targets that a device in the middle of a fetch may still ask for."""
REFRESH_DAYS = 3.0
"""Snapshot and timestamp live 7 days; with less than this left they are signed anew."""

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_VERSIONED = re.compile(r"[1-9][0-9]{0,8}\.(root|snapshot|targets)\.json")
_TARGET = re.compile(
    rf"targets/({_SEGMENT})/({_SEGMENT})/(?:([0-9a-f]{{64}})\.)?({_SEGMENT}\.json)"
)
_NEWEST = ("root.json", "snapshot.json", "targets.json")


class ImageRepository:
    """A folder of metadata and target files that `read` serves by the names of the package.

    One process writes; what `read` gives is always whole, because every file is replaced
    atomically and `timestamp.json` last. Versions rise across restarts. All roots are kept.
    """

    def __init__(self, folder: Path, online: Keyring, *, clock: Clock = utc_now) -> None:
        """Open a repository that `open` has made. Raises TrustError when it does not hold."""
        self._folder = folder
        self._online = online
        self._clock = clock
        self._root = self._load_root()

    @classmethod
    def open(cls, folder: Path, public: Path, online: Keyring, *, clock: Clock = utc_now) -> Self:
        """Open the repository in `folder`, making it from the key folder's public part if new.

        Newer roots in `public` are taken over. Raises TrustError when roots or keys do not
        fit together.
        """
        roots = read_roots(public, "image")
        if not (folder / "1.root.json").exists():
            documents.write_atomically(folder / "1.root.json", roots[0][1])
        repository = cls(folder, online, clock=clock)
        if repository.read("1.root.json") != roots[0][1]:
            raise TrustError(
                f"{folder}: was made with other root keys than {public}; bring the right keys"
            )
        for root, data in roots:
            if root.signed.version > repository.root_version + len(repository._waiting()):
                repository.accept_root(data)
        if not (folder / "timestamp.json").exists():
            repository.accept_targets(documents.read_bytes(public / "image.targets.json"))
        repository.refresh()
        return repository

    @property
    def root_version(self) -> int:
        """Version of the root in force."""
        return self._root.signed.version

    @property
    def targets_version(self) -> int:
        """Version of the published targets; 0 before the first."""
        return self._newest(Targets).version if self._published() else 0

    def read(self, name: str) -> bytes | None:
        """The bytes under a name that a TUF client asks for; None where there are none."""
        if name in _NEWEST:
            return self._read_newest(name)
        if name == "timestamp.json" or _VERSIONED.fullmatch(name):
            return _read(self._folder / name)
        if found := _TARGET.fullmatch(name):
            model, version, digest, file = found.groups()
            target = self.targets().get(f"{model}/{version}/{file}")
            if target is None or digest not in (None, target.hashes["sha256"]):
                return None
            return _read(self._folder / "targets" / model / version / file)
        return None

    def targets(self) -> dict[str, TargetFile]:
        """What is published, by target path."""
        return self._newest(Targets).targets if self._published() else {}

    def accept_targets(
        self, signed_targets: bytes, manifests: Mapping[str, bytes] | None = None
    ) -> None:
        """Publish the next `targets`, as metadata.sign_targets made it.

        `manifests` has the manifest bytes of every target path that is new. Publishing the
        newest once more changes nothing. Raises TrustError, and changes nothing, when the
        signature does not hold, the version does not rise, a published target would vanish
        or change, or a manifest is missing or differs from what was signed.
        """
        found = roles.load(signed_targets, Targets, "targets")
        root = self._root_that_signs(found)
        if self._published():
            if signed_targets == self._read_newest("targets.json"):
                return
            self._check_successor(found.signed)
        if found.signed.is_expired(self._clock()):
            raise TrustError(f"targets version {found.signed.version}: has expired; sign it again")
        self._store_manifests(found.signed, manifests or {})
        path = self._folder / f"{found.signed.version}.targets.json"
        documents.write_atomically(path, signed_targets)
        if root is not self._root:
            self._adopt_waiting()
        self._publish(found.signed.version, signed_targets)

    def accept_root(self, data: bytes) -> None:
        """Take over the next root, as `edgewright keys rotate` made it.

        When it changes the targets key it waits until targets signed by the new key are
        accepted, so that devices never see one without the other. Raises TrustError when it
        is not the next version, or not signed by old and new thresholds.
        """
        waiting = self._waiting()
        newest = waiting[-1] if waiting else self._root
        following = roles.load(data, Root, "image root")
        roles.verify_next_root(newest.signed, following, "image root")
        name = f"{following.signed.version}.root.json"
        if waiting or (self._published() and not self._signs(following, "targets.json", Targets)):
            documents.write_atomically(self._folder / "waiting" / name, data)
            return
        documents.write_atomically(self._folder / name, data)
        self._root = following
        self.refresh()

    def refresh(self) -> bool:
        """Sign snapshot and timestamp anew where they expire soon or the keys have changed.

        True when something was signed. Run it at least once a day.
        """
        if not self._published():
            return False
        if not self._is_stale(Snapshot) and not self._is_stale(Timestamp):
            return False
        data = self._read_newest("targets.json") or b""
        self._publish(self._newest(Targets).version, data)
        return True

    def _publish(self, targets_version: int, targets: bytes) -> None:
        version = self._newest(Snapshot).version + 1 if self._published() else 1
        root = self._root.signed
        expires = roles.in_days(self._clock, roles.ONLINE_DAYS)
        snapshot = roles.sign(
            Snapshot(
                version=version,
                expires=expires,
                meta={"targets.json": roles.described(targets_version, targets)},
            ),
            self._online.require(root, "snapshot"),
        )
        timestamp_version = self._newest(Timestamp).version + 1 if self._published() else 1
        timestamp = roles.sign(
            Timestamp(
                version=timestamp_version,
                expires=expires,
                snapshot_meta=roles.described(version, snapshot),
            ),
            self._online.require(root, "timestamp"),
        )
        documents.write_atomically(self._folder / f"{version}.snapshot.json", snapshot)
        documents.write_atomically(self._folder / "timestamp.json", timestamp)
        self._prune("snapshot", version)
        self._prune("targets", targets_version)

    def _prune(self, role: str, newest: int) -> None:
        for path in self._folder.glob(f"*.{role}.json"):
            if int(path.name.partition(".")[0]) <= newest - KEPT_VERSIONS:
                path.unlink(missing_ok=True)

    def _check_successor(self, following: Targets) -> None:
        current = self._newest(Targets)
        if following.version <= current.version:
            raise TrustError(
                f"targets version {following.version}: version {current.version} is published "
                "already; fetch it and sign again"
            )
        for path, target in current.targets.items():
            if following.targets.get(path) != target:
                raise TrustError(
                    f"targets version {following.version}: {path} would vanish or change; "
                    "releases stay as they were published"
                )

    def _store_manifests(self, targets: Targets, manifests: Mapping[str, bytes]) -> None:
        known = self.targets()
        fresh: dict[Path, bytes] = {}
        for path, target in targets.targets.items():
            if path in known:
                continue
            if not _TARGET.fullmatch(f"targets/{path}"):
                raise TrustError(f"{path}: is no target path; expected MODEL/VERSION/VARIANT.json")
            data = manifests.get(path)
            if data is None:
                raise TrustError(f"{path}: its manifest is missing; send it with the targets")
            try:
                target.verify_length_and_hashes(data)
            except LengthOrHashMismatchError as error:
                raise TrustError(
                    f"{path}: its manifest is not what was signed ({error})"
                ) from error
            fresh[self._folder / "targets" / path] = data
        for file, data in fresh.items():
            documents.write_atomically(file, data)

    def _root_that_signs(self, targets: Metadata[Targets]) -> Metadata[Root]:
        try:
            roles.verify(self._root.signed, targets, "targets")
        except TrustError:
            waiting = self._waiting()
            if not waiting:
                raise
            roles.verify(waiting[-1].signed, targets, "targets")
            return waiting[-1]
        return self._root

    def _waiting(self) -> list[Metadata[Root]]:
        """Roots that wait for targets signed by their new key, oldest first."""
        found: list[Metadata[Root]] = []
        while True:
            version = self.root_version + len(found) + 1
            data = _read(self._folder / "waiting" / f"{version}.root.json")
            if data is None:
                return found
            found.append(roles.load(data, Root, "waiting root"))

    def _adopt_waiting(self) -> None:
        for root in self._waiting():
            name = f"{root.signed.version}.root.json"
            (self._folder / "waiting" / name).replace(self._folder / name)
            documents.sync_folder(self._folder)
            self._root = root

    def _load_root(self) -> Metadata[Root]:
        version = 1
        while (self._folder / f"{version + 1}.root.json").exists():
            version += 1
        path = self._folder / f"{version}.root.json"
        return roles.load(documents.read_bytes(path), Root, str(path))

    def _published(self) -> bool:
        return (self._folder / "timestamp.json").exists()

    def _newest(self, kind: type[roles.RoleT]) -> roles.RoleT:
        name = f"{kind.type}.json"
        return roles.load(self._read_newest(name) or b"", kind, str(self._folder / name)).signed

    def _is_stale(self, kind: type[roles.RoleT]) -> bool:
        return roles.expires_within(
            self._newest(kind), self._clock(), REFRESH_DAYS
        ) or not self._signs(self._root, f"{kind.type}.json", kind)

    def _signs(self, root: Metadata[Root], name: str, kind: type[roles.RoleT]) -> bool:
        data = self._read_newest(name) or b""
        try:
            roles.verify(root.signed, roles.load(data, kind, name), name)
        except TrustError:
            return False
        return True

    def _read_newest(self, name: str) -> bytes | None:
        """`root.json` and so on, as timestamp and snapshot name the newest version."""
        if name == "root.json":
            return _read(self._folder / f"{self.root_version}.root.json")
        timestamp = _read(self._folder / "timestamp.json")
        if name == "timestamp.json" or timestamp is None:
            return timestamp
        version = roles.load(timestamp, Timestamp, name).signed.snapshot_meta.version
        snapshot = _read(self._folder / f"{version}.snapshot.json")
        if name == "snapshot.json" or snapshot is None:
            return snapshot
        version = roles.load(snapshot, Snapshot, name).signed.meta["targets.json"].version
        return _read(self._folder / f"{version}.targets.json")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
