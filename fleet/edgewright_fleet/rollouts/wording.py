"""The one-line reasons of a rollout, for the console, the API and the audit log."""

import datetime
from collections.abc import Sequence

from edgewright_manifests.messages import UpdateState

from edgewright_fleet.rollouts.model import Outcome, Rollout, RolloutDevice

NAMED = 3
"""Devices that a reason names before it says `and 7 more`."""


def assigning(rollout: Rollout, devices: Sequence[str], reached: int, total: int) -> str:
    """Why it advances."""
    return (
        f"{_phase(rollout)}: assigning to {_count(len(devices))} "
        f"({reached} of {total} in the group)"
    )


def waiting(
    rollout: Rollout, unsettled: Sequence[RolloutDevice], reached: int, now: datetime.datetime
) -> str:
    """What a phase waits for: `waiting for 1 of 2 devices: pi-3 in probation, 12 s left`."""
    states = [_whereabouts(rollout, device, now) for device in unsettled[:NAMED]]
    return f"waiting for {len(unsettled)} of {_count(reached)}: " + _listed(states, len(unsettled))


def soaking(rollout: Rollout, left_s: float) -> str:
    """A phase whose devices have all settled and that is still watched."""
    return f"{_phase(rollout)} is done and watched for another {left_s:.0f} s"


def failures(failed: Sequence[RolloutDevice], allowed: int) -> str:
    """Why it halts, the oldest failure first, in the device's own words."""
    by_time = sorted(failed, key=lambda d: (d.settled_at is None, d.settled_at, d.position))
    told = _listed([failure(device) for device in by_time[:NAMED]], len(failed))
    return told if not allowed else f"{_count(len(failed))} failed, {allowed} allowed: {told}"


def failure(device: RolloutDevice) -> str:
    """What one device did with the release, in its own words."""
    words = device.reason or "it gave no reason"
    match device.outcome:
        case Outcome.REFUSED:
            return f"{device.device} refused it in {device.step or 'its checks'}: {words}"
        case Outcome.ROLLED_BACK:
            return f"{device.device} took it back in {device.step or 'probation'}: {words}"
        case Outcome.TIMED_OUT:
            return f"{device.device} timed out: {words}"
        case _:
            return f"{device.device} failed: {words}"


def nothing_proven(rollout: Rollout, fresh: Sequence[RolloutDevice]) -> str:
    """Why a phase in which nobody committed is no ground to go on."""
    told = [f"{d.device} {d.outcome}: {d.reason or 'no reason given'}" for d in fresh[:NAMED]]
    return f"no device of {_phase(rollout)} committed: " + _listed(told, len(fresh))


def complete(rollout: Rollout, ordered: Sequence[RolloutDevice]) -> str:
    """How it ended."""
    if not ordered:
        return f"no device of group {rollout.group} can run it, so there was nothing to do"
    committed = sum(device.outcome is Outcome.COMMITTED for device in ordered)
    text = f"{committed} of {_count(len(ordered))} committed"
    others = [f"{d.device} {d.outcome}" for d in ordered if d.outcome is not Outcome.COMMITTED]
    return f"{text}; {_listed(others[:NAMED], len(others))}" if others else text


def _phase(rollout: Rollout) -> str:
    return f"phase {rollout.phase + 1} of {len(rollout.phases)}"


def _count(devices: int) -> str:
    return "1 device" if devices == 1 else f"{devices} devices"


def _listed(parts: Sequence[str], total: int) -> str:
    text = "; ".join(parts)
    return f"{text} and {total - len(parts)} more" if total > len(parts) else text


def _whereabouts(rollout: Rollout, device: RolloutDevice, now: datetime.datetime) -> str:
    if device.assigned_at is None:
        return f"{device.device} about to be assigned"
    if device.outcome is Outcome.OFFLINE:
        left_s = rollout.policy.device_timeout_s - (now - device.assigned_at).total_seconds()
        return f"{device.device} offline, {max(left_s, 0):.0f} s until it is left behind"
    if device.step is None or device.step_since is None:
        return f"{device.device} has not taken it up yet"
    since_s = max((now - device.step_since).total_seconds(), 0)
    if device.step is UpdateState.PROBATION:
        left_s = rollout.policy.probation.duration_s - since_s
        if left_s > 0:
            return f"{device.device} in probation, {left_s:.0f} s left"
        return f"{device.device} in probation, waiting for enough requests"
    return f"{device.device} in {device.step} for {since_s:.0f} s"
