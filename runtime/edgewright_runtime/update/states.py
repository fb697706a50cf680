"""The whole life of an update: one table from (state, event) to the next state.

Read a row as a state: what may happen there, and where it leads. `_` marks a pair that
cannot happen. The state is on disk before anything is done in it, and what is done in a
state may be done again, so after a power cut the device goes on from the same row.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from edgewright_manifests.messages import UpdateState

from edgewright_runtime.errors import RuntimeFault


class Event(StrEnum):
    """What can happen to an update, in the order of the table's columns."""

    ASSIGNED = "assigned"
    """The director has an assignment that is newer than the one the state is about."""
    NOTHING = "nothing"
    """There was no new assignment, or it names what is already active: nothing to install."""
    DONE = "done"
    """The state's work is done and what it asks for holds."""
    RETRY = "retry"
    """The work could not be done now (network, server away); again after a pause."""
    REFUSED = "refused"
    """The work showed that this release must not be installed, or cannot be."""
    BREACHED = "breached"
    """The new release serves, and serves badly (or never came to serve)."""


class ImpossibleEvent(RuntimeFault):
    """A pair that the table excludes; a defect of the update engine."""


IDLE: Final = UpdateState.IDLE
METADATA: Final = UpdateState.METADATA
DOWNLOAD: Final = UpdateState.DOWNLOAD
STAGE: Final = UpdateState.STAGE
PREFLIGHT: Final = UpdateState.PREFLIGHT
SHADOW: Final = UpdateState.SHADOW
SWITCH: Final = UpdateState.SWITCH
PROBATION: Final = UpdateState.PROBATION
COMMIT: Final = UpdateState.COMMIT
ROLLBACK: Final = UpdateState.ROLLBACK
FAILED: Final = UpdateState.FAILED
_: Final = None

# From SWITCH on an update is finished, one way or the other, before the next one begins:
# there ASSIGNED leads nowhere new, and the newer assignment is taken up at rest.
# SHADOW is a word of the protocol that this runtime does not enter yet.
# fmt: off
_TABLE: Final[Mapping[UpdateState, tuple[UpdateState | None, ...]]] = MappingProxyType({
    #           ASSIGNED   NOTHING  DONE       RETRY      REFUSED   BREACHED
    IDLE:      (METADATA,  _,       _,         _,         _,        _),
    METADATA:  (METADATA,  IDLE,    DOWNLOAD,  METADATA,  FAILED,   _),
    DOWNLOAD:  (METADATA,  _,       STAGE,     DOWNLOAD,  FAILED,   _),
    STAGE:     (METADATA,  _,       PREFLIGHT, STAGE,     FAILED,   _),
    PREFLIGHT: (METADATA,  _,       SWITCH,    PREFLIGHT, FAILED,   _),
    SHADOW:    (_,         _,       _,         _,         _,        _),
    SWITCH:    (SWITCH,    _,       PROBATION, SWITCH,    _,        ROLLBACK),
    PROBATION: (PROBATION, _,       COMMIT,    PROBATION, _,        ROLLBACK),
    COMMIT:    (COMMIT,    _,       IDLE,      COMMIT,    _,        _),
    ROLLBACK:  (ROLLBACK,  _,       FAILED,    ROLLBACK,  _,        _),
    FAILED:    (METADATA,  _,       _,         _,         _,        _),
})
# fmt: on

RESTING: Final = frozenset({IDLE, FAILED})
"""States with no work in them."""
SUPERSEDABLE: Final = frozenset({METADATA, DOWNLOAD, STAGE, PREFLIGHT})
"""States that a newer assignment ends: the active slot is not touched yet."""


def next_state(state: UpdateState, event: Event) -> UpdateState:
    """Where `event` leads from `state`. Raises ImpossibleEvent for a pair the table excludes."""
    found = _TABLE[state][tuple(Event).index(event)]
    if found is None:
        raise ImpossibleEvent(f"update: event {event!r} cannot happen in state {state!r}")
    return found


def possible(state: UpdateState, event: Event) -> bool:
    """Whether the table gives the pair a next state."""
    return _TABLE[state][tuple(Event).index(event)] is not None
