"""Where the device is in an update's life, on disk before every step (`update.json`)."""

import datetime
import logging
from pathlib import Path

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import Installed, UpdateState
from edgewright_manifests.release import ProbationPolicy, Transport

from edgewright_runtime.update.slots import SlotName

_LOG = logging.getLogger(__name__)


class Pending(Document, frozen=True):
    """The release that is being installed, as both repositories assigned it."""

    installed: Installed
    manifest_bytes: int
    transport: Transport
    probation: ProbationPolicy
    slot: SlotName
    """The inactive slot that it goes to."""
    previous: SlotName | None
    """The slot to go back to; None on a first installation."""


class Watch(Document, frozen=True):
    """What probation has to remember over a restart."""

    started: datetime.datetime
    deadline: datetime.datetime
    baseline_ms_p50: float | None = None
    """The previous release's median latency on this device, just before the switch."""
    server_pid: int | None = None
    """The serving process that took the release; another one means that this one died."""
    restarts: int = 0
    """How often this agent started in probation; a release that reboots the board is bad too."""


class Cursor(Document, frozen=True):
    """`update.json`."""

    state: UpdateState = UpdateState.IDLE
    assignment: int = 0
    """The director's assignment that `state` is about; 0 before the first."""
    settled: int = 0
    """The newest assignment that needs no more work: installed, needless, refused or taken back."""
    pending: Pending | None = None
    baseline_ms_p50: float | None = None
    """Measured in `switch`, before the switch; None where the live load was too small."""
    baseline_done: bool = False
    tries: int = 0
    """Loads of the release that the server broke off."""
    watch: Watch | None = None
    reason: str | None = None
    """Why it was refused or taken back."""


class CursorFile:
    """The cursor on disk and in memory; memory is never ahead of the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cursor = Cursor()
        if path.exists():
            try:
                self._cursor = documents.read_json(path, Cursor)
            except DocumentError as error:
                # Written whole or not at all, so this is a bad disk or a person's edit. The
                # slots say by themselves what is good; only the memory of the update is lost.
                _LOG.error("update.json is damaged, starting from idle: %s", error)

    @property
    def now(self) -> Cursor:
        """Where the device is."""
        return self._cursor

    def save(self, cursor: Cursor) -> None:
        """Make `cursor` the truth, durably."""
        documents.write_atomically(self._path, documents.encode(cursor))
        self._cursor = cursor

    def change(self, **fields: object) -> Cursor:
        """Save the cursor with some fields replaced; gives the new one."""
        self.save(msgspec.structs.replace(self._cursor, **fields))
        return self._cursor
