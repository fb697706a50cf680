"""From one state of a rollout to another, and what that means for its devices. No I/O."""

import datetime
from collections.abc import Sequence

import msgspec

from edgewright_fleet.errors import ConflictError
from edgewright_fleet.rollouts.model import (
    Outcome,
    Restore,
    Rollout,
    RolloutDevice,
    RolloutState,
)


def pause(rollout: Rollout, reason: str) -> Rollout:
    """Assign nothing more for now. Raises ConflictError unless it is running."""
    _require(rollout, "paused", RolloutState.RUNNING)
    return msgspec.structs.replace(rollout, state=RolloutState.PAUSED, reason=reason)


def resume(rollout: Rollout, reason: str) -> Rollout:
    """Go on. Raises ConflictError unless it is paused."""
    _require(rollout, "resumed", RolloutState.PAUSED)
    return msgspec.structs.replace(rollout, state=RolloutState.RUNNING, reason=reason)


def abort(
    rollout: Rollout,
    devices: Sequence[RolloutDevice],
    reason: str,
    now: datetime.datetime,
    *,
    rollback: bool,
) -> tuple[Rollout, tuple[RolloutDevice, ...]]:
    """End it; with `rollback` devices that committed in it are taken back too.

    Raises ConflictError when it has ended already.
    """
    _require(rollout, "aborted", RolloutState.PLANNED, RolloutState.RUNNING, RolloutState.PAUSED)
    ended = end(rollout, RolloutState.ABORTED, reason, now, rollback=rollback)
    restore = set(to_restore(ended, devices))
    return ended, tuple(
        withdraw(
            msgspec.structs.replace(device, restore=Restore.WANTED)
            if device.device in restore
            else device,
            ended,
            now,
        )
        for device in devices
    )


def end(
    rollout: Rollout,
    state: RolloutState,
    reason: str,
    now: datetime.datetime,
    *,
    rollback: bool | None = None,
) -> Rollout:
    """The rollout in a final state. `rollback` None: as the policy says for a halt."""
    if rollback is None:
        rollback = state is RolloutState.HALTED and rollout.policy.on_failure == "rollback"
    return msgspec.structs.replace(
        rollout, state=state, reason=reason, finished_at=now, rollback=rollback
    )


def to_restore(rollout: Rollout, devices: Sequence[RolloutDevice]) -> tuple[str, ...]:
    """Devices that an ended rollout still has to give their previous release back."""
    if rollout.state not in (RolloutState.HALTED, RolloutState.ABORTED):
        return ()
    return tuple(
        device.device
        for device in devices
        if device.wanted
        and device.restore is Restore.NONE
        and (rollout.rollback or device.outcome is not Outcome.COMMITTED)
    )


def withdraw(device: RolloutDevice, rollout: Rollout, now: datetime.datetime) -> RolloutDevice:
    """The device after its rollout ended, if it did: one under way has no part in it any more."""
    if (
        rollout.state in (RolloutState.HALTED, RolloutState.ABORTED)
        and device.wanted
        and not device.outcome.settled
    ):
        return msgspec.structs.replace(
            device,
            outcome=Outcome.WITHDRAWN,
            reason=f"the rollout was {rollout.state} before it committed",
            settled_at=now,
        )
    return device


def _require(rollout: Rollout, verb: str, *states: RolloutState) -> None:
    if rollout.state not in states:
        remedy = "start another rollout" if rollout.state.final else "look at `rollout status`"
        raise ConflictError(
            f"rollout {rollout.id} is {rollout.state}, so it cannot be {verb}; {remedy}"
        )
