"""Rollouts and the audit log in a real server: SQLite, mosquitto, signed metadata, the commands."""

import datetime
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from edgewright_manifests import documents
from edgewright_manifests.messages import Desired, Event, Installed, UpdateState

from tests.fleet.bundles import make_bundle
from tests.fleet.running import FleetProcess, running_fleet, wait_for
from tests.fleet.simulated_device import SimulatedDevice

NAMES = ("pi-1", "pi-2", "pi-3")


class Fleet:
    """A server, three connected devices and what they serve."""

    def __init__(self, server: FleetProcess, folder: Path, stack: ExitStack) -> None:
        self.server = server
        self.devices = {name: SimulatedDevice(server, name, folder / name) for name in NAMES}
        self.clients = {
            name: stack.enter_context(device.online()) for name, device in self.devices.items()
        }
        self.active: dict[str, Installed | None] = dict.fromkeys(NAMES)
        self.done = dict.fromkeys(NAMES, 0)
        for name in NAMES:
            self.report(name)

    def report(self, name: str, **fields: Any) -> None:
        self.devices[name].report(self.clients[name], active=self.active[name], **fields)

    def wanted(self, name: str) -> tuple[int, Installed | None]:
        """The director's newest assignment for the device, as the device itself fetches it."""
        device = self.devices[name]
        status, body = device.get("/tuf/director/targets.json")
        assert status == 200
        for target in json.loads(body)["signed"]["targets"].values():
            custom = target["custom"]
            image = custom["image"]
            return custom["assignment"], Installed(
                model=image["model"],
                version=image["version"],
                variant=f"{image['target']}-{image['precision']}",
                manifest="sha256:" + target["hashes"]["sha256"],
                release_counter=image["release_counter"],
            )
        return 0, None

    def rung(self, name: str) -> int:
        """The generation that the device's doorbell says."""
        messages = self.devices[name].on_topic(self.devices[name].topics.desired)
        rings = [documents.decode(bytes(m.payload), Desired, source="desired") for m in messages]
        return max((ring.generation for ring in rings), default=0)

    def work(self, *, refuse: str = "") -> None:
        """Every device whose doorbell rang takes what it is given, or refuses version `refuse`."""
        for name in NAMES:
            if self.rung(name) <= self.done[name]:
                continue
            number, release = self.wanted(name)
            if number <= self.done[name] or release is None:
                continue
            self.done[name] = number
            if release.version == refuse:
                words = "accuracy 0.31, at least 0.90 promised"
                refusal = Event(
                    device=name,
                    id=f"{name}-{number}",
                    time=datetime.datetime.now(datetime.UTC),
                    assignment=number,
                    state=UpdateState.PREFLIGHT,
                    outcome="refused",
                    detail=words,
                )
                self.devices[name].event(self.clients[name], refusal)
                self.report(name, state=UpdateState.FAILED, assignment=number, reason=words)
            else:
                self.active[name] = release
                self.report(name, assignment=number)

    def run(self, version: str, *, refuse: str = "") -> dict[str, Any]:
        """Start a rollout and let the devices work until it ends; its status."""
        self.server.command("rollout", "start", f"detector@{version}", "--id", f"r-{version}")

        def ended() -> dict[str, Any] | None:
            self.work(refuse=refuse)
            _, status = self.server.api("GET", f"/api/v1/rollouts/r-{version}")
            return status if status["rollout"]["state"] not in ("planned", "running") else None

        return wait_for(f"the rollout of {version}", ended, limit_s=60)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("rollouts")
    with ExitStack() as stack:
        server = stack.enter_context(running_fleet(folder / "data"))
        for version in ("v1", "v2", "v3"):
            bundle = make_bundle(folder / f"{version}.bundle", version, targets=("onnx",))
            server.command("publish", str(bundle))
        yield Fleet(server, folder, stack)


def test_a_good_release_reaches_all_and_a_bad_one_nobody_but_the_canary(fleet: Fleet) -> None:
    assert fleet.run("v1")["rollout"]["reason"] == "3 of 3 devices committed"
    assert fleet.run("v2")["rollout"]["state"] == "complete"
    halted = fleet.run("v3", refuse="v3")
    [canary] = [d["device"] for d in halted["devices"] if d["outcome"] == "refused"]
    assert halted["rollout"]["state"] == "halted"
    assert halted["rollout"]["reason"] == (
        f"{canary} refused it in preflight: accuracy 0.31, at least 0.90 promised"
    )
    assert halted["counts"] == {"refused": 1, "pending": 2}

    def restored() -> bool:
        fleet.work()
        _, status = fleet.server.api("GET", "/api/v1/rollouts/r-v3")
        return any(device["restore"] == "done" for device in status["devices"])

    wait_for("the canary to have v2 assigned again", restored)
    for name in NAMES:
        _, release = fleet.wanted(name)
        assert release is not None
        assert release.version == "v2"

    verified = fleet.server.command("audit", "verify", "--json")
    assert json.loads(verified.stdout)["intact"]
    _, entries = fleet.server.api("GET", "/api/v1/audit/entries?limit=1000")
    operations = {entry["operation"] for entry in entries if entry["phase"] == "after"}
    assert operations >= {
        "rollout.start",
        "rollout.advance",
        "rollout.complete",
        "rollout.halt",
        "rollout.restore",
        "device.commit",
        "device.refuse",
    }
    assert {entry["outcome"] for entry in entries} == {"started", "done"}
