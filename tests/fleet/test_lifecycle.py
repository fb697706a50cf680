"""Start, stop, crash, come back."""

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from edgewright_fleet import broker
from edgewright_fleet.errors import BrokerError

from tests.fleet.bundles import make_bundle
from tests.fleet.running import FleetProcess, alive, edgewright, running_fleet, wait_for
from tests.fleet.simulated_device import SimulatedDevice


def test_sigterm_ends_everything_in_order(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "data") as fleet:
        broker = fleet.broker_pid()
        assert fleet.stop(signal.SIGTERM) == 0
    assert not alive(broker)
    assert not (tmp_path / "data" / "server.json").exists()
    log = (tmp_path / "data.log").read_text()
    assert "Traceback" not in log


def test_kill_9_leaves_no_broker_behind(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "data") as fleet:
        broker = fleet.broker_pid()
        fleet.stop(signal.SIGKILL)
        wait_for("mosquitto to end", lambda: not alive(broker))
    with running_fleet(tmp_path / "data") as again:
        assert again.api("GET", "/api/v1/devices") == (200, [])


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "data") as fleet:
        before = fleet.addresses
        device = SimulatedDevice(fleet, "keeper", tmp_path / "keeper")
        fleet.command("publish", str(make_bundle(tmp_path / "b", "1")))
        fleet.command("groups", "create", "some", "keeper")
        with device.online() as client:
            device.report(client)
            fleet.command("rollout", "start", "detector@1", "--id", "first")
            wait_for("an assignment", lambda: generation(device) == 1)
        shown = [fleet.api("GET", path)[1] for path in paths()]
    with running_fleet(tmp_path / "data") as fleet:
        for key in ("operator_url", "device_url", "mqtt_port"):
            assert fleet.addresses[key] == before[key]
        after = [fleet.api("GET", path)[1] for path in paths()]
        for was, now in zip(shown, after, strict=True):
            assert without_moving_parts(was) == without_moving_parts(now)
        device.fleet = fleet
        device.received.clear()
        with device.online():
            wait_for("the doorbell", lambda: generation(device) == 1)
        assert fleet.command("audit", "verify").returncode == 0


def test_a_broker_that_dies_comes_back_with_all_doorbells(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "data") as fleet:
        device = SimulatedDevice(fleet, "patient", tmp_path / "patient")
        first = fleet.broker_pid()
        os.kill(first, signal.SIGKILL)
        wait_for("the old broker's end", lambda: not alive(first))
        # The retained doorbell was younger than the broker's last autosave.
        (tmp_path / "data" / "mqtt" / "mosquitto.db").unlink(missing_ok=True)
        wait_for("a new broker", lambda: new_broker(fleet, first) and reachable(device))
        with device.online():
            wait_for("the doorbell", lambda: generation(device) == 0)


def test_secrets_are_for_their_owner_only(fleet: FleetProcess) -> None:
    secret = ["admin-token", "audit-key", "ca/ca.key", "ca/server.key", "ca/link.key", "mqtt/acl"]
    secret += [str(p.relative_to(fleet.data)) for p in (fleet.data / "keys").glob("o*line/*.pem")]
    assert len(secret) == 6 + 7
    for name in secret:
        assert stat.S_IMODE((fleet.data / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(fleet.data.stat().st_mode) == 0o700


def test_two_servers_do_not_share_a_folder(fleet: FleetProcess) -> None:
    refused = edgewright("fleet", "serve", "--data", str(fleet.data), expect=1)
    assert "another fleet server runs on this folder" in refused.stderr
    assert fleet.api("GET", "/api/v1/status")[0] == 200


def test_a_missing_broker_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_ALSO", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        broker.find_mosquitto()


def test_an_unknown_key_in_the_configuration_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text("[listen]\noperator_prot = 8443\n")
    refused = edgewright("fleet", "serve", "--config", str(file), expect=1)
    assert "did you mean `operator_port`?" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.toml"]


def test_keys_of_another_fleet_are_refused(tmp_path: Path) -> None:
    with running_fleet(tmp_path / "data"):
        pass
    edgewright("keys", "init", "--dir", str(tmp_path / "other"))
    refused = edgewright(
        "fleet",
        "serve",
        "--data",
        str(tmp_path / "data"),
        "--keys",
        str(tmp_path / "other" / "online"),
        expect=1,
    )
    assert "bring the right keys" in refused.stderr


def paths() -> list[str]:
    return ["/api/v1/devices", "/api/v1/groups", "/api/v1/releases", "/api/v1/rollouts/first"]


def without_moving_parts(document: object) -> object:
    if isinstance(document, dict):
        skipped = {"online", "last_seen", "reason", "revision", "outcome", "counts"}
        return {k: without_moving_parts(v) for k, v in document.items() if k not in skipped}
    if isinstance(document, list):
        return [without_moving_parts(item) for item in document]
    return document


def generation(device: SimulatedDevice) -> int | None:
    bells = device.on_topic(device.topics.desired)
    if not bells:
        return None
    text = bytes(bells[-1].payload).decode()
    return int(text.split('"generation":')[1].split(",")[0])


def reachable(device: SimulatedDevice) -> bool:
    try:
        with socket.create_connection((device.reply.mqtt_host, device.reply.mqtt_port), 1):
            return True
    except OSError:
        return False


def new_broker(fleet: FleetProcess, old: int) -> bool:
    try:
        return fleet.broker_pid() != old
    except AssertionError:
        return False


def test_an_external_broker_serves_as_well(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_fleet(data) as fleet:
        port = fleet.addresses["mqtt_port"]
    # A broker of the operator's own, as docs/fleet.md asks for.
    own = subprocess.Popen(
        [broker.find_mosquitto(), "-c", str(data / "mqtt" / "mosquitto.conf")],
        stderr=subprocess.DEVNULL,
    )
    try:
        file = tmp_path / "fleet.toml"
        file.write_text(f'[broker]\nhost = "127.0.0.1"\nport = {port}\n')
        with running_fleet(data, "--config", str(file)) as fleet:
            with pytest.raises(AssertionError, match="no mosquitto"):
                fleet.broker_pid()
            device = SimulatedDevice(fleet, "elsewhere", tmp_path / "elsewhere")
            with device.online() as client:
                device.report(client)
                wait_for(
                    "the report",
                    lambda: fleet.api("GET", "/api/v1/devices/elsewhere")[1]["state"],
                )
        assert own.poll() is None
    finally:
        own.terminate()
        own.wait(10)
