"""A fleet in memory that implements the rollouts' ports: store, director, journal, devices."""

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from edgewright_fleet.errors import ConflictError, FleetError, UnknownName
from edgewright_fleet.rollouts.driver import RolloutDriver
from edgewright_fleet.rollouts.model import (
    Assigned,
    AssignmentOrder,
    Member,
    NewRollout,
    Phase,
    Restore,
    Rollout,
    RolloutDevice,
    RolloutPolicy,
)
from edgewright_fleet.rollouts.operations import RolloutOperations
from edgewright_manifests import documents
from edgewright_manifests.messages import Event, Installed, UpdateState, VersionReport

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
Behaviour = Literal["commit", "refuse", "roll back", "stall", "offline"]

RESTORING = (Restore.WANTED, Restore.ASSIGNED)


class Killed(BaseException):
    """The driver's process dies here."""


@dataclass
class SimulatedClock:
    now: datetime.datetime = START

    def __call__(self) -> datetime.datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds)


@dataclass
class SimulatedDevice:
    """Takes up its newest assignment when told to, and reports like the runtime does."""

    name: str
    profile: str = "generic"
    behaviour: Behaviour = "commit"
    ineligible: str | None = None
    active: str | None = None
    state: UpdateState = UpdateState.IDLE
    taken_up: int = 0
    reason: str | None = None
    assigned: Assigned | None = None
    events: list[Event] = field(default_factory=list)

    def report(self) -> VersionReport:
        installed = None
        if self.active is not None:
            installed = Installed(
                model="fashion",
                version=self.active,
                variant="onnx-int8",
                manifest="sha256:" + "0" * 64,
                release_counter=1,
            )
        return VersionReport(
            device=self.name,
            sequence=1,
            time=START,
            profile=self.profile,
            hardware_id="any",
            targets=("onnx",),
            agent="0.1.0",
            state=self.state,
            assignment=self.taken_up,
            active=installed,
            reason=self.reason,
        )

    def work(self) -> None:
        """Do what the newest assignment asks, to its end."""
        assigned = self.assigned
        if assigned is None or assigned.number == self.taken_up or self.behaviour == "offline":
            return
        if assigned.version is None:
            return
        going_back = assigned.version == self.active
        self.taken_up = assigned.number
        self.reason = None
        if going_back or self.behaviour == "commit":
            self.active = assigned.version
            self.state = UpdateState.IDLE
        elif self.behaviour == "refuse":
            self._happened(UpdateState.PREFLIGHT, "refused", "accuracy 0.31, at least 0.90")
            self.state, self.reason = UpdateState.FAILED, "accuracy 0.31, at least 0.90"
        elif self.behaviour == "roll back":
            self._happened(UpdateState.PROBATION, "failed", "latency 4.1 times the previous")
            self._happened(UpdateState.ROLLBACK, "done", None)
            self.state, self.reason = UpdateState.FAILED, "latency 4.1 times the previous"
        else:
            self.state = UpdateState.PROBATION

    def _happened(
        self,
        state: UpdateState,
        outcome: Literal["entered", "done", "refused", "failed"],
        detail: str | None,
    ) -> None:
        self.events.append(
            Event(
                device=self.name,
                id=f"{self.name}-{len(self.events)}",
                time=START,
                assignment=self.taken_up,
                state=state,
                outcome=outcome,
                detail=detail,
            )
        )


class SimulatedStore:
    """Keeps encoded documents, so that nothing is shared with the caller by accident."""

    def __init__(self, devices: dict[str, SimulatedDevice]) -> None:
        self.fleet = devices
        self.saved: dict[str, bytes] = {}
        self.rows: dict[tuple[str, str], bytes] = {}
        self.saves = 0

    def rollout(self, rollout_id: str) -> Rollout:
        if rollout_id not in self.saved:
            raise UnknownName(f"there is no rollout {rollout_id!r}")
        return documents.decode(self.saved[rollout_id], Rollout, source="store")

    def rollouts(self) -> Sequence[Rollout]:
        return [self.rollout(name) for name in reversed(self.saved)]

    def active(self) -> Sequence[Rollout]:
        return [
            rollout
            for rollout in reversed(self.rollouts())
            if not rollout.state.final
            or any(
                d.restore in (Restore.WANTED, Restore.ASSIGNED) for d in self.devices(rollout.id)
            )
        ]

    def devices(self, rollout_id: str) -> Sequence[RolloutDevice]:
        rows = [
            documents.decode(row, RolloutDevice, source="store")
            for (rollout, _), row in self.rows.items()
            if rollout == rollout_id
        ]
        return sorted(rows, key=lambda device: device.position)

    def members(self, rollout: Rollout) -> Sequence[Member]:
        return [
            Member(
                device=device.name,
                stratum=device.profile,
                online=device.behaviour != "offline",
                ineligible=device.ineligible,
                assigned=device.assigned,
                report=device.report(),
                events=tuple(device.events),
            )
            for device in self.fleet.values()
        ]

    def save(self, rollout: Rollout, devices: Sequence[RolloutDevice]) -> None:
        stored = self.rollout(rollout.id).revision if rollout.id in self.saved else 0
        if rollout.revision != stored + 1:
            raise ConflictError(f"rollout {rollout.id} is at revision {stored}")
        self.saves += 1
        self.saved[rollout.id] = documents.encode(rollout)
        for device in devices:
            self.rows[device.rollout, device.device] = documents.encode(device)


class SimulatedDirector:
    def __init__(self, devices: dict[str, SimulatedDevice]) -> None:
        self.fleet = devices
        self.orders: list[AssignmentOrder] = []
        self.by_key: dict[str, int] = {}
        self.unassignable: dict[str, FleetError] = {}

    def assign(self, order: AssignmentOrder) -> int:
        if order.device in self.unassignable:
            raise self.unassignable[order.device]
        if order.key in self.by_key:
            return self.by_key[order.key]
        device = self.fleet[order.device]
        number = device.assigned.number + 1 if device.assigned else 1
        self.orders.append(order)
        self.by_key[order.key] = number
        device.assigned = Assigned(
            number=number, version=order.version, rollout=order.rollout, key=order.key
        )
        return number


@dataclass
class Recorded:
    operation: str
    user: str
    resources: list[str]
    detail: str | None
    change_ticket: str | None

    def add_resources(self, *resources: str) -> None:
        self.resources += resources


@dataclass
class SimulatedJournal:
    records: list[Recorded] = field(default_factory=list)

    @contextlib.contextmanager
    def operation(
        self,
        operation: str,
        *,
        user: str,
        command: str = "",
        resources: Sequence[str] = (),
        change_ticket: str | None = None,
        rollback_available: bool = False,
        model: tuple[str, str] | None = None,
        detail: str | None = None,
    ) -> Iterator[Recorded]:
        record = Recorded(operation, user, list(resources), detail, change_ticket)
        self.records.append(record)
        yield record

    def operations(self) -> list[str]:
        return [record.operation for record in self.records]


class SimulatedFleet:
    """All of it, wired like the composition root does."""

    def __init__(self, *devices: SimulatedDevice, version: str | None = "1") -> None:
        self.devices = {device.name: device for device in devices}
        if version is not None:
            for device in devices:
                device.active = version
                device.taken_up = 1
                device.assigned = Assigned(number=1, version=version, key=f"first/{device.name}")
        self.clock = SimulatedClock()
        self.store = SimulatedStore(self.devices)
        self.director = SimulatedDirector(self.devices)
        self.journal = SimulatedJournal()
        self.restart()

    def restart(self) -> None:
        """A new process over the same store and director."""
        self.driver = RolloutDriver(self.store, self.director, self.journal, self.clock)
        self.operations = RolloutOperations(
            self.store, self.journal, self.clock, wake=self.driver.wake
        )

    def start(
        self,
        *phases: Phase,
        version: str = "2",
        policy: RolloutPolicy | None = None,
        id: str = "r-1",
    ) -> str:
        asked = NewRollout(
            model="fashion", version=version, group="all", id=id, policy=policy or RolloutPolicy()
        )
        if phases:
            asked = msgspec.structs.replace(asked, phases=phases)
        return self.operations.start(asked, user="admin").rollout.id

    def turn(self) -> None:
        """The driver looks once, then every device works."""
        self.driver.tick()
        for device in self.devices.values():
            device.work()

    def run(self, turns: int = 12) -> Rollout:
        for _ in range(turns):
            self.turn()
        self.driver.tick()
        return self.store.rollout("r-1")

    def assigned(self, version: str) -> set[str]:
        return {o.device for o in self.director.orders if o.version == version}


def fleet_of(count: int) -> SimulatedFleet:
    """`count` devices pi-0, pi-1, ... that commit."""
    return SimulatedFleet(*(SimulatedDevice(f"pi-{index}") for index in range(count)))
