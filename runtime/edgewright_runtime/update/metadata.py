"""Asks both TUF repositories, in Uptane's order, what this device is to install.

python-tuf verifies each repository (https://theupdateframework.github.io/specification/latest
section 5); edgewright_manifests.trust holds the two against each other (Uptane Standard 2.1,
section 5.4.4.2). The time that expiry is judged by is the trusted clock's.
"""

import datetime
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from edgewright_manifests import documents
from edgewright_manifests.custom import read_custom
from edgewright_manifests.errors import TrustError
from edgewright_manifests.messages import Installed
from edgewright_manifests.release import DirectorCustom, ImageCustom
from edgewright_manifests.trust import Assignment, TargetInfo, match_assignment
from tuf.api import exceptions
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edgewright_runtime.errors import one_line
from edgewright_runtime.source import Repository, Source, SourceRefused

MAX_ROOT_BYTES = 128 * 1024
MAX_TIMESTAMP_BYTES = 16 * 1024
MAX_SNAPSHOT_BYTES = 256 * 1024
MAX_TARGETS_BYTES = 4 * 1024 * 1024
"""A thousand releases of four variants: about 600 bytes each."""


CustomT = TypeVar("CustomT", ImageCustom, DirectorCustom)


class AssignmentRefused(TrustError):
    """Both repositories hold, and this assignment does not: another try gives the same."""

    def __init__(self, assignment: int, reason: str) -> None:
        self.assignment = assignment
        super().__init__(reason)


class Device(NamedTuple):
    """Who is asking."""

    name: str
    hardware_id: str
    director_root: bytes
    """The first trusted root of each repository, from enrolment."""
    image_root: bytes


class Verifier:
    """Trusted metadata of both repositories, under `folder`."""

    def __init__(
        self,
        folder: Path,
        device: Device,
        source: Source,
        time: Callable[[], datetime.datetime],
    ) -> None:
        self._folder = folder
        self._device = device
        self._source = source
        self._time = time

    def newest(self) -> int:
        """The number of the director's assignment, 0 when there is none; nothing is installed.

        Raises SourceUnreachable, and TrustError when the director's metadata does not hold.
        """
        found = self._ask_director()
        return found[1].assignment if found else 0

    def resolve(self, installed: Installed | None) -> Assignment | None:
        """What both repositories agree that this device installs; None when nothing is assigned.

        Raises SourceUnreachable, and TrustError with the rule that failed.
        """
        found = self._ask_director()
        if found is None:
            return None
        target, custom = found
        image = self._refresh("image", self._device.image_root)
        if image is None:
            raise TrustError("image repository: it has no metadata; nothing was installed")
        with _refusals("image"):
            listed = image.get_targetinfo(target.path)
        try:
            return match_assignment(
                _info(target, custom),
                _info(listed, read_custom(listed.custom, ImageCustom, listed.path))
                if listed is not None
                else None,
                device=self._device.name,
                hardware_id=self._device.hardware_id,
                installed=installed,
            )
        except TrustError as error:
            raise AssignmentRefused(custom.assignment, str(error)) from error

    def _ask_director(self) -> tuple[TargetFile, DirectorCustom] | None:
        director = self._refresh("director", self._device.director_root)
        targets = director.listed() if director else []
        if not targets:
            return None
        if len(targets) > 1:
            raise TrustError(
                f"director repository: it assigns {len(targets)} targets, this runtime installs "
                "exactly one; nothing was installed"
            )
        return targets[0], read_custom(targets[0].custom, DirectorCustom, targets[0].path)

    def _refresh(self, repository: Repository, root: bytes) -> "_Updater | None":
        """Newest verified metadata; None when the repository has none for this device (404)."""
        folder = self._folder / repository
        folder.mkdir(parents=True, exist_ok=True)
        with _refusals(repository):
            updater = _Updater(folder, _Fetcher(repository, self._source), root, self._time())
            try:
                updater.refresh()
            except exceptions.DownloadHTTPError as error:
                if error.status_code == 404 and not (folder / "timestamp.json").exists():
                    return None
                raise
        _sync(folder)
        return updater


class _Updater(Updater):
    def __init__(
        self, folder: Path, fetcher: FetcherInterface, root: bytes, now: datetime.datetime
    ) -> None:
        config = UpdaterConfig(
            root_max_length=MAX_ROOT_BYTES,
            timestamp_max_length=MAX_TIMESTAMP_BYTES,
            snapshot_max_length=MAX_SNAPSHOT_BYTES,
            targets_max_length=MAX_TARGETS_BYTES,
            max_delegations=0,
        )
        super().__init__(str(folder), "", fetcher=fetcher, config=config, bootstrap=root)
        # python-tuf takes the system clock and offers no way to give it another time.
        self._trusted_set.reference_time = now

    def listed(self) -> list[TargetFile]:
        """Every target of the top-level role; python-tuf offers only lookups by path."""
        return list(self._trusted_set.targets.targets.values())


class _Fetcher(FetcherInterface):
    def __init__(self, repository: Repository, source: Source) -> None:
        self._repository = repository
        self._source = source

    def _fetch(self, url: str) -> Iterator[bytes]:
        # A generator, so that SourceUnreachable reaches our caller as what it is.
        try:
            yield self._source.metadata(self._repository, url.rpartition("/")[2], MAX_TARGETS_BYTES)
        except SourceRefused as error:
            raise exceptions.DownloadHTTPError(str(error), error.status) from error


@contextmanager
def _refusals(repository: Repository) -> Iterator[None]:
    """Turn python-tuf's refusals into one line that says which repository and why."""
    try:
        yield
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise TrustError(
            f"{repository} repository: {one_line(error)}; nothing was installed"
        ) from error


def _info(target: TargetFile, custom: CustomT) -> TargetInfo[CustomT]:
    return TargetInfo(target.path, target.length, target.hashes, custom)


def _sync(folder: Path) -> None:
    """python-tuf renames without fsync; a power cut must not take the versions we saw."""
    for path in folder.rglob("*.json"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    documents.sync_folder(folder)
