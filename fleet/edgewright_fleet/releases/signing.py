"""The two TUF repositories of one fleet, opened together; safe from several threads."""

import threading
from collections.abc import Mapping
from pathlib import Path

from edgewright_manifests.digest import Digest
from edgewright_manifests.errors import ManifestError
from edgewright_manifests.metadata import (
    DirectorRepository,
    ImageRepository,
    Keyring,
    init_keys,
)
from edgewright_manifests.release import DirectorCustom

from edgewright_fleet.errors import StartError, UnknownName
from edgewright_fleet.store import AssignedTarget


class Signing:
    """Image repository (signed offline, counter-signed here) and director (signed here)."""

    def __init__(self, image: ImageRepository, director: DirectorRepository) -> None:
        self._image = image
        self._director = director
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, keys: Path) -> "Signing":
        """The repositories in `folder`; `keys` is the online keys' folder, `public` beside it.

        Raises StartError when keys are missing or do not fit the repositories.
        """
        online, public = locate_keys(keys)
        try:
            keyring = Keyring(online)
            return cls(
                ImageRepository.open(folder / "image", public, keyring),
                DirectorRepository.open(folder / "director", public, keyring),
            )
        except ManifestError as error:
            raise StartError(f"keys: {error}") from error

    def roots(self) -> tuple[str, str]:
        """The first trusted roots: of the director, of the image repository."""
        director = self._director.read("-", "1.root.json")
        image = self._image.read("1.root.json")
        if director is None or image is None:
            raise StartError("the repositories have no first root; restore data/tuf from a backup")
        return director.decode(), image.decode()

    def introduce(self, device: str) -> None:
        """Sign empty director metadata for a new device; what is there already stays."""
        with self._lock:
            if self._director.current(device) is None:
                self._director.assign(device, {})

    def sign(self, device: str, target: AssignedTarget | None) -> Digest:
        """Assign exactly `target` (or nothing) to the device; the digest of its timestamp."""
        targets: dict[str, tuple[int, str, DirectorCustom]] = {}
        if target is not None:
            digest = target.manifest.removeprefix("sha256:")
            targets[target.path] = (target.manifest_size_bytes, digest, target.custom)
        with self._lock:
            return self._director.assign(device, targets).timestamp_digest

    def refresh(self) -> list[str]:
        """Sign again what expires soon; the devices whose metadata changed."""
        with self._lock:
            self._image.refresh()
            return self._director.refresh()

    def accept_targets(self, signed: bytes, manifests: Mapping[str, bytes]) -> None:
        """Publish targets that the offline key signed. Raises TrustError, nothing is changed."""
        with self._lock:
            self._image.accept_targets(signed, manifests)

    def image_targets(self) -> bytes:
        """The image repository's newest targets.json."""
        return self.read("image", "targets.json", "")

    def read(self, repository: str, name: str, device: str) -> bytes:
        """A metadata file of `image`, or of this device's `director`. Raises UnknownName."""
        found = None
        if repository == "image":
            found = self._image.read(name)
        elif repository == "director":
            found = self._director.read(device, name)
        if found is None:
            raise UnknownName(f"there is no metadata {repository}/{name}")
        return found


def locate_keys(folder: Path) -> tuple[Path, Path]:
    """The online and the public folder, from either the whole key folder or its `online` part."""
    if (folder / "online").is_dir():
        return folder / "online", folder / "public"
    return folder, folder.parent / "public"


def roots_to_adopt(folder: Path, keys: Path) -> list[str]:
    """Roots in the public key folder that the repositories in `folder` do not have yet."""
    _, public = locate_keys(keys)
    found = []
    for repository in ("image", "director"):
        known = len(list((folder / repository).glob("[0-9]*.root.json")))
        known += (folder / repository / "waiting.root.json").exists()
        offered = len(list(public.glob(f"{repository}.[0-9]*.root.json")))
        found += [f"{repository}-root:{version}" for version in range(known + 1, offered + 1)]
    return found


def make_keys_where_missing(folder: Path) -> bool:
    """Make a fresh key folder; False when there is one."""
    if folder.exists() and any(folder.iterdir()):
        return False
    init_keys(folder)
    return True
