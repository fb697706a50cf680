"""What a device's reports and events are taken to mean, in whatever order they come."""

import datetime
from typing import Literal

import msgspec
import pytest
from edgewright_fleet.rollouts.model import (
    Assigned,
    Member,
    Outcome,
    Rollout,
    RolloutDevice,
    RolloutState,
)
from edgewright_fleet.rollouts.outcomes import EXPLAIN_S, observe_device
from edgewright_manifests.messages import Event, Installed, UpdateState, VersionReport

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ROLLOUT = Rollout(
    id="r-1",
    model="fashion",
    version="2",
    group="all",
    phases=(),
    created_by="admin",
    created_at=NOW,
    state=RolloutState.RUNNING,
)
DEVICE = RolloutDevice(
    rollout="r-1",
    device="pi-3",
    stratum="generic",
    position=0,
    wanted=True,
    assignment=7,
    assigned_at=NOW,
    outcome=Outcome.IN_PROGRESS,
)
Words = Literal["entered", "done", "refused", "failed"]


def event(state: str, outcome: Words, detail: str | None = None, assignment: int = 7) -> Event:
    return Event(
        device="pi-3",
        id=f"pi-3-{assignment}-{state}-{outcome}",
        time=NOW,
        assignment=assignment,
        state=UpdateState(state),
        outcome=outcome,
        detail=detail,
    )


def member(
    state: str = "idle",
    assignment: int = 7,
    active: str = "1",
    reason: str | None = None,
    events: tuple[Event, ...] = (),
) -> Member:
    return Member(
        device="pi-3",
        stratum="generic",
        online=True,
        assigned=Assigned(number=7, version="2", key="r-1/pi-3/update"),
        report=VersionReport(
            device="pi-3",
            sequence=1,
            time=NOW,
            profile="generic",
            hardware_id="any",
            targets=("onnx",),
            agent="0.1.0",
            state=UpdateState(state),
            assignment=assignment,
            active=Installed(
                model="fashion",
                version=active,
                variant="onnx-int8",
                manifest="sha256:" + "0" * 64,
                release_counter=1,
            ),
            reason=reason,
        ),
        events=events,
    )


REFUSED = (
    event("metadata", "done"),
    event("preflight", "refused", "accuracy 0.31"),
    event("failed", "entered", "accuracy 0.31"),
)
TAKEN_BACK = (
    event("switch", "done"),
    event("probation", "failed", "latency 4.1"),
    event("rollback", "done"),
    event("failed", "entered", "latency 4.1"),
)
COMMITTED = (event("probation", "done"), event("commit", "done"), event("idle", "entered"))


@pytest.mark.parametrize(
    ("seen", "outcome", "step", "reason"),
    [
        (member(assignment=6), Outcome.IN_PROGRESS, None, None),
        (member(), Outcome.IN_PROGRESS, None, None),
        (member("download"), Outcome.IN_PROGRESS, "download", None),
        (member("probation", active="2"), Outcome.IN_PROGRESS, "probation", None),
        (member(active="2"), Outcome.COMMITTED, "commit", None),
        (member("commit", active="2"), Outcome.COMMITTED, "commit", None),
        (member(assignment=8, active="2"), Outcome.COMMITTED, "commit", None),
        (member("download", events=COMMITTED), Outcome.IN_PROGRESS, "download", None),
        (member(assignment=6, events=COMMITTED), Outcome.COMMITTED, "commit", None),
        (
            member("failed", reason="accuracy 0.31", events=REFUSED),
            Outcome.REFUSED,
            "preflight",
            "accuracy 0.31",
        ),
        (member(assignment=6, events=REFUSED), Outcome.REFUSED, "preflight", "accuracy 0.31"),
        (
            member("failed", reason="latency 4.1", events=TAKEN_BACK),
            Outcome.ROLLED_BACK,
            "probation",
            "latency 4.1",
        ),
        (
            member(assignment=6, events=TAKEN_BACK),
            Outcome.ROLLED_BACK,
            "probation",
            "latency 4.1",
        ),
        # Another assignment's failure is none of this rollout's business.
        (member("failed", assignment=8, reason="other"), Outcome.IN_PROGRESS, None, None),
        (
            member(assignment=6, events=(event("preflight", "refused", "old", assignment=6),)),
            Outcome.IN_PROGRESS,
            None,
            None,
        ),
    ],
)
def test_reports_and_events_mean(
    seen: Member, outcome: Outcome, step: str | None, reason: str | None
) -> None:
    device = observe_device(ROLLOUT, DEVICE, seen, NOW)
    assert (device.outcome, device.step, device.reason) == (outcome, step, reason)


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (UpdateState.PREFLIGHT, Outcome.REFUSED),
        (UpdateState.PROBATION, Outcome.ROLLED_BACK),
        (None, Outcome.FAILED),
    ],
)
def test_a_failure_waits_a_little_for_the_event_that_explains_it(
    step: UpdateState | None, outcome: Outcome
) -> None:
    failed = member("failed", reason="it broke")
    waiting = observe_device(ROLLOUT, msgspec.structs.replace(DEVICE, step=step), failed, NOW)
    assert waiting.outcome is Outcome.IN_PROGRESS
    assert observe_device(ROLLOUT, waiting, failed, NOW) == waiting
    explained = observe_device(
        ROLLOUT, waiting, member("failed", reason="it broke", events=REFUSED), NOW
    )
    expected = Outcome.ROLLED_BACK if outcome is Outcome.ROLLED_BACK else Outcome.REFUSED
    assert (explained.outcome, explained.reason) == (expected, "it broke")
    later = NOW + datetime.timedelta(seconds=EXPLAIN_S)
    settled = observe_device(ROLLOUT, waiting, failed, later)
    assert (settled.outcome, settled.reason) == (outcome, "it broke")


def test_a_device_that_something_else_was_assigned_to_has_no_part_in_it_any_more() -> None:
    seen = msgspec.structs.replace(member(), assigned=Assigned(number=9, version="5"))
    assert observe_device(ROLLOUT, DEVICE, seen, NOW).outcome is Outcome.WITHDRAWN


def test_an_assignment_that_a_crash_left_unnoted_is_found_by_its_key() -> None:
    unnoted = msgspec.structs.replace(DEVICE, assignment=None, assigned_at=None)
    assert observe_device(ROLLOUT, unnoted, member(), NOW).assignment == 7
