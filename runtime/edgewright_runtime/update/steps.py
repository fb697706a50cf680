"""The work of each state, up to the switch; live.py has the rest.

Every step may be repeated after a crash at any point, and leaves the active slot alone.
"""

from collections.abc import Callable, Mapping

from edgewright_manifests.bundle import Descriptor, assemble_unpacked, parse_manifest
from edgewright_manifests.errors import BundleError, TrustError
from edgewright_manifests.messages import Installed, UpdateState
from edgewright_manifests.release import Transport

from edgewright_runtime.source import Source, SourceRefused, SourceUnreachable
from edgewright_runtime.update.backoff import Backoff
from edgewright_runtime.update.cursor import CursorFile, Pending
from edgewright_runtime.update.download import DownloadRefused, Downloads, DownloadStopped
from edgewright_runtime.update.live import LiveSteps
from edgewright_runtime.update.metadata import AssignmentRefused, Verifier
from edgewright_runtime.update.outcome import Outcome
from edgewright_runtime.update.preflight import PreflightStopped, PreflightVerdict
from edgewright_runtime.update.slots import SlotRecord, Slots
from edgewright_runtime.update.states import Event

MANIFEST = "variant manifest"


class Steps:
    """The states' work, by state."""

    def __init__(
        self,
        *,
        cursor: CursorFile,
        verifier: Verifier,
        sources: Mapping[Transport, Source],
        downloads: Downloads,
        slots: Slots,
        preflight: Callable[..., PreflightVerdict | PreflightStopped],
        live: LiveSteps,
        backoff: Backoff,
        max_tries: int,
    ) -> None:
        self._cursor = cursor
        self._verifier = verifier
        self._sources = sources
        self._downloads = downloads
        self._slots = slots
        self._preflight = preflight
        self._live = live
        self._backoff = backoff
        self._max_tries = max_tries
        self._interrupted: Callable[[], bool] = lambda: False
        self._work: Mapping[UpdateState, Callable[[], Outcome | None]] = {
            UpdateState.METADATA: self._metadata,
            UpdateState.DOWNLOAD: self._download,
            UpdateState.STAGE: self._stage,
            UpdateState.PREFLIGHT: self._preflight_step,
            UpdateState.SWITCH: live.switch,
            UpdateState.PROBATION: live.probation,
            UpdateState.COMMIT: live.commit,
            UpdateState.ROLLBACK: live.rollback,
        }

    def resume(self, interrupted: Callable[[], bool]) -> None:
        """Called once, before the first step after a start."""
        self._interrupted = interrupted
        self._slots.repair()
        if self._cursor.now.state is UpdateState.PROBATION:
            self._live.resume_probation()

    def newest_assignment(self) -> int:
        """The director's newest number for this device.

        Raises SourceUnreachable, SourceRefused and TrustError.
        """
        return self._verifier.newest()

    def take(self, state: UpdateState) -> Outcome | None:
        """Do the state's work; None when it was interrupted and the state stands."""
        return self._work[state]()

    def tidy(self) -> None:
        """At rest: forget what was fetched; it lies in a slot, or is not wanted."""
        self._downloads.keep_only(set())

    def _metadata(self) -> Outcome:
        here = self._cursor.now
        installed = self._slots.installed()
        try:
            assignment = self._verifier.resolve(installed)
        except SourceUnreachable:
            return Outcome(Event.RETRY, wait_s=self._backoff.next_s())
        except AssignmentRefused as error:
            return Outcome(Event.REFUSED, str(error), {"assignment": error.assignment})
        except (TrustError, SourceRefused) as error:
            # What is wrong is the repository, not this assignment: it stays wanted.
            return Outcome(Event.REFUSED, str(error), settles=False)
        if assignment is None or assignment.custom.assignment <= here.settled:
            return Outcome(Event.NOTHING)
        changes: dict[str, object] = {"assignment": assignment.custom.assignment}
        if installed is not None and installed.manifest == assignment.manifest:
            return Outcome(Event.NOTHING, changes=changes)
        pending = Pending(
            installed=assignment.installed,
            manifest_bytes=assignment.length,
            transport=assignment.custom.transport,
            probation=assignment.custom.probation,
            slot=self._slots.inactive(),
            previous=self._slots.active(),
        )
        return Outcome(Event.DONE, changes=changes | {"pending": pending})

    def _download(self) -> Outcome | None:
        pending = self._pending()
        source = self._sources[pending.transport]
        before = self._downloads.fetched_bytes
        try:
            manifest = self._manifest_blob(pending)
            self._downloads.fetch(manifest, source, stop=self._interrupted)
            wanted = [
                blob
                for blob in parse_manifest(self._manifest(pending)).needed
                if self._slots.find_blob(blob.digest) is None
            ]
            self._downloads.keep_only({manifest.digest, *(blob.digest for blob in wanted)})
            self._downloads.check_room(wanted)
            for blob in wanted:
                self._downloads.fetch(blob, source, stop=self._interrupted)
        except DownloadStopped:
            return None
        except SourceUnreachable as error:
            if self._downloads.fetched_bytes > before:
                self._backoff.reset()
            if self._backoff.tries >= self._max_tries:
                return Outcome(
                    Event.REFUSED,
                    f"download given up after {self._max_tries} tries without a byte: {error}",
                )
            return Outcome(Event.RETRY, wait_s=self._backoff.next_s())
        except (SourceRefused, DownloadRefused, BundleError) as error:
            return Outcome(Event.REFUSED, str(error))
        return Outcome(Event.DONE)

    def _stage(self) -> Outcome:
        pending = self._pending()
        staged = self._slots.record(pending.slot)
        if staged is not None and (staged.assignment, staged.installed, staged.mark) == (
            self._cursor.now.assignment,
            pending.installed,
            "unproven",
        ):
            return Outcome(Event.DONE)
        data = self._manifest(pending)
        needed = parse_manifest(data).needed
        blobs = {
            blob.digest: self._slots.find_blob(blob.digest) or self._downloads.path(blob.digest)
            for blob in needed
        }
        try:
            variant = assemble_unpacked(self._slots.building(pending.slot), data, blobs)
        except BundleError as error:
            return Outcome(Event.REFUSED, str(error))
        found = (variant.model, variant.version, variant.id)
        want = pending.installed
        if found != (want.model, want.version, want.variant):
            return Outcome(
                Event.REFUSED,
                f"the release says that it is {' '.join(found)}, assigned is "
                f"{want.model} {want.version} {want.variant}; nothing was installed",
            )
        record = SlotRecord(
            installed=want,
            assignment=self._cursor.now.assignment,
            mark="unproven",
            blobs={blob.digest: blob.title for blob in needed},
        )
        self._slots.install(pending.slot, record)
        return Outcome(Event.DONE)

    def _preflight_step(self) -> Outcome | None:
        pending = self._pending()
        verdict = self._preflight(self._slots.folder(pending.slot), stop=self._interrupted)
        if isinstance(verdict, PreflightStopped):
            return None
        if not verdict.passed:
            reason = f"preflight refused {_named(pending.installed)}: {verdict.reason}"
            self._slots.mark(pending.slot, "bad", reason)
            return Outcome(Event.REFUSED, reason)
        return Outcome(Event.DONE)

    def _pending(self) -> Pending:
        pending = self._cursor.now.pending
        if pending is None:
            raise ValueError(f"update.json: state {self._cursor.now.state} without a release")
        return pending

    def _manifest_blob(self, pending: Pending) -> Descriptor:
        return Descriptor("", pending.installed.manifest, pending.manifest_bytes, MANIFEST)

    def _manifest(self, pending: Pending) -> bytes:
        return self._downloads.path(pending.installed.manifest).read_bytes()


def _named(installed: Installed) -> str:
    return f"{installed.model} {installed.version} ({installed.variant})"
