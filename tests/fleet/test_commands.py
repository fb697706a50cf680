"""What people and scripts see of `edgewright fleet`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from edgewright_fleet.commands.rollouts import phases
from edgewright_fleet.rollouts.model import Phase
from edgewright_manifests.errors import UsageError

from tests.fleet.running import FleetProcess, edgewright, wait_for
from tests.fleet.simulated_device import SimulatedDevice

Enrol = Callable[..., SimulatedDevice]


def test_a_token_is_alone_on_stdout(fleet: FleetProcess) -> None:
    done = fleet.command("token", "create", "--uses", "3", "--valid", "7d")
    assert done.stdout.startswith("ew1.")
    assert len(done.stdout.split()) == 1
    reply = json.loads(fleet.command("token", "create", "--json").stdout)
    assert (reply["uses"], reply["ttl_s"]) == (1, 86_400)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("token", "create", "--valid", "soon"), "such as 24h"),
        (("devices", "show"), "which device?"),
        (("groups", "add", "some"), "which devices?"),
        (("groups", "delete"), "which group?"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(
    fleet: FleetProcess, words: tuple[str, ...], reason: str
) -> None:
    refused = fleet.command(*words, expect=2)
    assert reason in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_devices_are_listed_and_shown(fleet: FleetProcess, enrol: Enrol) -> None:
    device = enrol(profile="raspberry-pi-5", targets=("tflite",))
    with device.online() as client:
        device.report(client, reason="accuracy 0.31, at least 0.90 promised")
        path = f"/api/v1/devices/{device.name}"
        wait_for("the report", lambda: fleet.api("GET", path)[1]["state"])
        line = next(
            line
            for line in fleet.command("devices").stdout.splitlines()
            if line.startswith(f"{device.name} ")
        )
        assert "yes" in line
        assert "raspberry-pi-5" in line
        assert "accuracy 0.31" in line
        shown = fleet.command("devices", "show", device.name).stdout
        assert "tflite" in shown
        as_json = json.loads(fleet.command("devices", "show", device.name, "--json").stdout)
        assert as_json["targets"] == ["tflite"]
    assert "is not enrolled" in fleet.command("devices", "show", "nobody", expect=1).stderr


def test_groups_are_made_filled_and_removed(fleet: FleetProcess, enrol: Enrol) -> None:
    one, two = enrol(), enrol()
    fleet.command("groups", "create", "pair", one.name)
    fleet.command("groups", "add", "pair", two.name)
    groups = json.loads(fleet.command("groups", "remove", "pair", one.name, "--json").stdout)
    assert groups["pair"] == [two.name]
    assert "exists already" in fleet.command("groups", "create", "pair", expect=1).stderr
    assert "pair" not in fleet.command("groups", "delete", "pair").stdout


def test_a_command_reaches_the_server_by_its_address(fleet: FleetProcess, tmp_path: Path) -> None:
    words = ("fleet", "devices", "--json", "--url", fleet.addresses["operator_url"])
    token, ca = str(fleet.data / "admin-token"), str(fleet.data / "ca.crt")
    json.loads(edgewright(*words, "--token-file", token, "--ca", ca).stdout)
    (tmp_path / "wrong").write_text("guessed\n")
    for file, reason in ((str(tmp_path / "wrong"), "missing or wrong"), (ca, "holds no admin")):
        refused = edgewright(*words, "--token-file", file, "--ca", ca, expect=1)
        assert reason in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


def test_the_audit_log_verifies_exports_and_proves(
    fleet: FleetProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert "intact" in fleet.command("audit", "verify").stdout
    out = tmp_path_factory.mktemp("export") / "log"
    fleet.command("audit", "export", "--out", str(out))
    proof = json.loads(fleet.command("audit", "prove", "0").stdout)
    assert proof["index"] == 0
    status, report = fleet.api("POST", "/api/v1/audit/verify", {})
    assert (status, report["intact"]) == (200, True)
    kept = {"checkpoint": (fleet.data / "audit" / "checkpoint").read_text()}
    assert fleet.api("POST", "/api/v1/audit/verify", kept)[1]["intact"] is True


def test_who_did_what_with_which_ticket_is_recorded(fleet: FleetProcess) -> None:
    fleet.command("groups", "create", "recorded", "--change-ticket", "OPS-42")
    _, entries = fleet.api("GET", "/api/v1/audit/entries?limit=20")
    record = next(e for e in entries if "group:recorded" in e["resources"])
    assert record["change_ticket"] == "OPS-42"
    assert "fleet groups create recorded" in record["command"]
    assert record["duration_s"] > 0


def test_phases_are_what_was_asked_for() -> None:
    last = Phase(percent=100.0)
    assert phases(None, [], 0.0) == (Phase(count=1), last)
    assert phases(0, [], 0.0) == (last,)
    assert phases(None, ["50%"], 0.0) == (Phase(percent=50.0), last)
    assert phases(2, ["10", "100%"], 5.0) == (
        Phase(count=2, soak_s=5.0),
        Phase(count=10, soak_s=5.0),
        Phase(percent=100.0, soak_s=5.0),
    )
    with pytest.raises(UsageError):
        phases(None, ["many"], 0.0)
