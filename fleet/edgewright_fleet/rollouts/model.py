"""What a rollout is: its phases and policy, and how far each of its devices has come.

All are documents, so that a store can keep each as one JSON text.
"""

import datetime
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from edgewright_manifests.documents import Document
from edgewright_manifests.messages import Event, UpdateState, VersionReport
from edgewright_manifests.release import ProbationPolicy, Transport


class RolloutState(StrEnum):
    """Where a rollout is. `halted`, `complete` and `aborted` are final."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    COMPLETE = "complete"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Whether nothing is assigned any more; what comes next is another rollout."""
        return self in (RolloutState.HALTED, RolloutState.COMPLETE, RolloutState.ABORTED)


class Outcome(StrEnum):
    """What became of one device in one rollout, one word each."""

    PENDING = "pending"
    """Its turn has not come."""
    IN_PROGRESS = "in_progress"
    OFFLINE = "offline"
    """Assigned, not connected, and its time is not up."""
    COMMITTED = "committed"
    REFUSED = "refused"
    """Turned down before its slot in use was touched (metadata, download, preflight)."""
    ROLLED_BACK = "rolled_back"
    """Switched to it and went back by itself."""
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INELIGIBLE = "ineligible"
    """Cannot run the release at all (no variant for its profile, revoked)."""
    WITHDRAWN = "withdrawn"
    """The rollout ended before the device had committed."""

    @property
    def settled(self) -> bool:
        """Whether a phase need not wait for the device any more."""
        return self not in (Outcome.PENDING, Outcome.IN_PROGRESS, Outcome.OFFLINE)


class Phase(Document, frozen=True):
    """How many devices have the release when the phase is done, earlier phases included.

    Exactly one of `count` and `percent` is set.
    """

    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    percent: Annotated[float, msgspec.Meta(gt=0, le=100)] | None = None
    """Of the group's eligible devices, rounded up to whole devices."""
    soak_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """How long to watch after the phase's last device has settled."""


class RolloutPolicy(Document, frozen=True):
    """When a device may keep the release, and when the rollout stops."""

    probation: ProbationPolicy = ProbationPolicy()
    max_failures: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Failed devices that the rollout puts up with; one more halts it."""
    device_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 900.0
    """From a device's assignment to its commit; probation's slow case (5 x duration) fits in."""
    timeout_is_failure: bool = True
    """Whether a connected device that does not settle in time counts as failed."""
    offline_is_failure: bool = False
    """Whether a device that is not connected when its time is up counts as failed."""
    on_failure: Literal["restore", "rollback"] = "restore"
    """On a halt: `restore` gives only the devices that did not commit their previous
    release back; `rollback` also those that committed in this rollout."""
    allow_older: bool = False
    """Whether devices may take a release that is older than the one they have."""
    transport: Transport = "https"


class Rollout(Document, frozen=True):
    """One rollout of one release to one group."""

    id: str
    model: str
    version: str
    group: str
    phases: tuple[Phase, ...]
    created_by: str
    created_at: datetime.datetime
    policy: RolloutPolicy = RolloutPolicy()
    state: RolloutState = RolloutState.PLANNED
    phase: int = 0
    """Index of the phase that is under way."""
    reason: str = ""
    """Why it is where it is, for people: what it waits for, or why it halted."""
    rollback: bool = False
    """Set when it ended with devices that had committed being taken back too."""
    phase_started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    revision: int = 0
    """Rises with every save; a store refuses to write over a revision it does not expect."""


class Assigned(Document, frozen=True):
    """The newest thing that the director assigned to a device for the rollout's model."""

    number: int
    """The director's assignment number of this device."""
    version: str | None
    """None: the director withdrew what it had assigned."""
    variant: str | None = None
    rollout: str | None = None
    key: str | None = None
    """The key of the AssignmentOrder that made it."""


class Member(Document, frozen=True):
    """What the fleet knows now about one device of a rollout's group."""

    device: str
    stratum: str
    """Its class of hardware (the profile's name); phases take some of each."""
    online: bool
    ineligible: str | None = None
    """Why it can't run the release at all; None when it can."""
    assigned: Assigned | None = None
    report: VersionReport | None = None
    """The last version report that was accepted."""
    events: tuple[Event, ...] = ()
    """Its events about the rollout's assignment (`RolloutDevice.assignment`), oldest first."""


class Restore(StrEnum):
    """Whether a device gets its previous release back."""

    NONE = "none"
    WANTED = "wanted"
    ASSIGNED = "assigned"
    DONE = "done"
    SUPERSEDED = "superseded"
    """Something else was assigned to it meanwhile, which is left alone."""
    FAILED = "failed"
    """The director gives the device nothing any more: it is gone or revoked."""


class RolloutDevice(Document, frozen=True):
    """One device in one rollout; the primary key is (rollout, device)."""

    rollout: str
    device: str
    stratum: str
    position: int
    """Its place in the rollout's order, from 0; -1 while it is ineligible."""
    late: bool = False
    """Joined the group when the rollout was already running; waits for the last phase."""
    outcome: Outcome = Outcome.PENDING
    reason: str | None = None
    """The device's own words, or why it is ineligible."""
    wanted: bool = False
    """Persisted before the director is asked to assign."""
    assignment: int | None = None
    """The director's number, once it is assigned."""
    assigned_at: datetime.datetime | None = None
    previous: Assigned | None = None
    """What was assigned before; what a restore goes back to."""
    online: bool = True
    """Whether it was connected when last looked at (before it settled)."""
    step: UpdateState | None = None
    step_since: datetime.datetime | None = None
    """When the fleet first heard of that step, by the fleet's clock."""
    failing_since: datetime.datetime | None = None
    """When it first said that it had failed, while the event that says where is on its way."""
    settled_at: datetime.datetime | None = None
    restore: Restore = Restore.NONE
    restore_assignment: int | None = None


class AssignmentOrder(Document, frozen=True):
    """What the driver asks the director to sign for one device."""

    key: str
    """Same key, same assignment: asking again gives the number of the first time."""
    device: str
    model: str
    version: str | None
    """None withdraws: the device is to have no assignment of this model and keeps what it has."""
    variant: str | None
    """None: the director selects by the device's profile."""
    rollout: str
    rollback: bool
    probation: ProbationPolicy
    transport: Transport


class NewRollout(Document, frozen=True):
    """What an operator asks for (`POST /api/v1/rollouts`)."""

    model: str
    version: str
    group: str
    phases: tuple[Phase, ...] = (Phase(count=1), Phase(percent=100.0))
    policy: RolloutPolicy = RolloutPolicy()
    id: str | None = None
    change_ticket: str | None = None


class RolloutStatus(Document, frozen=True):
    """A rollout with its devices and counts, for the API, the console and `rollout status`."""

    rollout: Rollout
    devices: tuple[RolloutDevice, ...]
    counts: dict[Outcome, int]
    phase_sizes: tuple[int, ...]
    """How many devices each phase reaches, earlier phases included."""
