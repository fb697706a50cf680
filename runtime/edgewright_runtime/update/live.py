"""The work of the states in which the new release serves, or stops serving.

The server keeps the previous release behind the new one until the commit. Should the
server or this process die anywhere here, the slots' marks and the `active` link say by
themselves what to serve after the start.
"""

import datetime
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from edgewright_manifests.messages import Figures

from edgewright_runtime.errors import ControlFault
from edgewright_runtime.update.cursor import CursorFile, Pending, Watch
from edgewright_runtime.update.faults import Reach, pass_by
from edgewright_runtime.update.outcome import Outcome
from edgewright_runtime.update.probation import Finding, Judgement, judge_probation
from edgewright_runtime.update.slots import SlotName, Slots
from edgewright_runtime.update.states import Event
from edgewright_runtime.update.switching import Release, ServerRefused, Switching

MIN_BASELINE_REQUESTS = 10
"""A median of fewer says nothing; latency is not judged then."""


class Pace(NamedTuple):
    """How patient the live steps are, in seconds unless the name says otherwise."""

    poll_s: float = 1.0
    """Between looks at the server in probation."""
    baseline_s: float = 5.0
    """How long the previous release is measured before the switch."""
    away_s: float = 60.0
    """How long the server may be away in probation: a restart with a large model."""
    max_tries: int = 5
    """Loads that may break off before the release is held to be the cause."""
    max_restarts: int = 5
    """Starts of this agent in one probation; a release that reboots the board is bad too."""


class LiveSteps:
    """Switch, probation, commit and rollback."""

    def __init__(
        self,
        cursor: CursorFile,
        slots: Slots,
        switching: Switching,
        *,
        pace: Pace,
        now: Callable[[], datetime.datetime],
        reach: Reach = pass_by,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reach = reach
        self._cursor = cursor
        self._slots = slots
        self._switching = switching
        self._pace = pace
        self._now = now
        self._monotonic = monotonic
        self._baseline_until: float | None = None
        self._away_since: float | None = None
        self._probation_began: float | None = None
        self._finding: Finding | None = None

    def switch(self) -> Outcome:
        """Load the release, measure the one that serves, switch, move `active`."""
        pending, here = self._pending(), self._cursor.now
        release, previous = self._release(pending.slot), self._previous(pending)
        if release is None:
            return Outcome(Event.BREACHED, f"slot {pending.slot} is damaged")
        if here.tries >= self._pace.max_tries:
            reason = f"the server broke off loading it {here.tries} times"
            return Outcome(Event.BREACHED, reason)
        try:
            server = self._switching.status()
        except ControlFault:
            return self._later()
        try:
            self._cursor.change(tries=here.tries + 1)
            self._switching.load(release)
            self._cursor.change(tries=here.tries)
            if previous is not None and not here.baseline_done and not self._measured(previous):
                return self._later()
            self._switching.switch(release, keep_previous=previous is not None)
        except ControlFault:
            return self._later()
        except ServerRefused as error:
            return Outcome(Event.BREACHED, f"the server refused it: {error}")
        self._reach("switch:served")
        self._slots.activate(pending.slot)
        now = self._now()
        watch = Watch(
            started=now,
            deadline=now + datetime.timedelta(seconds=pending.probation.duration_s),
            baseline_ms_p50=self._cursor.now.baseline_ms_p50,
            server_pid=server.pid,
        )
        self._probation_began = self._monotonic()
        self._finding = None
        return Outcome(Event.DONE, changes={"watch": watch})

    def resume_probation(self) -> None:
        """Probation goes on after a restart; which server process it watches is asked anew."""
        watch = self._cursor.now.watch
        if watch is not None:
            again = msgspec.structs.replace(watch, restarts=watch.restarts + 1, server_pid=None)
            self._cursor.change(watch=again)

    def probation(self) -> Outcome:
        """Look once at how the release does."""
        pending, watch = self._pending(), self._watch()
        release, previous = self._release(pending.slot), self._previous(pending)
        if release is None:
            return Outcome(Event.BREACHED, f"slot {pending.slot} is damaged")
        if watch.restarts > self._pace.max_restarts:
            reason = f"the runtime was restarted {watch.restarts} times in its probation"
            return Outcome(Event.BREACHED, reason)
        try:
            server = self._switching.status()
            if watch.server_pid is None:
                watch = msgspec.structs.replace(watch, server_pid=server.pid)
                self._cursor.change(watch=watch)
            if server.pid != watch.server_pid:
                return Outcome(Event.BREACHED, "the server died while it served it")
            if not self._switching.serves(release):
                return self._not_serving(release)
            if previous is not None:
                self._switching.restore_fallback(release, previous)
            figures = self._switching.figures(release)
        except ServerRefused as error:
            return Outcome(Event.BREACHED, f"the server refused it: {error}")
        except ControlFault:
            return self._server_away()
        self._away_since = None
        finding = judge_probation(
            figures or Figures(requests=0, errors=0),
            pending.probation,
            baseline_ms_p50=watch.baseline_ms_p50,
            elapsed_s=self._elapsed_s(watch),
            previously=self._finding,
        )
        self._finding = finding
        if finding.judgement is Judgement.KEEP:
            return Outcome(Event.DONE, finding.reason)
        if finding.judgement is Judgement.TAKE_BACK:
            return Outcome(Event.BREACHED, finding.reason)
        return self._later()

    def commit(self) -> Outcome:
        """Mark the slot good, and let the previous release go."""
        pending = self._pending()
        self._slots.mark(pending.slot, "good")
        self._reach("commit:marked")
        previous = self._previous(pending)
        if previous is not None:
            try:
                self._switching.unload(previous)
            except ControlFault:
                return self._later()  # a server that starts now starts without it
            except ServerRefused as error:
                return Outcome(Event.DONE, f"the server kept the previous release: {error}")
        return Outcome(Event.DONE)

    def rollback(self) -> Outcome:
        """Serve the previous release again, from now and from the next start on."""
        pending = self._pending()
        release, previous = self._release(pending.slot), self._previous(pending)
        try:
            outcome = self._serve_again(release, previous)
        except ControlFault:
            # The server is away. It starts with what `active` points at, so that comes first.
            outcome = self._later()
        self._reach("rollback:served")
        self._slots.mark(pending.slot, "bad", self._cursor.now.reason)
        self._reach("rollback:marked")
        if pending.previous is not None:
            self._slots.activate(pending.previous)
        else:
            self._slots.deactivate()
        return outcome

    def _serve_again(self, release: Release | None, previous: Release | None) -> Outcome:
        try:
            if previous is not None:
                self._switching.load(previous)
                self._switching.switch(previous, keep_previous=False)
            if release is not None:
                self._switching.unload(release)
        except ServerRefused as error:
            why = f"{self._cursor.now.reason}; and the server refused to go back: {error}"
            return Outcome(Event.DONE, changes={"reason": why})
        return Outcome(Event.DONE)

    def _measured(self, previous: Release) -> bool:
        """Whether the previous release's latency is known; starts measuring when it is not."""
        now = self._monotonic()
        if self._baseline_until is None:
            found = self._switching.figures(previous, reset=True)
            if found is None or self._pace.baseline_s <= 0:
                self._cursor.change(baseline_done=True)
                return True
            self._baseline_until = now + self._pace.baseline_s
            return False
        if now < self._baseline_until:
            return False
        self._baseline_until = None
        found = self._switching.figures(previous)
        enough = found is not None and found.requests >= MIN_BASELINE_REQUESTS
        median = found.latency_ms_p50 if found is not None and enough else None
        self._cursor.change(baseline_ms_p50=median, baseline_done=True)
        return True

    def _not_serving(self, release: Release) -> Outcome:
        if self._switching.active(release.model) is not None:
            return Outcome(Event.BREACHED, "the server did not come up with it and went back")
        return self._server_away()

    def _server_away(self) -> Outcome:
        now = self._monotonic()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > self._pace.away_s:
            return Outcome(
                Event.BREACHED, f"the server was away for {now - self._away_since:.0f} s with it"
            )
        return self._later()

    def _elapsed_s(self, watch: Watch) -> float:
        """Seconds of probation: by this process's clock, plus what earlier runs noted.

        The wall clock may have jumped over a restart, so it counts only within the policy.
        """
        now = self._monotonic()
        if self._probation_began is None:
            passed = (self._now() - watch.started).total_seconds()
            whole = (watch.deadline - watch.started).total_seconds()
            self._probation_began = now - min(max(passed, 0.0), whole)
        return now - self._probation_began

    def _later(self) -> Outcome:
        return Outcome(Event.RETRY, wait_s=self._pace.poll_s)

    def _release(self, slot: SlotName) -> Release | None:
        record, generation = self._slots.record(slot), self._slots.generation(slot)
        if record is None or generation is None:
            return None
        return Release(record.installed.model, generation, self._slots.folder(slot))

    def _previous(self, pending: Pending) -> Release | None:
        return self._release(pending.previous) if pending.previous is not None else None

    def _pending(self) -> Pending:
        pending = self._cursor.now.pending
        if pending is None:
            raise ValueError(f"update.json: state {self._cursor.now.state} without a release")
        return pending

    def _watch(self) -> Watch:
        watch = self._cursor.now.watch
        if watch is None:
            raise ValueError("update.json: probation without a watch")
        return watch
