"""Uptane's matching: the director says what this device gets, the image repository what it is.

Both are verified TUF targets by now; here they are held against each other and against
the device (Uptane Standard 2.1.0, section 5.4.4.2 "Full verification", steps 10 and 11).
No I/O and no clock.
"""

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec

from edgewright_manifests.digest import Digest, is_digest
from edgewright_manifests.errors import TrustError
from edgewright_manifests.messages import Installed
from edgewright_manifests.release import DirectorCustom, ImageCustom

CustomT = TypeVar("CustomT", ImageCustom, DirectorCustom)

ANY_HARDWARE = "any"


class TargetInfo(NamedTuple, Generic[CustomT]):
    """What one repository says about a target. `hashes` is by TUF's algorithm names, in hex."""

    path: str
    length: int
    hashes: Mapping[str, str]
    custom: CustomT


class Assignment(NamedTuple):
    """What this device may fetch and install: the manifest, and all that was said about it."""

    path: str
    length: int
    manifest: Digest
    """Digest of the variant's OCI manifest, `length` bytes long."""
    custom: DirectorCustom

    @property
    def variant(self) -> str:
        """The variant's id, from the target path: `onnx-int8`."""
        return self.path.rpartition("/")[2].removesuffix(".json")

    @property
    def installed(self) -> Installed:
        """The release as a device records it in a slot and reports it."""
        image = self.custom.image
        return Installed(
            model=image.model,
            version=image.version,
            variant=self.variant,
            manifest=self.manifest,
            release_counter=image.release_counter,
        )


def match_assignment(
    director: TargetInfo[DirectorCustom],
    image: TargetInfo[ImageCustom] | None,
    *,
    device: str,
    hardware_id: str,
    installed: Installed | None,
) -> Assignment:
    """The assignment, once both repositories agree and it is meant for this very device.

    `installed` is the release now in use. `image` is None when the image repository does
    not list the path. Raises TrustError, one text per rule; nothing may be installed then.
    """
    path = director.path
    if image is None or image.path != path:
        raise _refused(path, "the image repository does not list it", "publish the release first")
    if director.length != image.length:
        raise _refused(
            path,
            f"the director says {director.length} bytes, the image repository {image.length}",
            "assign the release again as it was published",
        )
    manifest = _same_digest(director, image)
    custom = director.custom
    if custom.device != device:
        raise _refused(
            path,
            f"it is assigned to device {custom.device!r}, this is {device!r}",
            "check that two devices do not share one identity",
        )
    if custom.hardware_id != hardware_id:
        raise _refused(
            path,
            f"it is assigned for hardware {custom.hardware_id!r}, this is {hardware_id!r}",
            "enrol the device with its own profile",
        )
    if hardware_id not in image.custom.hardware_ids and (
        ANY_HARDWARE not in image.custom.hardware_ids
    ):
        allowed = ", ".join(image.custom.hardware_ids) or "none"
        raise _refused(
            path,
            f"the release is for hardware {allowed}, this is {hardware_id!r}",
            "assign a release that names this hardware",
        )
    if custom.image != image.custom:
        raise _refused(path, _difference(custom.image, image.custom), "publish the release again")
    _check_path(path, image.custom)
    _check_counter(path, custom, installed)
    return Assignment(path, director.length, manifest, custom)


def _same_digest(director: TargetInfo[DirectorCustom], image: TargetInfo[ImageCustom]) -> Digest:
    ours, theirs = director.hashes.get("sha256"), image.hashes.get("sha256")
    if ours is None or theirs is None or not is_digest(f"sha256:{ours}"):
        raise _refused(director.path, "a repository gives no SHA-256 for it", "publish it again")
    common = director.hashes.keys() & image.hashes.keys()
    if any(director.hashes[name] != image.hashes[name] for name in common):
        raise _refused(
            director.path,
            f"the director says SHA-256 {ours}, the image repository {theirs}",
            "assign the release again as it was published",
        )
    return f"sha256:{ours}"


def _difference(director: ImageCustom, image: ImageCustom) -> str:
    for field in msgspec.structs.fields(ImageCustom):
        ours, theirs = getattr(director, field.name), getattr(image, field.name)
        if ours != theirs:
            return f"the director says {field.name} {ours!r}, the image repository {theirs!r}"
    raise AssertionError("called for customs that are equal")


def _check_path(path: str, image: ImageCustom) -> None:
    start = f"{image.model}/{image.version}/{image.target}-{image.precision}"
    if path != f"{start}.json":
        raise _refused(path, f"its custom describes {start}", "publish the release again")


def _check_counter(path: str, custom: DirectorCustom, installed: Installed | None) -> None:
    if installed is None or installed.model != custom.image.model or custom.rollback:
        return
    if custom.image.release_counter < installed.release_counter:
        raise _refused(
            path,
            f"its release counter {custom.image.release_counter} is lower than the installed "
            f"{installed.version}'s {installed.release_counter}, and it is no rollback",
            "assign it as a rollback if the older release is wanted",
        )


def _refused(path: str, problem: str, remedy: str) -> TrustError:
    return TrustError(f"{path}: {problem}; {remedy} (nothing was installed)")
