"""kill -9 at every point of an update, and always a good slot serves in the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright_manifests.release import ProbationPolicy
from edgewright_runtime.update.slots import Slots

from tests.simulators.device import Device, infer
from tests.simulators.fleet import FleetSimulator
from tests.simulators.releases import make_release
from tests.simulators.waiting import wait_until

FORWARD = [
    "metadata:before",
    "metadata:after",
    "download:before",
    "download:chunk",
    "download:after",
    "stage:before",
    "stage:emptied",
    "stage:after",
    "preflight:before",
    "preflight:after",
    "switch:before",
    "switch:served",
    "switch:after",
    "probation:before",
    "probation:after",
    "commit:before",
    "commit:marked",
    "commit:after",
]
BACKWARD = ["rollback:before", "rollback:served", "rollback:marked", "rollback:after"]
FRAGILE = 100.0
"""An input that a fragile release answers with NaN."""


class Running:
    """One device for all points: each test is its next update."""

    def __init__(self, fleet: FleetSimulator, device: Device, folder: Path) -> None:
        self.fleet = fleet
        self.device = device
        self.folder = folder
        self.updates = 0
        self.version = ""

    def prepare(self, victim: str) -> None:
        """The supervisor waits ever longer for an agent that dies often; a new one does not."""
        if victim == "agent":
            assert self.device.stop() == 0
            self.device.start()
            self.device.url()

    def release(self, kind: str, *, probation: ProbationPolicy) -> tuple[str, int]:
        """Publish a release that the device has never seen and assign it."""
        self.updates += 1
        version = f"v{self.updates}"
        bundle = make_release(self.folder, version, kind, padding_bytes=200_000)  # type: ignore[arg-type]  # one of its kinds
        self.fleet.publish(bundle)
        return version, self.fleet.assign(self.device.name, bundle, probation=probation)


@pytest.fixture(scope="module")
def running(fleet: FleetSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("kills")
    device = Device("killed", folder, baseline_s=0)
    device.enrol(fleet.token())
    device.start()
    made = Running(fleet, device, folder)
    try:
        version, number = made.release(
            "good", probation=ProbationPolicy(duration_s=0.2, min_requests=0)
        )
        fleet.wait_for(device.name, "idle", number)
        made.version = version
        yield made
    finally:
        print(device.tail())
        if device.is_running():
            device.kill()


def _die(device: Device, victim: str) -> None:
    if victim == "daemon":
        device.wait_killed()
        device.start()
    else:
        wait_until(device.fault_happened, 30, "the agent is killed")


VICTIMS = ["daemon", pytest.param("agent", marks=pytest.mark.long)]


@pytest.mark.parametrize("point", FORWARD)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_good_release_is_installed_although_power_is_cut_at(
    running: Running, victim: str, point: str
) -> None:
    running.prepare(victim)
    running.device.order_fault(victim, point)
    version, number = running.release(
        "good", probation=ProbationPolicy(duration_s=0.2, min_requests=0)
    )
    _die(running.device, victim)
    report = running.fleet.wait_for(running.device.name, "idle", number)
    assert report.active is not None
    assert report.active.version == version
    assert report.reason is None
    wait_until(lambda: running.device.serves(version), 10, f"{version} serves")
    assert infer(running.device.url())
    slots = Slots(running.device.state)
    active = slots.active()
    assert active is not None
    record = slots.record(active)
    assert record is not None
    assert record.mark == "good"
    running.version = version


@pytest.mark.parametrize("point", BACKWARD)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_bad_release_is_taken_back_although_power_is_cut_at(
    running: Running, victim: str, point: str
) -> None:
    running.prepare(victim)
    policy = ProbationPolicy(duration_s=60, min_requests=3)
    version, number = running.release("fragile", probation=policy)
    running.fleet.wait_for(running.device.name, "probation", number)
    running.device.order_fault(victim, point)
    url = running.device.url()
    # The previous release stands behind the new one and answers what that fails.
    for _ in range(3):
        assert infer(url, FRAGILE)
    _die(running.device, victim)
    report = running.fleet.wait_for(running.device.name, "failed", number)
    assert report.active is not None
    assert report.active.version == running.version
    assert report.reason is not None
    assert "failed 3 of 3 live requests" in report.reason
    wait_until(lambda: running.device.serves(running.version), 10, "the previous one serves")
    assert infer(running.device.url(), FRAGILE)
    slots = Slots(running.device.state)
    bad = slots.record(slots.inactive())
    assert bad is not None
    assert (bad.mark, bad.installed.version) == ("bad", version)
