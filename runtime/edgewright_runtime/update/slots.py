"""The two slots of a device: what is in each, how it is marked, and which one is active.

    slots/a/  slots/b/   one unpacked variant each, with slot.json
    active -> slots/a    replaced by rename, so it points at one or the other, never at nothing

Only the inactive slot is ever written. A slot is built beside its place and moved there
whole, marked `unproven`; `good` comes with the commit, `bad` with a rollback.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import Installed

from edgewright_runtime.update import boot
from edgewright_runtime.update.faults import Reach, pass_by

SlotName = Literal["a", "b"]
Mark = Literal["good", "bad", "unproven"]


class SlotRecord(Document, frozen=True):
    """`slot.json`: what the slot holds and what is known about it."""

    installed: Installed
    assignment: int
    mark: Mark
    blobs: Mapping[Digest, str]
    """Which file of the slot has which content, so that the next release fetches only the rest."""
    reason: str | None = None
    """Why it is marked bad, for people."""


class Slots:
    """The slots under one state folder."""

    def __init__(self, state_dir: Path, *, reach: Reach = pass_by) -> None:
        self._reach = reach
        self._state_dir = state_dir
        self._root = state_dir / "slots"
        self._root.mkdir(parents=True, exist_ok=True)

    def folder(self, slot: SlotName) -> Path:
        """Where the slot's unpacked variant lies."""
        return self._root / slot

    def record(self, slot: SlotName) -> SlotRecord | None:
        """What the slot holds; None when it is empty or its record is damaged."""
        try:
            return documents.read_json(self.folder(slot) / boot.RECORD, SlotRecord)
        except DocumentError:
            return None

    def active(self) -> SlotName | None:
        """The slot that serves, or will after the next start."""
        return _name(boot.active_slot(self._state_dir))

    def inactive(self) -> SlotName:
        """The slot that the next release goes to."""
        return "b" if self.active() == "a" else "a"

    def installed(self) -> Installed | None:
        """The release in the active slot."""
        active = self.active()
        record = self.record(active) if active else None
        return record.installed if record else None

    def generation(self, slot: SlotName) -> str | None:
        """What agent and server call the release in this slot."""
        record = self.record(slot)
        return boot.generation_name(slot, record.installed.manifest) if record else None

    def repair(self) -> SlotName | None:
        """Point `active` at the slot that a start would choose; gives that slot."""
        chosen = boot.choose_slot(self._state_dir)
        name = _name(chosen.slot) if chosen else None
        if name is not None and name != self.active():
            self.activate(name)
        return name

    def activate(self, slot: SlotName) -> None:
        """Point `active` at `slot`, in one step and durably."""
        temporary = self._state_dir / ".active.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("slots") / slot)
        temporary.replace(self._state_dir / "active")
        documents.sync_folder(self._state_dir)

    def deactivate(self) -> None:
        """Leave no slot active: a first release that was taken back."""
        (self._state_dir / "active").unlink(missing_ok=True)
        documents.sync_folder(self._state_dir)

    def mark(self, slot: SlotName, mark: Mark, reason: str | None = None) -> None:
        """Mark a slot; an empty one stays as it is."""
        record = self.record(slot)
        if record is None or (record.mark, record.reason) == (mark, reason):
            return
        marked = SlotRecord(
            installed=record.installed,
            assignment=record.assignment,
            mark=mark,
            blobs=record.blobs,
            reason=reason,
        )
        documents.write_atomically(self.folder(slot) / boot.RECORD, documents.encode(marked))

    def find_blob(self, digest: Digest) -> Path | None:
        """A file in either slot that was installed with this content."""
        for slot in ("a", "b"):
            record = self.record(_known(slot))
            name = record.blobs.get(digest) if record else None
            if name is not None and (path := self.folder(_known(slot)) / name).is_file():
                return path
        return None

    def building(self, slot: SlotName) -> Path:
        """An empty folder beside the slot, to build its next content in."""
        folder = self._root / f".{slot}.new"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def install(self, slot: SlotName, record: SlotRecord) -> None:
        """Move what was built beside the inactive `slot` into its place, durably.

        Raises ValueError for the active slot, which is never written.
        """
        if slot == self.active():
            raise ValueError(f"slot {slot} is active and must not be written")
        built, place = self._root / f".{slot}.new", self.folder(slot)
        documents.write_atomically(built / boot.RECORD, documents.encode(record))
        _sync_tree(built)
        old = self._root / f".{slot}.old"
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
            self._reach("stage:emptied")
        built.rename(place)
        documents.sync_folder(self._root)
        shutil.rmtree(old, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    documents.sync_folder(folder)


def _name(slot: str | None) -> SlotName | None:
    return _known(slot) if slot is not None else None


def _known(slot: str) -> SlotName:
    return "a" if slot == "a" else "b"
