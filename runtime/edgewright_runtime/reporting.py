"""What the device tells the fleet: version report, events, figures; signed by its own key."""

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
from edgewright_manifests import documents, envelope
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import Event, Figures, Telemetry, VersionReport
from edgewright_manifests.variant import Target

from edgewright_runtime import __version__
from edgewright_runtime.device.facts import memory_used_bytes, temperature_c
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.link.identity import Identity
from edgewright_runtime.link.outbox import Outbox
from edgewright_runtime.update.cursor import CursorFile
from edgewright_runtime.update.machine import Milestone
from edgewright_runtime.update.slots import Slots
from edgewright_runtime.update.states import RESTING
from edgewright_runtime.update.switching import Release, Switching


class RunnableTargets(Document, frozen=True):
    """`targets.json`: what the last probe found, so that a start need not wait for one."""

    targets: tuple[str, ...]


class Reporter:
    """Writes and signs. Calls block (a question to the server, a counter on disk)."""

    def __init__(
        self,
        identity: Identity,
        outbox: Outbox,
        cursor: CursorFile,
        slots: Slots,
        switching: Switching,
        targets_path: Path,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._identity = identity
        self._key_id = envelope.key_id(identity.key.public_key())
        self._outbox = outbox
        self._cursor = cursor
        self._slots = slots
        self._switching = switching
        self._targets_path = targets_path
        self._now = now
        self._runnable = self._read_targets()

    @property
    def knows_targets(self) -> bool:
        """Whether a probe has ever said what this machine can run; without, nothing is reported."""
        return self._runnable is not None

    def learn_targets(self, found: tuple[str, ...]) -> bool:
        """Take in what a probe found; gives whether that is news."""
        if not found or set(found) == set(self._runnable or ()):
            return False
        self._runnable = found
        documents.write_atomically(
            self._targets_path, documents.encode(RunnableTargets(targets=found))
        )
        return True

    def report(self) -> bytes:
        """The version report's envelope, with the next sequence number."""
        here, record = self._cursor.now, self._identity.record
        report = VersionReport(
            device=record.device,
            sequence=self._outbox.next_sequence(),
            time=self._now(),
            profile=record.profile,
            hardware_id=record.hardware_id,
            targets=self._targets(),
            agent=__version__,
            state=here.state,
            assignment=here.assignment,
            active=self._slots.installed(),
            pending=here.pending.installed
            if here.pending is not None and here.state not in RESTING
            else None,
            reason=here.reason,
            figures=self.figures(),
        )
        return self._seal(report, envelope.VERSION_REPORT)

    def keep_event(self, milestone: Milestone) -> None:
        """Put one step of an update into the outbox, under a name that a repeat would have too."""
        here, record = milestone.cursor, self._identity.record
        number = here.assignment or uuid.uuid4().hex
        event = Event(
            device=record.device,
            id=f"{record.device}-{number}-{milestone.state}-{milestone.outcome}",
            time=self._now(),
            assignment=here.assignment,
            state=milestone.state,
            outcome=milestone.outcome,
            release=here.pending.installed if here.pending is not None else None,
            detail=milestone.detail,
            duration_s=milestone.duration_s,
        )
        self._outbox.add(event.id, self._seal(event, envelope.EVENT))

    def telemetry(self) -> bytes | None:
        """Figures of what serves and of the board; None while nothing serves."""
        figures = self.figures()
        if figures is None:
            return None
        return documents.encode(
            Telemetry(
                time=self._now(),
                figures=figures,
                memory_bytes=memory_used_bytes(),
                temperature_c=temperature_c(),
            )
        )

    def figures(self) -> Figures | None:
        """What the server counted for the active release; None without one, or without a server."""
        active = self._slots.active()
        record = self._slots.record(active) if active else None
        generation = self._slots.generation(active) if active else None
        if active is None or record is None or generation is None:
            return None
        release = Release(record.installed.model, generation, self._slots.folder(active))
        try:
            return self._switching.figures(release)
        except ControlFault:
            return None

    def _targets(self) -> tuple[Target, ...]:
        runnable = self._runnable or ()
        return tuple(t for t in self._identity.record.targets if t in runnable)

    def _read_targets(self) -> tuple[str, ...] | None:
        try:
            return documents.read_json(self._targets_path, RunnableTargets).targets
        except DocumentError:
            return None

    def _seal(self, document: msgspec.Struct, kind: str) -> bytes:
        return envelope.seal(documents.encode(document), kind, self._identity.key, self._key_id)
