"""The rules of a rollout: who is next, when to wait, when to stop. No I/O, no clock.

One tick is `observe` (what became of the devices), `decide` (what follows), `apply` (the
new state, to be saved before anything is done), then `orders` (what the director is to
sign, found again from the saved state after a crash).
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from edgewright_fleet.errors import UnprocessableError
from edgewright_fleet.rollouts import transitions, wording
from edgewright_fleet.rollouts.model import (
    AssignmentOrder,
    Member,
    Outcome,
    Restore,
    Rollout,
    RolloutDevice,
    RolloutPolicy,
    RolloutState,
    RolloutStatus,
)
from edgewright_fleet.rollouts.order import device_order, phase_sizes
from edgewright_fleet.rollouts.outcomes import observe_device, restore_key, update_key


class Verdict(StrEnum):
    """What a tick decides for the rollout as a whole."""

    HOLD = "hold"
    ADVANCE = "advance"
    """Assign the devices of a phase, or go on to the next one."""
    HALT = "halt"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to follow. `assign` and `restore` name devices, in the rollout's order."""

    verdict: Verdict
    reason: str
    phase: int
    assign: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()


def check_policy(policy: RolloutPolicy) -> None:
    """Raises UnprocessableError for a policy under which no device could ever commit."""
    if policy.device_timeout_s <= policy.probation.duration_s:
        raise UnprocessableError(
            f"policy: device_timeout_s ({policy.device_timeout_s:g}) leaves no time for a "
            f"probation of {policy.probation.duration_s:g} s; "
            "raise the one or lower the other"
        )


def plan(rollout: Rollout, members: Sequence[Member]) -> tuple[RolloutDevice, ...]:
    """Every member with its place in the order; the ineligible have none (-1)."""
    able = [(member.device, member.stratum) for member in members if member.ineligible is None]
    position = {device: index for index, device in enumerate(device_order(rollout.id, able))}
    return tuple(
        RolloutDevice(
            rollout=rollout.id,
            device=member.device,
            stratum=member.stratum,
            position=position.get(member.device, -1),
            outcome=Outcome.INELIGIBLE if member.ineligible else Outcome.PENDING,
            reason=member.ineligible,
        )
        for member in sorted(members, key=lambda m: position.get(m.device, len(position)))
    )


def observe(
    rollout: Rollout,
    devices: Sequence[RolloutDevice],
    members: Sequence[Member],
    now: datetime.datetime,
) -> tuple[RolloutDevice, ...]:
    """The devices as they are now, with those that joined meanwhile at the end of the order."""
    by_name = {member.device: member for member in members}
    seen = [
        observe_device(rollout, device, by_name[device.device], now)
        if device.device in by_name
        else device
        for device in devices
    ]
    if rollout.state.final:
        return tuple(seen)
    known = {device.device for device in seen}
    newcomers = [member for member in members if member.device not in known]
    seen += [
        RolloutDevice(
            rollout=rollout.id,
            device=member.device,
            stratum=member.stratum,
            position=-1,
            late=True,
            outcome=Outcome.INELIGIBLE if member.ineligible else Outcome.PENDING,
            reason=member.ineligible,
        )
        for member in newcomers
    ]
    return _place_latecomers(rollout, seen)


def decide(rollout: Rollout, devices: Sequence[RolloutDevice], now: datetime.datetime) -> Decision:
    """What follows from the devices' outcomes, one step at a time.

    ADVANCE is to be applied and decided upon again; HOLD waits for a report or the clock.
    """
    ordered = sorted((d for d in devices if d.position >= 0), key=lambda d: d.position)
    failed = [device for device in ordered if counts_as_failure(rollout.policy, device)]
    if rollout.state.final:
        restore = transitions.to_restore(rollout, ordered)
        return Decision(Verdict.HOLD, rollout.reason, rollout.phase, restore=restore)
    if len(failed) > rollout.policy.max_failures:
        return _halt(rollout, ordered, wording.failures(failed, rollout.policy.max_failures))
    restore = tuple(d.device for d in failed if d.wanted and d.restore is Restore.NONE)
    if rollout.state is not RolloutState.RUNNING:
        return Decision(Verdict.HOLD, rollout.reason, rollout.phase, restore=restore)

    sizes = sizes_of(rollout, ordered)
    reached = ordered[: sizes[rollout.phase]]
    assign = tuple(d.device for d in reached if d.outcome is Outcome.PENDING and not d.wanted)
    if assign:
        reason = wording.assigning(rollout, assign, len(reached), len(ordered))
        return Decision(Verdict.ADVANCE, reason, rollout.phase, assign, restore)
    unsettled = [device for device in reached if not device.outcome.settled]
    if unsettled:
        reason = wording.waiting(rollout, unsettled, len(reached), now)
        return Decision(Verdict.HOLD, reason, rollout.phase, restore=restore)
    return _finish_phase(rollout, ordered, sizes, restore, now)


def apply(
    rollout: Rollout,
    devices: Sequence[RolloutDevice],
    decision: Decision,
    members: Mapping[str, Member],
    now: datetime.datetime,
) -> tuple[Rollout, tuple[RolloutDevice, ...]]:
    """The rollout and its devices after the decision; save them before `orders` are given."""
    if decision.verdict is Verdict.HALT:
        rollout = transitions.end(rollout, RolloutState.HALTED, decision.reason, now)
    elif decision.verdict is Verdict.COMPLETE:
        rollout = transitions.end(rollout, RolloutState.COMPLETE, decision.reason, now)
    elif decision.verdict is Verdict.ADVANCE:
        started = now if decision.phase != rollout.phase else rollout.phase_started_at or now
        rollout = msgspec.structs.replace(
            rollout, phase=decision.phase, phase_started_at=started, reason=decision.reason
        )
    elif rollout.state is RolloutState.RUNNING:
        rollout = msgspec.structs.replace(rollout, reason=decision.reason)
    assign, restore = set(decision.assign), set(decision.restore)
    changed: list[RolloutDevice] = []
    for device in devices:
        if device.device in assign:
            member = members.get(device.device)
            device = msgspec.structs.replace(
                device, wanted=True, previous=member.assigned if member else None
            )
        if device.device in restore:
            device = msgspec.structs.replace(device, restore=Restore.WANTED)
        changed.append(transitions.withdraw(device, rollout, now))
    return rollout, tuple(changed)


def orders(rollout: Rollout, devices: Sequence[RolloutDevice]) -> tuple[AssignmentOrder, ...]:
    """What the director is still to sign for this saved state; asking twice does no harm."""
    found: list[AssignmentOrder] = []
    for device in devices:
        if device.restore is Restore.WANTED:
            found.append(_restore_order(rollout, device))
        elif (
            rollout.state is RolloutState.RUNNING
            and device.wanted
            and device.assignment is None
            and not device.outcome.settled
        ):
            found.append(
                AssignmentOrder(
                    key=update_key(rollout.id, device.device),
                    device=device.device,
                    model=rollout.model,
                    version=rollout.version,
                    variant=None,
                    rollout=rollout.id,
                    rollback=rollout.policy.allow_older,
                    probation=rollout.policy.probation,
                    transport=rollout.policy.transport,
                )
            )
    return tuple(found)


def status(
    rollout: Rollout, devices: Sequence[RolloutDevice], now: datetime.datetime
) -> RolloutStatus:
    """The rollout as people want to see it, with the reason as of `now`."""
    ordered = sorted(devices, key=lambda d: (d.position < 0, d.position, d.device))
    if rollout.state is RolloutState.RUNNING:
        rollout = msgspec.structs.replace(rollout, reason=decide(rollout, ordered, now).reason)
    counts = {outcome: sum(d.outcome is outcome for d in ordered) for outcome in Outcome}
    return RolloutStatus(
        rollout=rollout,
        devices=tuple(ordered),
        counts={outcome: count for outcome, count in counts.items() if count},
        phase_sizes=sizes_of(rollout, ordered),
    )


def sizes_of(rollout: Rollout, devices: Sequence[RolloutDevice]) -> tuple[int, ...]:
    """How many devices each phase reaches, earlier phases included."""
    placed = [device for device in devices if device.position >= 0]
    late = sum(device.late for device in placed)
    return phase_sizes(rollout.phases, len(placed) - late, late)


def counts_as_failure(policy: RolloutPolicy, device: RolloutDevice) -> bool:
    """Whether the device counts towards `max_failures`."""
    if device.outcome is Outcome.TIMED_OUT:
        return policy.timeout_is_failure if device.online else policy.offline_is_failure
    return device.outcome in (Outcome.REFUSED, Outcome.ROLLED_BACK, Outcome.FAILED)


def _finish_phase(
    rollout: Rollout,
    ordered: Sequence[RolloutDevice],
    sizes: Sequence[int],
    restore: tuple[str, ...],
    now: datetime.datetime,
) -> Decision:
    size = sizes[rollout.phase]
    fresh = ordered[sizes[rollout.phase - 1] if rollout.phase else 0 : size]
    last = rollout.phase == len(rollout.phases) - 1
    if not _proven(fresh, ordered[:size], last):
        return _halt(rollout, ordered, wording.nothing_proven(rollout, fresh))
    soak_s = rollout.phases[rollout.phase].soak_s
    settled = [d.settled_at for d in fresh if d.settled_at is not None]
    if settled and soak_s > 0:
        left_s = soak_s - (now - max(settled)).total_seconds()
        if left_s > 0:
            return Decision(
                Verdict.HOLD, wording.soaking(rollout, left_s), rollout.phase, restore=restore
            )
    if last:
        return Decision(
            Verdict.COMPLETE, wording.complete(rollout, ordered), rollout.phase, restore=restore
        )
    reached = ordered[: sizes[rollout.phase + 1]]
    assign = tuple(d.device for d in reached if d.outcome is Outcome.PENDING and not d.wanted)
    following = msgspec.structs.replace(rollout, phase=rollout.phase + 1)
    reason = wording.assigning(following, assign, len(reached), len(ordered))
    return Decision(Verdict.ADVANCE, reason, following.phase, assign, restore)


def _proven(fresh: Sequence[RolloutDevice], reached: Sequence[RolloutDevice], last: bool) -> bool:
    """Whether the phase showed that the release works: somebody committed.

    A canary that never came online proves nothing, so nobody follows it. In the last phase
    nobody is left to follow, and an earlier phase's proof is enough.
    """
    able = [device for device in fresh if device.outcome is not Outcome.INELIGIBLE]
    if any(device.outcome is Outcome.COMMITTED for device in able) or not reached:
        return True
    before = any(device.outcome is Outcome.COMMITTED for device in reached)
    return before and (last or not able)


def _halt(rollout: Rollout, ordered: Sequence[RolloutDevice], reason: str) -> Decision:
    ended = transitions.end(rollout, RolloutState.HALTED, reason, rollout.created_at)
    return Decision(
        Verdict.HALT, reason, rollout.phase, restore=transitions.to_restore(ended, ordered)
    )


def _place_latecomers(
    rollout: Rollout, devices: Sequence[RolloutDevice]
) -> tuple[RolloutDevice, ...]:
    waiting = [d for d in devices if d.position < 0 and d.outcome is not Outcome.INELIGIBLE]
    if not waiting:
        return tuple(devices)
    following = max((d.position for d in devices), default=-1) + 1
    order = device_order(rollout.id, [(d.device, d.stratum) for d in waiting])
    position = {device: following + index for index, device in enumerate(order)}
    return tuple(
        msgspec.structs.replace(d, position=position[d.device], late=True)
        if d.device in position
        else d
        for d in devices
    )


def _restore_order(rollout: Rollout, device: RolloutDevice) -> AssignmentOrder:
    previous = device.previous
    return AssignmentOrder(
        key=restore_key(rollout.id, device.device),
        device=device.device,
        model=rollout.model,
        version=previous.version if previous else None,
        variant=previous.variant if previous else None,
        rollout=rollout.id,
        rollback=True,
        probation=rollout.policy.probation,
        transport=rollout.policy.transport,
    )
