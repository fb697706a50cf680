"""The driver's loop: woken by reports and operators, and not stopped by a fault of the store."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from edgewright_fleet.errors import AuditError, ConflictError, FleetError
from edgewright_fleet.rollouts.driver import RolloutDriver
from edgewright_fleet.rollouts.model import AssignmentOrder, Phase, Rollout, RolloutState

from tests.fleet.rollouts.simulated_fleet import SimulatedFleet, SimulatedStore, fleet_of


class WatchedStore(SimulatedStore):
    """Says when the driver looked; fails on demand."""

    fault: FleetError | None = None

    def watch(self) -> "WatchedStore":
        self.looked = threading.Semaphore(0)
        return self

    def active(self) -> Sequence[Rollout]:
        self.looked.release()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return super().active()


def watched(fleet: SimulatedFleet, interval_s: float) -> tuple[WatchedStore, RolloutDriver]:
    store = WatchedStore(fleet.devices).watch()
    fleet.store = store
    driver = RolloutDriver(store, fleet.director, fleet.journal, fleet.clock, interval_s=interval_s)
    fleet.restart()
    return store, driver


async def look(store: WatchedStore) -> None:
    assert await asyncio.to_thread(store.looked.acquire, timeout=30)


def test_it_looks_at_once_when_woken_from_any_thread() -> None:
    fleet = fleet_of(2)
    store, driver = watched(fleet, interval_s=3600)

    async def drive() -> None:
        driver.wake()  # before it runs: nothing to do, it looks first thing
        task = asyncio.create_task(driver.run())
        await look(store)
        fleet.start(Phase(percent=100))
        await asyncio.to_thread(driver.wake)
        await look(store)
        while store.rollout("r-1").state is not RolloutState.COMPLETE:
            for device in fleet.devices.values():
                device.work()
            driver.wake()
            await look(store)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(drive(), 60))
    driver.wake()  # after it ended: harmless
    assert {device.active for device in fleet.devices.values()} == {"2"}


def test_it_looks_by_itself_after_the_interval() -> None:
    store, driver = watched(fleet_of(0), interval_s=0.01)

    async def drive() -> None:
        task = asyncio.create_task(driver.run())
        for _ in range(3):
            await look(store)
        task.cancel()

    asyncio.run(asyncio.wait_for(drive(), 60))


def test_a_fault_of_the_store_is_tried_again() -> None:
    store, driver = watched(fleet_of(0), interval_s=0.01)
    store.fault = FleetError("the database is locked")

    async def drive() -> None:
        task = asyncio.create_task(driver.run())
        for _ in range(2):
            await look(store)
        task.cancel()

    asyncio.run(asyncio.wait_for(drive(), 60))


def test_what_cannot_be_recorded_stops_it() -> None:
    store, driver = watched(fleet_of(0), interval_s=0.01)
    store.fault = AuditError("the disk is full")
    with pytest.raises(AuditError):
        asyncio.run(asyncio.wait_for(driver.run(), 60))


def test_an_operator_who_pauses_while_it_assigns_stops_the_rest() -> None:
    fleet = fleet_of(5)
    fleet.start(Phase(percent=100))
    assign = fleet.director.assign

    def assign_and_pause(order: AssignmentOrder) -> int:
        number = assign(order)
        if len(fleet.director.orders) == 2:
            fleet.operations.pause("r-1", user="ann")
        return number

    fleet.director.assign = assign_and_pause  # type: ignore[method-assign]  # an operator between
    fleet.driver.tick()
    assert len(fleet.director.orders) == 2
    fleet.run()
    assert len(fleet.director.orders) == 2
    assert [d.assignment for d in fleet.store.devices("r-1")].count(2) == 2
    fleet.operations.resume("r-1", user="ann")
    assert fleet.run().state is RolloutState.COMPLETE
    assert len(fleet.director.orders) == 5


def test_an_operator_is_not_refused_because_the_driver_saved_in_between() -> None:
    fleet = fleet_of(2)
    fleet.start(Phase(percent=100))
    save, conflicts = fleet.store.save, [ConflictError("saved meanwhile")] * 3

    def save_later(rollout: Rollout, devices: Sequence[object]) -> None:
        if conflicts:
            raise conflicts.pop()
        save(rollout, ())

    fleet.store.save = save_later  # type: ignore[method-assign]  # a driver between
    assert fleet.operations.pause("r-1", user="ann").rollout.state is RolloutState.PAUSED
