"""An update's life on a running device: the good way, and everything that may come between."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from edgewright_manifests.messages import RPC_CHUNK_BYTES, RPC_WINDOW
from edgewright_manifests.release import ProbationPolicy
from edgewright_runtime.update.slots import Slots

from tests.runtime.agent.conftest import MakeDevice
from tests.simulators.device import Device, infer
from tests.simulators.fleet import FleetSimulator
from tests.simulators.releases import Kind, make_release
from tests.simulators.waiting import wait_until

LONG = ProbationPolicy(duration_s=60, min_requests=10)


class Load:
    """A client that asks without a pause; every answer must be there and right."""

    def __init__(self, url: str) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self.slowest_s = 0.0
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.002):
            began = time.monotonic()
            try:
                if infer(self._url):
                    self.answered += 1
                else:
                    self.failed.append("wrong answer")
            except OSError as error:
                self.failed.append(str(error))
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


class Shelf:
    """Published releases, made when they are first asked for."""

    def __init__(self, fleet: FleetSimulator, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder
        self.count = 0

    def assign(
        self, device: Device, kind: Kind = "good", *, padding: int = 0, **how: object
    ) -> tuple[str, int]:
        """A release that nobody has seen; gives its version and the assignment's number."""
        self.count += 1
        version = f"{self.folder.name[:8]}.{self.count}"
        bundle = make_release(self.folder, version, kind, padding_bytes=padding)
        self.fleet.publish(bundle)
        self.newest = bundle
        return version, self.fleet.assign(device.name, bundle, **how)  # type: ignore[arg-type]  # its own keywords


_NUMBERS = itertools.count(1)


@pytest.fixture
def shelf(fleet: FleetSimulator, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(fleet, tmp_path_factory.mktemp(f"r{next(_NUMBERS)}x"))


@pytest.fixture(scope="module")
def shared(fleet: FleetSimulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    made = Device("shared", tmp_path_factory.mktemp("shared"))
    made.enrol(fleet.token())
    yield made
    print(made.tail())
    if made.is_running():
        made.kill()


@pytest.fixture
def device(shared: Device) -> Device:
    """A device that goes from test to test, running and at rest."""
    if not shared.is_running():
        shared.start()
    return shared


@pytest.fixture
def fresh(make_device: MakeDevice) -> Device:
    """A device of the test's own, which has never had a release."""
    made = make_device()
    made.start()
    return made


def installed(shelf: Shelf, device: Device) -> str:
    """Bring the device to a first release."""
    version, number = shelf.assign(device)
    shelf.fleet.wait_for(device.name, "idle", number)
    return version


def wait_for_event(fleet: FleetSimulator, device: Device, event: str) -> None:
    """Until an event has come; reports and events go separate ways."""
    id = f"{device.name}-{event}"
    wait_until(lambda: id in fleet.events.get(device.name, {}), 10, f"event {id}")


def mark_of(device: Device, which: Literal["active", "inactive"]) -> str | None:
    slots = Slots(device.state)
    slot = slots.active() if which == "active" else slots.inactive()
    record = slots.record(slot) if slot else None
    return record.mark if record else None


def test_a_switch_under_load_drops_no_request(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    installed(shelf, device)
    with Load(device.url()) as load:
        policy = ProbationPolicy(duration_s=0.5, min_requests=20, max_latency_ratio=1000)
        versions = []
        for _ in range(2):
            version, number = shelf.assign(device, probation=policy)
            versions.append(version)
            report = fleet.wait_for(device.name, "idle", number)
            assert report.active is not None
            assert report.active.version == version
    assert load.failed == []
    assert load.answered > 50
    wait_for_event(fleet, device, f"{number}-probation-done")
    assert mark_of(device, "active") == "good"


def test_a_slow_release_is_taken_back_with_fleet_and_broker_switched_off(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    version = installed(shelf, device)
    with Load(device.url()) as load:
        wait_until(lambda: load.answered > 20, 10, "there is load")
        _, number = shelf.assign(device, "slow", probation=LONG, ring=False)
        current = fleet.director.current(device.name)
        assert current is not None
        device.order_fault("agent", "probation:before")
        fleet.ring(device.name, number, current.timestamp_digest)
        wait_until(device.fault_happened, 20, "the new release serves")
        fleet.stop()
        try:
            wait_until(lambda: mark_of(device, "inactive") == "bad", 30, "it was taken back")
            wait_until(lambda: device.serves(version), 10, "the previous release serves")
        finally:
            fleet.start()
    assert load.failed == []
    report = fleet.wait_for(device.name, "failed", number)
    assert report.reason is not None
    assert "median latency" in report.reason
    assert "times the previous release's" in report.reason


def test_a_reboot_in_probation_commits_without_any_server(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    installed(shelf, device)
    policy = ProbationPolicy(duration_s=1.5, min_requests=0)
    version, number = shelf.assign(device, probation=policy)
    fleet.wait_for(device.name, "probation", number)
    fleet.stop()
    try:
        device.kill()
        device.start()
        wait_until(lambda: device.serves(version), 20, "the release on probation serves")
        status = device.status()
        assert status is not None
        wait_until(lambda: mark_of(device, "active") == "good", 20, "it is committed")
        device.kill()
        device.start()
        wait_until(lambda: device.serves(version), 20, "it still serves after one more reboot")
        assert infer(device.url())
    finally:
        fleet.start()
    report = fleet.wait_for(device.name, "idle", number)
    assert report.active is not None
    assert report.active.version == version
    wait_for_event(fleet, device, f"{number}-commit-done")  # the outbox brings it


def test_after_a_reboot_in_probation_the_previous_release_stands_behind_again(
    fleet: FleetSimulator, shelf: Shelf, fresh: Device
) -> None:
    installed(shelf, fresh)
    _, number = shelf.assign(fresh, "fragile", probation=LONG)
    fleet.wait_for(fresh.name, "probation", number)
    fresh.kill()
    fresh.start()

    def has_fallback() -> bool:
        status = fresh.status()
        return status is not None and {g.role for g in status.generations} == {
            "active",
            "fallback",
        }

    wait_until(has_fallback, 20, "there is a fallback")
    assert infer(fresh.url(), 100.0)


def test_a_server_that_dies_in_probation_ends_it(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    version = installed(shelf, device)
    _, number = shelf.assign(device, probation=LONG)
    fleet.wait_for(device.name, "probation", number)
    pid = device.child_pid("server")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    report = fleet.wait_for(device.name, "failed", number)
    assert report.reason == "the server died while it served it"
    wait_until(lambda: device.serves(version), 20, "the previous release serves")
    assert infer(device.url())


def test_a_server_that_dies_at_any_other_time_comes_back(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    version = installed(shelf, device)
    pid = device.child_pid("server")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: device.child_pid("server") != pid and device.serves(version), 20, "back")
    assert infer(device.url())
    agent = device.child_pid("agent")
    assert agent is not None
    os.kill(agent, signal.SIGKILL)
    assert infer(device.url())
    wait_until(lambda: device.child_pid("agent") not in (None, agent), 20, "a new agent")
    version, number = shelf.assign(device)
    fleet.wait_for(device.name, "idle", number)
    assert device.serves(version)


def test_a_killed_supervisor_takes_its_children_along(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    version = installed(shelf, device)
    children = [device.child_pid("server"), device.child_pid("agent")]
    device.kill()
    for pid in children:
        assert pid is not None
        wait_until(lambda pid=pid: not _lives(pid), 5, f"process {pid} is gone")  # type: ignore[misc]  # bound per turn
    device.start()
    wait_until(lambda: device.serves(version), 20, "a successor serves")


def test_two_daemons_do_not_share_a_state_folder(shelf: Shelf, device: Device) -> None:
    installed(shelf, device)
    second = Device(device.name, device.state.parent)
    second.start()
    wait_until(lambda: not second.is_running(), 20, "the second one gives up")
    assert second.stop() == 1
    assert "in use by another daemon; stop it first" in device.tail()
    assert infer(device.url())


def test_a_daemon_that_is_asked_to_stop_stops_and_starts_again(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    version = installed(shelf, device)
    wait_until(lambda: fleet.online.get(device.name), 10, "it is online")
    assert device.stop() == 0
    wait_until(lambda: fleet.online[device.name] is False, 10, "it said goodbye")
    device.start()
    wait_until(lambda: device.serves(version), 20, "it serves again")


@pytest.mark.parametrize("transport", ["https", "mqtt"])
def test_a_download_that_is_killed_goes_on_where_it_was(
    fleet: FleetSimulator, shelf: Shelf, device: Device, transport: str
) -> None:
    installed(shelf, device)
    fleet.hold_after = 12 * RPC_CHUNK_BYTES
    try:
        version, number = shelf.assign(device, padding=30 * RPC_CHUNK_BYTES, transport=transport)
        file = shelf.newest.entries[0].variant.files[0]
        marks = device.state / "downloads" / f"{file.digest.removeprefix('sha256:')}.map"
        wait_until(
            lambda: marks.exists() and sum(marks.read_bytes()) >= 12, 20, "12 chunks are there"
        )
        device.kill()
        present = sum(marks.read_bytes())
    finally:
        fleet.hold_after = None
    device.start()
    fleet.wait_for(device.name, "idle", number)
    assert device.serves(version)
    again = fleet.sent[file.digest] - file.size_bytes
    if transport == "https":
        assert 0 <= again < RPC_CHUNK_BYTES
        assert fleet.requests[file.digest] > 0
    else:
        # Requests that lay in the broker when the device died are answered to nobody.
        assert 0 <= again <= RPC_WINDOW * RPC_CHUNK_BYTES
        assert fleet.requests[file.digest] == 0
    assert present >= 12


def test_a_newer_assignment_takes_the_place_of_one_that_does_not_serve_yet(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    installed(shelf, device)
    fleet.hold_after = 2 * RPC_CHUNK_BYTES
    try:
        _, held = shelf.assign(device, padding=20 * RPC_CHUNK_BYTES, transport="mqtt")
        fleet.wait_for(device.name, "download", held)
        version, number = shelf.assign(device)
    finally:
        fleet.hold_after = None
    fleet.wait_for(device.name, "idle", number)
    assert device.serves(version)
    wait_for_event(fleet, device, f"{number}-commit-done")
    assert f"{device.name}-{held}-stage-entered" not in fleet.events[device.name]


def test_a_newer_assignment_waits_for_a_probation_to_end(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    installed(shelf, device)
    policy = ProbationPolicy(duration_s=1, min_requests=0)
    _, first = shelf.assign(device, probation=policy)
    fleet.wait_for(device.name, "probation", first)
    version, second = shelf.assign(device)
    fleet.wait_for(device.name, "idle", second)
    assert device.serves(version)
    wait_for_event(fleet, device, f"{first}-commit-done")


def test_the_release_that_serves_is_not_installed_again(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    version = installed(shelf, device)
    before = dict(fleet.sent)
    number = fleet.assign(device.name, shelf.newest)
    report = fleet.wait_for(device.name, "idle", number)
    assert report.active is not None
    assert report.active.version == version
    assert dict(fleet.sent) == before
    wait_for_event(fleet, device, f"{number}-metadata-done")
    assert f"{device.name}-{number}-download-entered" not in fleet.events[device.name]


def test_a_rollback_by_the_fleet_comes_from_the_other_slot(
    fleet: FleetSimulator, shelf: Shelf, device: Device
) -> None:
    first_version = installed(shelf, device)
    first = shelf.newest
    _, number = shelf.assign(device)
    fleet.wait_for(device.name, "idle", number)
    needed = {layer.digest for layer in first.entries[0].manifest.needed}
    before = {digest: fleet.sent[digest] for digest in needed}
    number = fleet.assign(device.name, first, rollback=True)
    fleet.wait_for(device.name, "idle", number)
    assert device.serves(first_version)
    assert {digest: fleet.sent[digest] for digest in needed} == before


def test_a_lost_doorbell_costs_no_more_than_the_poll(
    fleet: FleetSimulator, shelf: Shelf, make_device: MakeDevice
) -> None:
    device = make_device(poll_s=0.3)
    device.start()
    version, number = shelf.assign(device, ring=False)
    fleet.wait_for(device.name, "idle", number)
    assert device.serves(version)


def test_a_refused_assignment_is_not_tried_again(
    fleet: FleetSimulator, shelf: Shelf, make_device: MakeDevice
) -> None:
    device = make_device(poll_s=0.2)
    device.start()
    version = installed(shelf, device)
    _, number = shelf.assign(device, "wrong")
    fleet.wait_for(device.name, "failed", number)
    digest = shelf.newest.entries[0].manifest_digest
    tries, polls = fleet.requests[digest], fleet.requests["director/timestamp.json"]
    wait_until(lambda: fleet.requests["director/timestamp.json"] > polls + 4, 20, "polls")
    assert fleet.requests[digest] == tries
    report = fleet.last(device.name)
    assert report is not None
    assert (report.state, report.assignment) == ("failed", number)
    assert device.serves(version)
    # The same release, assigned again: that is a new decision.
    again = fleet.assign(device.name, shelf.newest)
    fleet.wait_for(device.name, "failed", again)
    assert fleet.requests[digest] > tries


def test_a_first_release_that_is_wrong_leaves_a_device_that_serves_nothing(
    fleet: FleetSimulator, shelf: Shelf, fresh: Device
) -> None:
    _, number = shelf.assign(fresh, "wrong")
    report = fleet.wait_for(fresh.name, "failed", number)
    assert report.active is None
    assert fresh.active() is None
    version, number = shelf.assign(fresh)
    fleet.wait_for(fresh.name, "idle", number)
    assert fresh.serves(version)


def test_a_slot_that_broke_on_the_disk_is_passed_over_at_the_next_start(
    fleet: FleetSimulator, shelf: Shelf, fresh: Device
) -> None:
    older = installed(shelf, fresh)
    _, number = shelf.assign(fresh)
    fleet.wait_for(fresh.name, "idle", number)
    assert fresh.stop() == 0
    (fresh.state / "active" / "model.onnx").write_bytes(b"")
    fresh.start()
    wait_until(lambda: fresh.serves(older), 20, "the other slot serves")
    report = fleet.wait_for(fresh.name, "idle", number)
    wait_until(
        lambda: (r := fleet.last(fresh.name)) and r.active and r.active.version == older,
        20,
        f"it reports {older}, last {report}",
    )


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
