"""What kind of device one is, and which variant of a bundle it should get."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.variant import Target, Variant


class DeviceProfile(Document, frozen=True):
    """A class of devices. `targets` are in order of preference; the first that fits is served."""

    name: str
    description: str
    hardware_id: str
    """Uptane's hardware identifier: a release must name it (or `any`) to be installed."""
    architecture: str
    """`uname -m` of the board; `any` for a profile that is not tied to one."""
    targets: tuple[Target, ...]
    memory_bytes: int = 0


def select_variant(profile: DeviceProfile, variants: Sequence[Variant]) -> Variant | None:
    """The variant for this profile: the first preferred target that its constraints allow.

    Within one target the smaller artifact wins. None when no variant fits.
    """
    for target in profile.targets:
        fitting = [v for v in variants if v.target == target and _fits(profile, v)]
        if fitting:
            return min(fitting, key=lambda v: (sum(f.size_bytes for f in v.files), v.id))
    return None


def load_profile(name_or_path: str) -> DeviceProfile:
    """A profile that ships with edgewright, by name, or one of your own, by path to its TOML.

    Raises DocumentError, listing the names that ship, when there is no such profile.
    """
    if name_or_path.endswith(".toml"):
        return documents.read_toml(Path(name_or_path), DeviceProfile)
    path = profiles_folder() / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in profiles_folder().glob("*.toml")))
        raise DocumentError(name_or_path, "is no device profile", f"profiles that ship: {known}")
    return documents.read_toml(path, DeviceProfile)


def profiles_folder() -> Path:
    """Where the shipped profiles lie: inside the wheel, or beside the package in a checkout."""
    inside = Path(str(files("edgewright_manifests"))) / "profiles"
    return inside if inside.is_dir() else inside.parent.parent / "profiles"


def _fits(profile: DeviceProfile, variant: Variant) -> bool:
    wants = variant.constraints
    return (
        not wants.architectures
        or profile.architecture == "any"
        or profile.architecture in wants.architectures
    ) and (not profile.memory_bytes or profile.memory_bytes >= wants.min_memory_bytes)
