"""What a device's reports and events say about its part in a rollout. No I/O, no clock."""

import datetime

import msgspec
from edgewright_manifests.messages import Event, UpdateState

from edgewright_fleet.rollouts.model import (
    Member,
    Outcome,
    Restore,
    Rollout,
    RolloutDevice,
)

_FINAL = (
    Outcome.COMMITTED,
    Outcome.REFUSED,
    Outcome.ROLLED_BACK,
    Outcome.FAILED,
    Outcome.WITHDRAWN,
)
"""A device leaves these only by another rollout. A late device may still commit after
`timed_out`, and an ineligible one may become eligible before its turn."""

_FAILURES = (Outcome.REFUSED, Outcome.ROLLED_BACK, Outcome.FAILED)
EXPLAIN_S = 3.0
"""How long a report of a failure waits for the event that says where it happened."""
_BAD_STATES = (UpdateState.FAILED, UpdateState.ROLLBACK)
_BEFORE_SWITCH = frozenset(
    {UpdateState.METADATA, UpdateState.DOWNLOAD, UpdateState.STAGE, UpdateState.PREFLIGHT}
)
_AFTER_SWITCH = frozenset({UpdateState.SWITCH, UpdateState.PROBATION, UpdateState.ROLLBACK})


def update_key(rollout_id: str, device: str) -> str:
    """The key of the order that gives the device the rollout's release."""
    return f"{rollout_id}/{device}/update"


def restore_key(rollout_id: str, device: str) -> str:
    """The key of the order that gives the device its previous release back."""
    return f"{rollout_id}/{device}/restore"


def observe_device(
    rollout: Rollout, device: RolloutDevice, member: Member, now: datetime.datetime
) -> RolloutDevice:
    """The device as it is now, from what the fleet knows of it.

    Gives `device` itself when nothing changed.
    """
    device = _adopt_assignments(device, member, now)
    if device.restore is not Restore.NONE:
        return _observe_restore(device, member)
    if device.outcome in _FINAL or rollout.state.final:
        return device
    if device.outcome is Outcome.INELIGIBLE and device.wanted:
        return device
    if member.ineligible is not None:
        return _settle(device, Outcome.INELIGIBLE, member.ineligible, now)
    if not device.wanted:
        return _observe_waiting(rollout, device, member, now)
    if device.assignment is None:
        return device
    return _observe_assigned(rollout, device, member, now)


def _adopt_assignments(
    device: RolloutDevice, member: Member, now: datetime.datetime
) -> RolloutDevice:
    # A crash after the director signed and before the driver noted it: the key tells.
    assigned = member.assigned
    if assigned is None:
        return device
    if (
        device.wanted
        and device.assignment is None
        and assigned.key == update_key(device.rollout, device.device)
    ):
        return msgspec.structs.replace(device, assignment=assigned.number, assigned_at=now)
    if device.restore is Restore.WANTED and assigned.key == restore_key(
        device.rollout, device.device
    ):
        return msgspec.structs.replace(
            device, restore=Restore.ASSIGNED, restore_assignment=assigned.number
        )
    return device


def _observe_restore(device: RolloutDevice, member: Member) -> RolloutDevice:
    key = member.assigned.key if member.assigned else None
    if device.restore is Restore.WANTED:
        if key != update_key(device.rollout, device.device):
            return msgspec.structs.replace(device, restore=Restore.SUPERSEDED)
        return device
    if device.restore is not Restore.ASSIGNED:
        return device
    if key != restore_key(device.rollout, device.device):
        return msgspec.structs.replace(device, restore=Restore.SUPERSEDED)
    previous = device.previous.version if device.previous else None
    report = member.report
    if previous is None or (
        report is not None
        and report.assignment >= (device.restore_assignment or 0)
        and report.state in (UpdateState.IDLE, UpdateState.COMMIT)
        and report.active is not None
        and report.active.version == previous
    ):
        return msgspec.structs.replace(device, restore=Restore.DONE)
    return device


def _observe_waiting(
    rollout: Rollout, device: RolloutDevice, member: Member, now: datetime.datetime
) -> RolloutDevice:
    active = member.report.active if member.report else None
    if (
        active is not None
        and (active.model, active.version) == (rollout.model, rollout.version)
        and member.assigned is not None
        and member.assigned.version == rollout.version
        and member.report is not None
        and member.report.state is UpdateState.IDLE
    ):
        return _settle(device, Outcome.COMMITTED, "had it already", now)
    if device.outcome is Outcome.INELIGIBLE:
        # Eligible again; a device without a place in the order gets one in rules.observe.
        return msgspec.structs.replace(
            device, outcome=Outcome.PENDING, reason=None, settled_at=None
        )
    return device


def _observe_assigned(
    rollout: Rollout, device: RolloutDevice, member: Member, now: datetime.datetime
) -> RolloutDevice:
    if member.assigned is None or member.assigned.key != update_key(rollout.id, device.device):
        number = member.assigned.number if member.assigned else "none"
        return _settle(device, Outcome.WITHDRAWN, f"assignment {number} took its place", now)
    outcome, reason, step = _heard(rollout, device, member)
    if outcome is Outcome.IN_PROGRESS and step is not None and step is not device.step:
        device = msgspec.structs.replace(device, step=step, step_since=now)
    if outcome in _FAILURES and not _explained(device, member):
        failing_since = device.failing_since or now
        if (now - failing_since).total_seconds() < EXPLAIN_S:
            return msgspec.structs.replace(device, failing_since=failing_since)
    if outcome is not Outcome.IN_PROGRESS:
        settled = msgspec.structs.replace(device, step=step or device.step)
        return _settle(settled, outcome, reason, now)
    if device.outcome is Outcome.TIMED_OUT:
        return device
    device = msgspec.structs.replace(
        device,
        online=member.online,
        outcome=Outcome.IN_PROGRESS if member.online else Outcome.OFFLINE,
    )
    waited_s = (now - (device.assigned_at or now)).total_seconds()
    limit_s = rollout.policy.device_timeout_s
    if waited_s < limit_s:
        return device
    reason = (
        f"still in {device.step or 'its queue'} after {limit_s:g} s"
        if member.online
        else f"offline when its {limit_s:g} s were up"
    )
    return _settle(device, Outcome.TIMED_OUT, reason, now)


def _heard(
    rollout: Rollout, device: RolloutDevice, member: Member
) -> tuple[Outcome, str | None, UpdateState | None]:
    """Outcome, the device's words, and the step it is in (or failed in)."""
    events = [event for event in member.events if event.assignment == device.assignment]
    report = member.report
    if report is not None and report.assignment >= (device.assignment or 0):
        active = report.active
        has_it = active is not None and (active.model, active.version) == (
            rollout.model,
            rollout.version,
        )
        if has_it and report.state in (UpdateState.IDLE, UpdateState.COMMIT):
            return Outcome.COMMITTED, None, UpdateState.COMMIT
    if report is not None and report.assignment == device.assignment:
        if report.state in _BAD_STATES or (
            report.state is UpdateState.IDLE and report.reason is not None
        ):
            return _kind_of_failure(device, events, report.state, report.reason)
        if report.state is not UpdateState.IDLE:
            return Outcome.IN_PROGRESS, None, report.state
    # The retained report is behind the events, or is the quiet moment before the start.
    if not events:
        return Outcome.IN_PROGRESS, None, None
    last = events[-1]
    if any(e.state is UpdateState.COMMIT and e.outcome == "done" for e in events):
        return Outcome.COMMITTED, None, UpdateState.COMMIT
    if last.outcome == "refused" or last.state in _BAD_STATES:
        return _kind_of_failure(device, events, last.state, last.detail)
    return Outcome.IN_PROGRESS, None, last.state


def _explained(device: RolloutDevice, member: Member) -> bool:
    """Whether the event that says where it failed is here; it goes another way than the report."""
    return any(
        event.assignment == device.assignment and event.outcome in ("refused", "failed")
        for event in member.events
    )


def _kind_of_failure(
    device: RolloutDevice, events: list[Event], state: UpdateState, words: str | None
) -> tuple[Outcome, str | None, UpdateState]:
    # `failed` is where both ends meet; what was heard before tells them apart.
    cause = next((e for e in events if e.outcome in ("refused", "failed")), None)
    if words is None and cause is not None:
        words = cause.detail
    seen = {state, device.step, *(event.state for event in events)}
    if seen & _AFTER_SWITCH:
        outcome = Outcome.ROLLED_BACK
    elif (cause is not None and cause.outcome == "refused") or seen & _BEFORE_SWITCH:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.FAILED
    step = cause.state if cause is not None else (device.step or state)
    return outcome, words, step


def _settle(
    device: RolloutDevice, outcome: Outcome, reason: str | None, now: datetime.datetime
) -> RolloutDevice:
    if device.outcome is outcome:
        return device
    return msgspec.structs.replace(device, outcome=outcome, reason=reason, settled_at=now)
