"""The update engine: takes one step at a time and knows, after any crash, which one is next.

`advance` does the work of the state that is on disk, takes the event that came of it,
looks up the next state in the table (states.py), writes that down, and only then is
anything done in the new state. It blocks and belongs to one thread; `ring` and `stop`
may be called from any other.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from edgewright_manifests.errors import TrustError
from edgewright_manifests.messages import UpdateState

from edgewright_runtime.source import SourceRefused, SourceUnreachable
from edgewright_runtime.update.backoff import Backoff
from edgewright_runtime.update.cursor import Cursor, CursorFile
from edgewright_runtime.update.faults import Reach, pass_by
from edgewright_runtime.update.outcome import Outcome
from edgewright_runtime.update.states import RESTING, SUPERSEDABLE, Event, next_state, possible
from edgewright_runtime.update.steps import Steps

_LOG = logging.getLogger(__name__)


MAX_DISK_TRIES = 5


class Milestone(NamedTuple):
    """One line of an update's history, to report."""

    cursor: Cursor
    state: UpdateState
    outcome: Literal["entered", "done", "refused", "failed"]
    detail: str | None
    duration_s: float | None


_OUTCOMES: dict[Event, Literal["done", "refused", "failed"]] = {
    Event.DONE: "done",
    Event.NOTHING: "done",
    Event.REFUSED: "refused",
    Event.BREACHED: "failed",
}


class UpdateEngine:
    """One device's updates."""

    def __init__(
        self,
        cursor: CursorFile,
        steps: Steps,
        *,
        poll_s: float,
        report: Callable[[Milestone], None],
        backoff: Backoff,
        reach: Reach = pass_by,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cursor = cursor
        self._steps = steps
        self._poll_s = poll_s
        self._report = report
        self._backoff = backoff
        self._reach = reach
        self._monotonic = monotonic
        self._rung = threading.Event()
        self._stopping = threading.Event()
        self._next_look = 0.0
        self._entered = monotonic()
        self._complaint = ""
        steps.resume(self.interrupted)
        if cursor.now.assignment:
            # Told again, should the last telling have been cut off; the fleet stores it once.
            self._tell(cursor.now, cursor.now.state, "entered", cursor.now.reason, None)

    def ring(self, generation: int) -> None:
        """The doorbell: somebody says that the director has assignment `generation`."""
        here = self._cursor.now
        known = here.settled if here.state in RESTING else here.assignment
        if generation > known:
            self._rung.set()

    def stop(self) -> None:
        """Let the step that is running end at its next safe place."""
        self._stopping.set()

    def interrupted(self) -> bool:
        """Whether the running step should end early."""
        return self._stopping.is_set() or self._rung.is_set()

    def advance(self) -> float:
        """Take the next step; gives the seconds to wait before the one after it."""
        state = self._cursor.now.state
        if self._rung.is_set() or (state in RESTING and self._monotonic() >= self._next_look):
            wait = self._look()
            if wait is not None or self._cursor.now.state in RESTING:
                return max(0.0, self._next_look - self._monotonic()) if wait is None else wait
            state = self._cursor.now.state
        if state in RESTING:
            return max(0.0, self._next_look - self._monotonic())
        self._reach(f"{state}:before")
        try:
            outcome = self._steps.take(state)
        except OSError as error:
            outcome = self._disk_failed(state, error)
        if outcome is None:
            return 0.0  # interrupted; the state stands
        self._reach(f"{state}:after")
        if outcome.event is Event.RETRY:
            self._cursor.change(**outcome.changes)
            return outcome.wait_s
        self._transit(outcome)
        return 0.0

    def abandon(self, reason: str) -> None:
        """End an update that cannot go on for a defect of ours: safely, where it still can."""
        state = self._cursor.now.state
        for event in (Event.REFUSED, Event.BREACHED):
            if possible(state, event):
                self._transit(Outcome(event, reason))
                return

    def _look(self) -> float | None:
        """Ask the director for its newest assignment; seconds to wait when it cannot be asked."""
        here = self._cursor.now
        rung = self._rung.is_set()
        self._rung.clear()
        if here.state not in RESTING and here.state not in SUPERSEDABLE:
            return None  # looked at again at rest, which always follows
        self._next_look = self._monotonic() + self._poll_s
        try:
            newest = self._steps.newest_assignment()
        except SourceUnreachable as error:
            _LOG.debug("director not reachable: %s", error)
            if here.state in RESTING and rung:
                # The bell rang, so there is something to fetch: sooner than the next poll.
                self._next_look = self._monotonic() + self._backoff.next_s()
            return None
        except (TrustError, SourceRefused) as error:
            if here.state in RESTING and str(error) != self._complaint:
                # Taken up as an update, so that it ends where people see it: failed, and why.
                self._complaint = str(error)
                self._transit(Outcome(Event.ASSIGNED))
            return None
        self._complaint = ""
        self._backoff.reset()
        floor = here.settled if here.state in RESTING else here.assignment
        if newest > floor:
            self._transit(Outcome(Event.ASSIGNED, changes={"assignment": newest}))
        return None

    def _disk_failed(self, state: UpdateState, error: OSError) -> Outcome:
        """A full or failing disk: tried again, and before the switch given up in the end."""
        _LOG.error("update %s: %s", state, error)
        if state in SUPERSEDABLE and self._backoff.tries >= MAX_DISK_TRIES:
            return Outcome(Event.REFUSED, f"the disk fails: {error}; free some space or replace it")
        return Outcome(Event.RETRY, wait_s=self._backoff.next_s())

    def _transit(self, outcome: Outcome) -> None:
        here = self._cursor.now
        there = next_state(here.state, outcome.event)
        now = self._monotonic()
        changes: dict[str, object] = dict(outcome.changes)
        if outcome.event is Event.ASSIGNED:
            changes |= {"pending": None, "watch": None, "reason": None}
            changes |= {"baseline_ms_p50": None, "baseline_done": False, "tries": 0}
        elif outcome.event in (Event.REFUSED, Event.BREACHED):
            changes["reason"] = outcome.reason
        if there in RESTING and outcome.settles:
            changes["settled"] = max(here.settled, self._number(changes))
        kind = _OUTCOMES.get(outcome.event)
        if kind is not None:
            self._tell(here, here.state, kind, outcome.reason, now - self._entered)
        self._cursor.change(state=there, **changes)
        self._tell(self._cursor.now, there, "entered", self._cursor.now.reason, None)
        self._entered = now
        self._backoff.reset()
        if there in RESTING:
            # A newer assignment may have come meanwhile; a broken repository can wait.
            self._next_look = now + (0.0 if outcome.settles else self._poll_s)
            self._steps.tidy()

    def _number(self, changes: dict[str, object]) -> int:
        number = changes.get("assignment", self._cursor.now.assignment)
        return number if isinstance(number, int) else 0

    def _tell(
        self,
        cursor: Cursor,
        state: UpdateState,
        outcome: Literal["entered", "done", "refused", "failed"],
        detail: str | None,
        duration_s: float | None,
    ) -> None:
        level = logging.WARNING if outcome in ("refused", "failed") else logging.INFO
        _LOG.log(level, "update %s %s", state, outcome + (f": {detail}" if detail else ""))
        self._report(Milestone(cursor, state, outcome, detail, duration_s))
