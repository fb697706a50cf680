"""Which slot to serve from after a start, decided with the standard library alone.

The supervisor asks here before anything else runs, so it must hold with damaged files:
`active` when that slot is whole and not marked bad, else the other slot when it is
whole and marked good, else none. An unproven slot that is not active has not passed its
preflight, and is never served.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SLOTS = ("a", "b")
RECORD = "slot.json"
VARIANT = "variant.json"


@dataclass(frozen=True, slots=True)
class Bootable:
    """A slot that can be served."""

    slot: str
    folder: Path
    model: str
    mark: str
    """`good`, or `unproven` while it is on probation."""
    generation: str
    """What agent and server call the release in this slot: slot and manifest digest."""


def choose_slot(state_dir: Path, *, shun: str | None = None) -> Bootable | None:
    """The slot to serve, None when none can be.

    `shun` names a slot that the server could not live with; it is chosen only when there
    is no other.
    """
    active = active_slot(state_dir)
    found = [slot for name in SLOTS if (slot := _inspect(state_dir, name)) is not None]
    fit = [slot for slot in found if slot.slot == active or slot.mark == "good"]
    return min(fit, key=lambda slot: (slot.slot == shun, slot.slot != active), default=None)


def active_slot(state_dir: Path) -> str | None:
    """The slot that `active` points at, whether or not it is whole."""
    link = state_dir / "active"
    name = link.readlink().name if link.is_symlink() else None
    return name if name in SLOTS else None


def generation_name(slot: str, manifest: str) -> str:
    """Slot and the first digits of the manifest's digest: unique over a slot's reuse."""
    return f"{slot}-{manifest.removeprefix('sha256:')[:12]}"


def _inspect(state_dir: Path, slot: str) -> Bootable | None:
    folder = state_dir / "slots" / slot
    try:
        record = json.loads((folder / RECORD).read_bytes())
        variant = json.loads((folder / VARIANT).read_bytes())
        sizes = dict(_sizes(variant))
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
        mark, manifest = str(record["mark"]), str(record["installed"]["manifest"])
        model = str(variant["model"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not whole or mark == "bad":
        return None
    return Bootable(slot, folder, model, mark, generation_name(slot, manifest))


def _sizes(variant: dict[str, list[dict[str, str]]]) -> Iterator[tuple[str, int]]:
    for file in variant["files"]:
        yield str(file["name"]), int(file["size_bytes"])
