"""Properties of the rules, for any fleet, any behaviour, any moment of interference."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from edgewright_fleet.rollouts.model import (
    Outcome,
    Phase,
    Restore,
    RolloutPolicy,
    RolloutState,
)
from edgewright_fleet.rollouts.rules import sizes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fleet.rollouts.simulated_fleet import (
    Behaviour,
    Killed,
    SimulatedDevice,
    SimulatedFleet,
)

P = ParamSpec("P")
T = TypeVar("T")
BEHAVIOURS: list[Behaviour] = ["commit", "commit", "commit", "refuse", "roll back", "offline"]
DEVICES = st.lists(
    st.tuples(st.sampled_from(["pi", "orin"]), st.sampled_from(BEHAVIOURS)), max_size=12
)
PHASES = st.sampled_from(
    [
        (Phase(count=1), Phase(percent=100)),
        (Phase(percent=5), Phase(percent=50), Phase(percent=100)),
        (Phase(count=2), Phase(percent=40, soak_s=100), Phase(count=9)),
        (Phase(percent=100),),
    ]
)
STEPS = st.lists(
    st.sampled_from(["tick", "tick", "tick", "work", "work", "wait", "pause", "resume", "join"]),
    max_size=30,
)


def fleet_with(devices: list[tuple[str, Behaviour]]) -> SimulatedFleet:
    return SimulatedFleet(
        *(SimulatedDevice(f"d-{i}", profile, how) for i, (profile, how) in enumerate(devices))
    )


@settings(deadline=None, max_examples=150)
@given(DEVICES, PHASES, STEPS, st.integers(0, 2), st.sampled_from(["restore", "rollback"]))
def test_never_more_devices_than_the_phase_allows_and_never_backwards(
    devices: list[tuple[str, Behaviour]],
    phases: tuple[Phase, ...],
    steps: list[str],
    allowed: int,
    on_failure: str,
) -> None:
    fleet = fleet_with(devices)
    policy = RolloutPolicy(
        max_failures=allowed, on_failure="rollback" if on_failure == "rollback" else "restore"
    )
    fleet.start(*phases, policy=policy)
    phase, wanted, settled = 0, 0, set[str]()
    for step in [*steps, *["tick", "work", "wait"] * 16]:
        before = fleet.store.rollout("r-1")
        orders = len(fleet.assigned("2"))
        if step == "tick":
            fleet.driver.tick()
        elif step == "work":
            for device in fleet.devices.values():
                device.work()
        elif step == "wait":
            fleet.clock.advance(400)
        elif step == "join" and len(fleet.devices) < 20:
            name = f"late-{len(fleet.devices)}"
            fleet.devices[name] = SimulatedDevice(name)
        elif step == "pause" and before.state is RolloutState.RUNNING:
            fleet.operations.pause("r-1", user="ann")
        elif step == "resume" and before.state is RolloutState.PAUSED:
            fleet.operations.resume("r-1", user="ann")

        rollout, rows = fleet.store.rollout("r-1"), fleet.store.devices("r-1")
        sizes = sizes_of(rollout, rows)
        assert list(sizes) == sorted(sizes)
        taken = sum(row.wanted for row in rows)
        assert taken <= sizes[rollout.phase]
        assert len(fleet.assigned("2")) <= sizes[rollout.phase]
        assert rollout.phase >= phase
        assert taken >= wanted
        if before.state is not RolloutState.RUNNING:
            assert len(fleet.assigned("2")) == orders
        if before.state.final:
            assert rollout.state is before.state
        now_settled = {row.device for row in rows if row.outcome.settled and row.wanted}
        assert settled <= now_settled
        phase, wanted, settled = rollout.phase, taken, now_settled

    rollout, rows = fleet.store.rollout("r-1"), fleet.store.devices("r-1")
    if rollout.state is RolloutState.HALTED:
        for row in rows:
            if row.wanted and row.outcome is not Outcome.COMMITTED:
                assert row.restore is not Restore.NONE
    # Every device settles or times out in the end, so nothing waits for ever but a pause.
    assert rollout.state is not RolloutState.RUNNING


@settings(deadline=None, max_examples=150)
@given(DEVICES, PHASES, st.data())
def test_a_driver_that_dies_anywhere_goes_on_and_ends_the_same(
    devices: list[tuple[str, Behaviour]], phases: tuple[Phase, ...], data: st.DataObject
) -> None:
    undisturbed = fleet_with(devices)
    undisturbed.start(*phases)
    disturbed = fleet_with(devices)
    disturbed.start(*phases)
    for _ in range(12):
        undisturbed.turn()
        undisturbed.clock.advance(400)
        deaths = data.draw(st.integers(0, 2))
        for _ in range(deaths):
            die_in(disturbed, data.draw(st.integers(0, 12)))
        disturbed.turn()
        disturbed.clock.advance(400)
    first, second = undisturbed.store.rollout("r-1"), disturbed.store.rollout("r-1")
    assert (second.state, second.phase) == (first.state, first.phase)
    keys = [order.key for order in disturbed.director.orders]
    assert len(keys) == len(set(keys))
    assert sorted(keys) == sorted(order.key for order in undisturbed.director.orders)
    assert {d.name: d.active for d in disturbed.devices.values()} == {
        d.name: d.active for d in undisturbed.devices.values()
    }


def die_in(fleet: SimulatedFleet, calls: int) -> None:
    """Tick, and die in the middle: at that call of the store or director, before or after it."""
    left = calls

    def guarded(call: Callable[P, T]) -> Callable[P, T]:
        def wrapper(*arguments: P.args, **named: P.kwargs) -> T:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            result = call(*arguments, **named)
            if left == 0:
                raise Killed
            left -= 1
            return result

        return wrapper

    store, director = fleet.store, fleet.director
    save, assign = store.save, director.assign
    store.save, director.assign = guarded(save), guarded(assign)  # type: ignore[method-assign]
    try:
        fleet.driver.tick()
    except Killed:
        pass
    finally:
        store.save, director.assign = save, assign  # type: ignore[method-assign]
    fleet.restart()
