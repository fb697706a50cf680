"""Rollouts from the command line to simulated devices and back."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from edgewright_manifests.messages import Installed, UpdateState

from tests.fleet.bundles import make_bundle
from tests.fleet.running import EDGEWRIGHT, FleetProcess, wait_for
from tests.fleet.simulated_device import SimulatedDevice

Enrol = Callable[..., SimulatedDevice]
Clients = dict[SimulatedDevice, paho.Client]
Mover = tuple[SimulatedDevice, paho.Client, Installed]


@contextlib.contextmanager
def rollout(fleet: FleetProcess, *words: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*EDGEWRIGHT, "fleet", "rollout", "start", *words, "--wait", "--data", str(fleet.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assigned(device: SimulatedDevice, version: str) -> Installed:
    """What the director signed for the device, once it is this version."""

    def look() -> Installed | None:
        signed = json.loads(device.get("/tuf/director/targets.json")[1])["signed"]
        for path, target in signed["targets"].items():
            model, found, name = path.split("/")
            if found == version:
                return Installed(
                    model=model,
                    version=version,
                    variant=name.removesuffix(".json"),
                    manifest="sha256:" + target["hashes"]["sha256"],
                    release_counter=int(target["custom"]["image"]["release_counter"]),
                )
        return None

    return wait_for(f"{version} assigned to {device.name}", look)


def number(fleet: FleetProcess, device: SimulatedDevice) -> int:
    return int(fleet.api("GET", f"/api/v1/devices/{device.name}")[1]["assigned"]["number"])


@pytest.mark.skipif(sys.platform != "linux", reason="the broker's death signal is Linux's")
def test_a_rollout_goes_through_and_a_bad_one_halts_with_the_devices_reason(
    fleet: FleetProcess, enrol: Enrol, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        fleet.command("publish", str(make_bundle(tmp_path / version, version, model="walk")))
    onnx, tflite = enrol(), enrol(profile="raspberry-pi-5", targets=("tflite", "onnx"))
    fleet.command("groups", "create", "walkers", onnx.name, tflite.name)
    with onnx.online() as one, tflite.online() as two:
        clients = {onnx: one, tflite: two}
        for device, client in clients.items():
            device.report(client)

        with rollout(fleet, "walk@1", "--group", "walkers", "--canary", "1") as process:
            for _ in clients:
                device, client, active = next_assigned(fleet, clients, "1")
                done = number(fleet, device)
                device.report(client, state=UpdateState.IDLE, assignment=done, active=active)
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            assert "complete" in out
            assert "running, phase 1/2" in err
        variants = {
            device["id"]: device["active"]["variant"]
            for device in fleet.api("GET", "/api/v1/devices")[1]
            if device["id"] in (onnx.name, tflite.name)
        }
        assert variants == {onnx.name: "onnx-int8", tflite.name: "tflite-int8"}

        reason = "accuracy 0.31 on 64 golden samples, at least 0.90 promised"
        with rollout(fleet, "walk@2", "--group", "walkers", "--canary", "1") as process:
            canary, client, _ = next_assigned(fleet, clients, "2")
            canary.report(
                client,
                state=UpdateState.FAILED,
                assignment=number(fleet, canary),
                active=assigned_before(fleet, canary),
                reason=reason,
            )
            out, err = process.communicate(timeout=30)
        assert process.returncode == 1
        assert reason in err.splitlines()[-1]
        assert err.splitlines()[-1].startswith("edgewright fleet: rollout walk-2-")
        # The canary has its old release assigned again; the other device was never touched.
        wait_for("the restore", lambda: versions(canary) == ["1"])
        other = onnx if canary is tflite else tflite
        assert versions(other) == ["1"]
        assert number(fleet, canary) == 3


def next_assigned(fleet: FleetProcess, clients: Clients, version: str) -> Mover:
    """A device that was assigned the version and does not serve it yet."""

    def look() -> Mover | None:
        for device, client in clients.items():
            shown = fleet.api("GET", f"/api/v1/devices/{device.name}")[1]
            given, active = shown["assigned"], shown["active"]
            if given and given["version"] == version and (active or {}).get("version") != version:
                return device, client, assigned(device, version)
        return None

    return wait_for(f"somebody to be assigned {version}", look)


def assigned_before(fleet: FleetProcess, device: SimulatedDevice) -> Installed:
    active = fleet.api("GET", f"/api/v1/devices/{device.name}")[1]["active"]
    return Installed(**active)


def versions(device: SimulatedDevice) -> list[str]:
    signed = json.loads(device.get("/tuf/director/targets.json")[1])["signed"]
    return [path.split("/")[1] for path in signed["targets"]]


def test_pause_resume_abort_and_their_mistakes_are_clear(
    fleet: FleetProcess, enrol: Enrol, published: dict[str, object]
) -> None:
    device = enrol()
    fleet.command("groups", "create", "movers", device.name)
    fleet.command("rollout", "start", "detector@v1", "--group", "movers", "--id", "moving")
    assert "paused" in fleet.command("rollout", "pause", "moving").stdout
    assert "is paused" in fleet.command("rollout", "pause", "moving", expect=1).stderr
    assert "running" in fleet.command("rollout", "resume", "moving").stdout
    words = ("rollout", "start", "detector@v1", "--group", "movers")
    assert "moving" in fleet.command(*words, expect=1).stderr
    aborted = fleet.command("rollout", "abort", "moving", "--json", "--change-ticket", "OPS-9")
    assert json.loads(aborted.stdout)["rollout"]["state"] == "aborted"
    assert "aborted" in fleet.command("rollout", "abort", "moving", expect=1).stderr
    assert "no rollout" in fleet.command("rollout", "status", "none-such", expect=1).stderr
    status = json.loads(fleet.command("rollout", "status", "--json").stdout)
    assert "moving" in [each["id"] for each in status]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("detector",), 2, "expected NAME@VERSION"),
        (("detector@v1", "--phase", "half"), 2, "expected a number or a percentage"),
        (("detector@none",), 1, "is not published"),
        (("detector@v1", "--group", "nobody"), 1, "there is no group"),
        (("detector@v1", "--phase", "60%", "--phase", "20%"), 1, "must rise"),
        (("detector@v1", "--max-error-rate", "-1"), 1, "max_error_rate"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_refused(
    fleet: FleetProcess,
    published: dict[str, object],
    words: tuple[str, ...],
    code: int,
    reason: str,
) -> None:
    refused = fleet.command("rollout", "start", *words, expect=code)
    assert reason in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
