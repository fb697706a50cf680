"""Whole rollouts, from the operator's start to the last device, against a fleet in memory."""

import pytest
from edgewright_fleet.errors import ConflictError, UnknownName, UnprocessableError
from edgewright_fleet.rollouts.model import (
    Outcome,
    Phase,
    Restore,
    RolloutPolicy,
    RolloutState,
)
from edgewright_manifests.release import ProbationPolicy

from tests.fleet.rollouts.simulated_fleet import SimulatedDevice, SimulatedFleet, fleet_of

CANARY = (Phase(count=1), Phase(percent=100))
FIVE_FIFTY_ALL = (Phase(percent=5), Phase(percent=50), Phase(percent=100))


def outcome_of(fleet: SimulatedFleet, device: str) -> Outcome:
    return next(d.outcome for d in fleet.store.devices("r-1") if d.device == device)


def restore_of(fleet: SimulatedFleet, device: str) -> Restore:
    return next(d.restore for d in fleet.store.devices("r-1") if d.device == device)


def first_in_order(fleet: SimulatedFleet) -> SimulatedDevice:
    return fleet.devices[fleet.store.devices("r-1")[0].device]


def test_forty_devices_get_it_as_two_twenty_forty() -> None:
    fleet = fleet_of(40)
    fleet.start(*FIVE_FIFTY_ALL)
    sizes = []
    for _ in range(4):
        fleet.turn()
        sizes.append(len(fleet.assigned("2")))
    assert sizes == [2, 20, 40, 40]
    rollout = fleet.store.rollout("r-1")
    assert rollout.state is RolloutState.COMPLETE
    assert rollout.reason == "40 of 40 devices committed"
    assert {device.active for device in fleet.devices.values()} == {"2"}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_small_fleets_complete(count: int) -> None:
    fleet = fleet_of(count)
    fleet.start(*FIVE_FIFTY_ALL)
    assert fleet.run().state is RolloutState.COMPLETE
    assert {device.active for device in fleet.devices.values()} == {"2"}


def test_an_empty_group_completes_and_says_so() -> None:
    fleet = fleet_of(0)
    fleet.start(*CANARY)
    rollout = fleet.run()
    assert rollout.state is RolloutState.COMPLETE
    assert "nothing to do" in rollout.reason


def test_a_canary_that_refuses_halts_with_its_own_words_and_nobody_follows() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    canary = first_in_order(fleet)
    canary.behaviour = "refuse"
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert rollout.reason == f"{canary.name} refused it in preflight: accuracy 0.31, at least 0.90"
    assert fleet.assigned("2") == {canary.name}
    assert outcome_of(fleet, canary.name) is Outcome.REFUSED
    assert restore_of(fleet, canary.name) is Restore.DONE
    assert canary.assigned is not None
    assert (canary.assigned.number, canary.assigned.version) == (3, "1")
    assert fleet.director.orders[-1].rollback


def test_a_canary_that_goes_back_in_probation_halts_it() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    canary = first_in_order(fleet)
    canary.behaviour = "roll back"
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert rollout.reason == (
        f"{canary.name} took it back in probation: latency 4.1 times the previous"
    )
    assert outcome_of(fleet, canary.name) is Outcome.ROLLED_BACK
    assert "device.rollback" in fleet.journal.operations()


def test_on_a_halt_devices_that_committed_keep_it_by_default() -> None:
    fleet = fleet_of(4)
    fleet.start(*CANARY)
    fleet.turn()
    canary = first_in_order(fleet)
    bad = fleet.devices[fleet.store.devices("r-1")[1].device]
    slow = fleet.devices[fleet.store.devices("r-1")[2].device]
    bad.behaviour, slow.behaviour = "refuse", "stall"
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert canary.active == "2"
    assert restore_of(fleet, canary.name) is Restore.NONE
    assert outcome_of(fleet, slow.name) is Outcome.WITHDRAWN
    assert slow.assigned is not None
    assert slow.assigned.version == "1"


def test_on_a_halt_with_rollback_devices_that_committed_go_back_too() -> None:
    fleet = fleet_of(4)
    fleet.start(*CANARY, policy=RolloutPolicy(on_failure="rollback"))
    fleet.turn()
    canary = first_in_order(fleet)
    fleet.devices[fleet.store.devices("r-1")[1].device].behaviour = "refuse"
    assert fleet.run().state is RolloutState.HALTED
    assert canary.active == "1"
    assert {device.active for device in fleet.devices.values()} == {"1"}
    assert restore_of(fleet, canary.name) is Restore.DONE
    assert fleet.store.active() == []


def test_failures_within_the_allowance_do_not_halt_but_are_restored() -> None:
    fleet = fleet_of(4)
    fleet.start(*CANARY, policy=RolloutPolicy(max_failures=1))
    fleet.turn()
    bad = fleet.devices[fleet.store.devices("r-1")[2].device]
    bad.behaviour = "refuse"
    rollout = fleet.run()
    assert rollout.state is RolloutState.COMPLETE
    assert rollout.reason == f"3 of 4 devices committed; {bad.name} refused"
    assert bad.assigned is not None
    assert bad.assigned.version == "1"


def test_a_first_release_that_fails_is_withdrawn_since_there_is_nothing_to_go_back_to() -> None:
    fleet = SimulatedFleet(SimulatedDevice("pi-0", behaviour="refuse"), version=None)
    fleet.start(*CANARY)
    assert fleet.run().state is RolloutState.HALTED
    assert fleet.director.orders[-1].version is None
    assert restore_of(fleet, "pi-0") is Restore.DONE


def test_a_phase_says_for_whom_it_waits_and_how_long() -> None:
    fleet = fleet_of(2)
    fleet.start(Phase(percent=100), policy=RolloutPolicy(probation=ProbationPolicy(duration_s=30)))
    slow = first_in_order(fleet)
    slow.behaviour = "stall"
    fleet.turn()
    fleet.driver.tick()
    fleet.clock.advance(18)
    reason = fleet.operations.status("r-1").rollout.reason
    assert reason == f"waiting for 1 of 2 devices: {slow.name} in probation, 12 s left"
    fleet.clock.advance(20)
    assert "waiting for enough requests" in fleet.operations.status("r-1").rollout.reason


def test_a_phase_that_says_whom_it_waits_for_is_not_saved_again_each_second() -> None:
    fleet = fleet_of(2)
    fleet.start(*CANARY)
    first_in_order(fleet).behaviour = "stall"
    fleet.turn()
    fleet.driver.tick()
    saves = fleet.store.saves
    for _ in range(20):
        fleet.clock.advance(1)
        fleet.driver.tick()
    assert fleet.store.saves == saves


def test_a_device_that_is_offline_is_left_behind_when_its_time_is_up() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    fleet.turn()
    away = fleet.devices[fleet.store.devices("r-1")[1].device]
    away.behaviour = "offline"
    fleet.run()
    assert f"{away.name} offline" in fleet.operations.status("r-1").rollout.reason
    fleet.clock.advance(901)
    rollout = fleet.run()
    assert rollout.state is RolloutState.COMPLETE
    assert rollout.reason == f"2 of 3 devices committed; {away.name} timed_out"
    # Its assignment stands: it takes the release when it comes back.
    away.behaviour = "commit"
    away.work()
    assert away.active == "2"


def test_an_offline_device_halts_it_where_the_policy_says_so() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY, policy=RolloutPolicy(offline_is_failure=True))
    fleet.turn()
    away = fleet.devices[fleet.store.devices("r-1")[1].device]
    away.behaviour = "offline"
    fleet.run()
    fleet.clock.advance(901)
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert rollout.reason == f"{away.name} timed out: offline when its 900 s were up"


def test_a_canary_that_never_came_online_proves_nothing() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    canary = first_in_order(fleet)
    canary.behaviour = "offline"
    fleet.run()
    fleet.clock.advance(901)
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert rollout.reason.startswith(
        f"no device of phase 1 of 2 committed: {canary.name} timed_out"
    )
    assert fleet.assigned("2") == {canary.name}


def test_a_connected_device_that_hangs_counts_as_failed() -> None:
    fleet = fleet_of(2)
    fleet.start(*CANARY)
    canary = first_in_order(fleet)
    canary.behaviour = "stall"
    fleet.run()
    fleet.clock.advance(901)
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert rollout.reason == f"{canary.name} timed out: still in probation after 900 s"


def test_a_commit_after_the_time_was_up_still_counts() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY, policy=RolloutPolicy(timeout_is_failure=False))
    fleet.turn()
    late = fleet.devices[fleet.store.devices("r-1")[1].device]
    hanging = fleet.devices[fleet.store.devices("r-1")[2].device]
    late.behaviour = "offline"
    fleet.driver.tick()
    fleet.clock.advance(800)
    hanging.behaviour = "stall"
    fleet.operations.pause("r-1", user="ann")
    fleet.clock.advance(101)
    fleet.driver.tick()
    assert outcome_of(fleet, late.name) is Outcome.TIMED_OUT
    late.behaviour = "commit"
    late.work()
    fleet.driver.tick()
    assert outcome_of(fleet, late.name) is Outcome.COMMITTED


def test_a_soak_is_waited_for() -> None:
    fleet = fleet_of(2)
    fleet.start(Phase(count=1, soak_s=60), Phase(percent=100))
    fleet.run()
    assert len(fleet.assigned("2")) == 1
    fleet.clock.advance(20)
    assert fleet.operations.status("r-1").rollout.reason == (
        "phase 1 of 2 is done and watched for another 40 s"
    )
    fleet.clock.advance(41)
    assert fleet.run().state is RolloutState.COMPLETE


def test_a_device_that_joins_while_it_runs_joins_the_last_phase() -> None:
    fleet = fleet_of(4)
    fleet.start(Phase(count=1, soak_s=60), Phase(percent=50), Phase(percent=100))
    fleet.run()
    for index in range(4):
        fleet.devices[f"new-{index}"] = SimulatedDevice(f"new-{index}")
    fleet.run()
    assert len(fleet.assigned("2")) == 1
    fleet.clock.advance(61)
    fleet.driver.tick()
    assert len(fleet.assigned("2")) == 2  # half of the four that were planned with
    assert fleet.run().state is RolloutState.COMPLETE
    assert len(fleet.assigned("2")) == 8


def test_ineligible_devices_are_left_out_of_the_phases_and_told_why() -> None:
    fleet = fleet_of(3)
    for device in list(fleet.devices.values())[:2]:
        device.ineligible = "no variant for its profile"
    fleet.start(*CANARY)
    assert fleet.run().state is RolloutState.COMPLETE
    assert fleet.assigned("2") == {"pi-2"}
    status = fleet.operations.status("r-1")
    assert status.counts == {Outcome.COMMITTED: 1, Outcome.INELIGIBLE: 2}
    assert status.devices[-1].reason == "no variant for its profile"


def test_a_device_that_is_revoked_under_way_does_not_block() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    fleet.turn()
    gone = fleet.devices[fleet.store.devices("r-1")[1].device]
    gone.behaviour = "stall"
    fleet.turn()
    gone.ineligible = "the device is revoked"
    assert fleet.run().state is RolloutState.COMPLETE
    assert outcome_of(fleet, gone.name) is Outcome.INELIGIBLE


def halt_after_one_became_ineligible(why: str) -> tuple[SimulatedFleet, SimulatedDevice]:
    fleet = fleet_of(3)
    gone, bad, _ = fleet.devices.values()
    gone.behaviour, bad.behaviour = "stall", "offline"
    fleet.start(Phase(percent=100))
    fleet.turn()
    gone.ineligible = why
    fleet.driver.tick()
    assert outcome_of(fleet, gone.name) is Outcome.INELIGIBLE
    if "revoked" in why:
        fleet.director.unassignable[gone.name] = UnprocessableError(why)
    bad.behaviour = "refuse"
    assert fleet.run().state is RolloutState.HALTED
    return fleet, gone


def test_a_device_that_left_the_group_under_way_is_taken_back_too_on_a_halt() -> None:
    fleet, gone = halt_after_one_became_ineligible("the device left the group all")
    assert restore_of(fleet, gone.name) is Restore.DONE
    assert gone.assigned is not None
    assert gone.assigned.version == "1"


def test_a_revoked_device_is_not_asked_to_go_back_for_ever() -> None:
    fleet, gone = halt_after_one_became_ineligible("the device is revoked")
    assert restore_of(fleet, gone.name) is Restore.FAILED
    assert fleet.store.active() == []


def test_a_device_that_has_the_release_already_is_not_assigned_again() -> None:
    fleet = fleet_of(2)
    fleet.start(Phase(percent=100), version="1")
    assert fleet.run().state is RolloutState.COMPLETE
    assert fleet.director.orders == []


def test_each_phase_of_mixed_hardware_has_every_class() -> None:
    fleet = SimulatedFleet(
        *(SimulatedDevice(f"pi-{i}", "pi") for i in range(30)),
        *(SimulatedDevice(f"orin-{i}", "orin") for i in range(2)),
        SimulatedDevice("gw", "x86"),
    )
    fleet.start(Phase(percent=10), Phase(percent=100))
    fleet.driver.tick()
    assert {fleet.devices[name].profile for name in fleet.assigned("2")} == {"pi", "orin", "x86"}


def test_paused_assigns_nothing_and_resumed_goes_on() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    fleet.driver.tick()
    paused = fleet.operations.pause("r-1", user="ann")
    assert paused.rollout.reason == "paused by ann"
    fleet.run()
    assert len(fleet.assigned("2")) == 1
    assert fleet.operations.status("r-1").counts[Outcome.COMMITTED] == 1
    fleet.operations.resume("r-1", user="ann")
    assert fleet.run().state is RolloutState.COMPLETE


def test_a_failure_halts_a_paused_rollout_too() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    fleet.driver.tick()
    first_in_order(fleet).behaviour = "refuse"
    fleet.operations.pause("r-1", user="ann")
    assert fleet.run().state is RolloutState.HALTED


def test_an_abort_gives_devices_under_way_their_previous_release_back() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    fleet.turn()
    for device in fleet.devices.values():
        if device.active == "1":
            device.behaviour = "stall"
    fleet.turn()
    status = fleet.operations.abort("r-1", user="ann")
    assert status.rollout.state is RolloutState.ABORTED
    fleet.run()
    assert sorted(o.version or "" for o in fleet.director.orders) == ["1", "1", "2", "2", "2"]
    assert first_in_order(fleet).active == "2"


def test_an_abort_with_rollback_takes_everybody_back() -> None:
    fleet = fleet_of(3)
    fleet.start(*CANARY)
    fleet.turn()
    fleet.operations.abort("r-1", user="ann", rollback=True)
    fleet.run()
    assert {device.active for device in fleet.devices.values()} == {"1"}


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
def test_what_is_over_is_over(verb: str) -> None:
    fleet = fleet_of(1)
    fleet.start(*CANARY)
    fleet.run()
    with pytest.raises(ConflictError, match="rollout r-1 is complete"):
        getattr(fleet.operations, verb)("r-1", user="ann")


def test_two_unfinished_rollouts_may_not_share_a_device() -> None:
    fleet = fleet_of(2)
    fleet.start(*CANARY)
    with pytest.raises(ConflictError, match="is in rollout r-1, which is running"):
        fleet.start(*CANARY, version="3", id="r-2")
    fleet.operations.abort("r-1", user="ann")
    fleet.start(*CANARY, version="3", id="r-2")


def test_a_restore_does_not_overwrite_what_a_later_rollout_assigned() -> None:
    fleet = fleet_of(1)
    fleet.start(*CANARY)
    fleet.devices["pi-0"].behaviour = "stall"
    fleet.turn()
    fleet.operations.abort("r-1", user="ann")
    device = fleet.devices["pi-0"]
    assert device.assigned is not None
    later = device.assigned.number + 1
    device.assigned = type(device.assigned)(number=later, version="9", key="somebody else")
    fleet.run()
    assert device.assigned.version == "9"
    assert restore_of(fleet, "pi-0") is Restore.SUPERSEDED


def test_a_device_that_the_director_cannot_assign_to_counts_as_failed() -> None:
    fleet = fleet_of(1)
    fleet.start(*CANARY)
    fleet.director.unassignable["pi-0"] = UnknownName("there is no release fashion/2")
    rollout = fleet.run()
    assert rollout.state is RolloutState.HALTED
    assert "could not be assigned: there is no release fashion/2" in rollout.reason


def test_a_policy_that_leaves_no_time_for_probation_is_refused() -> None:
    with pytest.raises(UnprocessableError, match="leaves no time"):
        fleet_of(1).start(*CANARY, policy=RolloutPolicy(device_timeout_s=60))


def test_every_transition_is_recorded() -> None:
    fleet = fleet_of(2)
    fleet.start(*CANARY)
    fleet.run()
    assert fleet.journal.operations() == [
        "rollout.start",
        "rollout.advance",
        "device.commit",
        "rollout.advance",
        "device.commit",
        "rollout.complete",
    ]
    assert fleet.journal.records[1].resources[-1] == f"device:{first_in_order(fleet).name}"
