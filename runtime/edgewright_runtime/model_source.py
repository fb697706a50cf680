"""From what a person names (bundle, unpacked variant, bare file) to artifacts to open."""

import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright_manifests import documents
from edgewright_manifests.bundle import Bundle, open_bundle, read_unpacked
from edgewright_manifests.device_profile import DeviceProfile, load_profile, select_variant
from edgewright_manifests.variant import TARGETS, Target

from edgewright_runtime.engine.artifact import BARE_FILES, Artifact, unpacked_artifact
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.errors import BackendUnavailable, ModelRejected

if TYPE_CHECKING:  # golden vectors are numpy's, which a server does without
    from edgewright_manifests.golden import GoldenVectors

_NO_VERSION = "1"  # what Triton calls the only version of a model
GOLDEN_FILE = "golden.npz"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One variant that could be opened."""

    artifact: Artifact
    golden_file: Path | None = None
    """Its golden vectors, where its folder has them."""

    def read_golden(self) -> "GoldenVectors | None":
        """The golden vectors. Raises BundleError when they are damaged."""
        if self.golden_file is None:
            return None
        from edgewright_manifests.golden import read_golden

        assert self.artifact.signature is not None  # a variant always has one
        return read_golden(documents.read_bytes(self.golden_file), self.artifact.signature)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a person named, resolved; unpacked files live as long as the `open_source` block."""

    name: str
    candidates: Sequence[Candidate]
    unusable: Mapping[str, str]
    """Variant id to the reason why this machine cannot run it."""


@contextmanager
def open_source(
    path: Path, *, target: Target | None = None, only_best: bool = True
) -> Iterator[ModelSource]:
    """Resolve `path`; of a bundle, unpack what this machine can run.

    With `target` only that one; else with `only_best` the one that suits this machine, and
    without it all, best first. Raises ManifestError, ModelRejected, BackendUnavailable.
    """
    if (path / "oci-layout").is_file():
        with tempfile.TemporaryDirectory(prefix="edgewright-variants-") as folder:
            yield _from_bundle(open_bundle(path), Path(folder), target, only_best=only_best)
    elif (path / "variant.json").is_file():
        yield _from_unpacked(path, target)
    else:
        yield _from_file(path, target)


def this_machine() -> DeviceProfile:
    """The shipped profile that fits best, with this machine's own architecture and memory."""
    shipped = load_profile(_profile_name())
    others = tuple(target for target in TARGETS if target not in shipped.targets)
    return DeviceProfile(
        name=shipped.name,
        description=shipped.description,
        hardware_id=shipped.hardware_id,
        architecture=platform.machine(),
        targets=shipped.targets + others,
        memory_bytes=memory_bytes(),
    )


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _profile_name() -> str:
    if "raspberrypi" in (board := _board()):
        return "raspberry-pi-5"
    if "nvidia,tegra" in board:
        return "jetson-orin-nano"
    return "x86-gateway" if platform.machine() == "x86_64" else "generic"


def _board() -> str:
    """What the device tree says that the board is compatible with; empty on a PC."""
    try:
        return Path("/sys/firmware/devicetree/base/compatible").read_text(errors="replace")
    except OSError:
        return ""


def _from_bundle(
    bundle: Bundle, folder: Path, target: Target | None, *, only_best: bool
) -> ModelSource:
    entries = bundle.entries if target is None else (bundle.entry(target),)
    usable = available_targets()
    unusable: dict[str, str] = {}
    wanted = []
    for entry in entries:
        reason = usable[entry.variant.target]
        if reason is None:
            wanted.append(entry.variant)
        else:
            unusable[entry.variant.id] = reason
    candidates: list[Candidate] = []
    while wanted and not (only_best and candidates):
        best = select_variant(this_machine(), wanted)
        if best is None:
            unusable |= {variant.id: "it is made for other machines" for variant in wanted}
            break
        wanted.remove(best)
        bundle.entry(best.id).unpack(folder / best.id)
        candidates.append(_unpacked_candidate(folder / best.id))
    if not candidates:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in unusable.items())
        raise BackendUnavailable(
            str(bundle.path), f"no variant runs here ({reasons})", "see `edgewright runtime doctor`"
        )
    return ModelSource(bundle.name, candidates, unusable)


def _from_unpacked(folder: Path, target: Target | None) -> ModelSource:
    candidate = _unpacked_candidate(folder)
    _check_target(folder, candidate.artifact.target, target)
    return ModelSource(read_unpacked(folder).model, [candidate], {})


def _unpacked_candidate(folder: Path) -> Candidate:
    return Candidate(unpacked_artifact(folder), folder / GOLDEN_FILE)


def _from_file(path: Path, target: Target | None) -> ModelSource:
    found = BARE_FILES.get(path.suffix)
    if not path.exists():
        raise ModelRejected(path, "there is no such file or folder")
    if found is None or not path.is_file():
        kinds = ", ".join(BARE_FILES)
        raise ModelRejected(path, f"is no bundle, no unpacked variant and no file of {kinds}")
    _check_target(path, found, target)
    return ModelSource(path.stem, [Candidate(Artifact(_NO_VERSION, found, found, path))], {})


def _check_target(path: Path, found: Target, wanted: Target | None) -> None:
    if wanted not in (None, found):
        raise ModelRejected(path, f"is for {found}, not for {wanted}")
