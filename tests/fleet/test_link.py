"""Reports, events and requests of devices."""

import datetime
import json
from collections.abc import Callable
from typing import Any

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.digest import digest_of
from edgewright_manifests.envelope import EVENT, VERSION_REPORT
from edgewright_manifests.messages import (
    RPC_CHUNK_BYTES,
    Desired,
    Event,
    Figures,
    RpcRequest,
    Telemetry,
    UpdateState,
    VersionReport,
)

from tests.fleet.running import FleetProcess, wait_for
from tests.fleet.simulated_device import SimulatedDevice

Enrol = Callable[..., SimulatedDevice]


def shown(fleet: FleetProcess, device: SimulatedDevice) -> dict[str, Any]:
    return dict(fleet.api("GET", f"/api/v1/devices/{device.name}")[1])


def test_a_replayed_report_is_dropped(fleet: FleetProcess, enrol: Enrol) -> None:
    device = enrol()
    with device.online() as client:
        old = device.report(client, state=UpdateState.FAILED, reason="old")
        device.report(client, state=UpdateState.IDLE)
        wait_for("the newer report", lambda: shown(fleet, device)["state"] == "idle")
        client.publish(device.topics.reported, old, qos=1, retain=True).wait_for_publish(10)
        # What follows on the same connection is dealt with after the replay.
        device.report(client, state=UpdateState.DOWNLOAD, sequence=3)
        wait_for("the newest report", lambda: shown(fleet, device)["state"] == "download")
        assert shown(fleet, device)["reason"] is None


def test_a_report_with_another_key_or_about_another_device_is_not_believed(
    fleet: FleetProcess, enrol: Enrol
) -> None:
    device, other = enrol(), enrol()
    with device.online() as client:
        forged = other.seal(documents.encode(report(device.name, 5)), VERSION_REPORT)
        about_other = device.seal(documents.encode(report(other.name, 6)), VERSION_REPORT)
        as_event = device.seal(documents.encode(report(device.name, 7)), EVENT)
        for payload in (forged, about_other, as_event, b"", b"{}", b"\xff" * 100):
            client.publish(device.topics.reported, payload, qos=1).wait_for_publish(10)
        device.report(client, sequence=1)
        wait_for("the true report", lambda: shown(fleet, device)["state"] == "idle")
        assert shown(fleet, other)["state"] is None


def test_an_event_that_comes_twice_is_stored_once(fleet: FleetProcess, enrol: Enrol) -> None:
    device = enrol()
    event = Event(
        device=device.name,
        id="one",
        time=datetime.datetime.now(datetime.UTC),
        assignment=1,
        state=UpdateState.DOWNLOAD,
        outcome="done",
    )
    path = f"/api/v1/events?device={device.name}"
    with device.online() as client:
        device.event(client, event)
        device.event(client, event)
        device.event(client, msgspec.structs.replace(event, id="two"))
        wait_for("both events", lambda: len(fleet.api("GET", path)[1]) >= 2)
    stored = [entry["event"]["id"] for entry in fleet.api("GET", path)[1]]
    assert sorted(stored) == ["one", "two"]


def test_a_device_is_shown_online_and_offline(fleet: FleetProcess, enrol: Enrol) -> None:
    device = enrol()
    with device.online() as client:
        wait_for("online", lambda: shown(fleet, device)["online"])
        client.publish(device.topics.online, b"0", qos=1, retain=True).wait_for_publish(10)
        wait_for("offline", lambda: not shown(fleet, device)["online"])


def test_telemetry_is_taken_without_fuss(fleet: FleetProcess, enrol: Enrol) -> None:
    device = enrol()
    with device.online() as client:
        client.publish(device.topics.telemetry, b"not json").wait_for_publish(10)
        now = datetime.datetime.now(datetime.UTC)
        telemetry = Telemetry(time=now, figures=Figures(requests=1, errors=0))
        client.publish(device.topics.telemetry, documents.encode(telemetry)).wait_for_publish(10)
        device.report(client)
        wait_for("the figures", lambda: shown(fleet, device)["figures"])


def test_metadata_comes_over_mqtt_as_it_does_over_https(enrol: Enrol) -> None:
    device = enrol()
    with device.online() as client:
        for path in ("director/timestamp.json", "image/1.root.json", "image/targets.json"):
            answer = device.ask(client, RpcRequest(operation="metadata", path=path))
            assert answer == device.get(f"/tuf/{path}")
            assert answer[0] == 200
        desired = wait_for("desired", lambda: device.on_topic(device.topics.desired))[-1]
        bell = documents.decode(bytes(desired.payload), Desired, source="desired")
        timestamp = device.get("/tuf/director/timestamp.json")[1]
        assert bell.director_timestamp == digest_of(timestamp)


def test_a_blob_comes_in_ranges_over_mqtt(published: dict[str, Any], enrol: Enrol) -> None:
    device = enrol()
    manifest = published["variants"][0]["manifest"]
    layers = json.loads(device.get(f"/blobs/sha256/{manifest[7:]}")[1])["layers"]
    blob = max(layers, key=lambda layer: layer["size"])
    whole = device.get(f"/blobs/sha256/{blob['digest'][7:]}")[1]
    assert len(whole) > 2 * RPC_CHUNK_BYTES
    with device.online() as client:
        parts = []
        for offset in range(0, len(whole), RPC_CHUNK_BYTES):
            request = RpcRequest(
                operation="range", path=blob["digest"], offset=offset, length=RPC_CHUNK_BYTES
            )
            status, part = device.ask(client, request)
            assert status == 206
            parts.append(part)
    assert b"".join(parts) == whole


def test_what_is_not_there_is_answered_not_ignored(published: dict[str, Any], enrol: Enrol) -> None:
    device, other = enrol(), enrol()
    manifest = published["variants"][0]["manifest"]
    with device.online() as client:
        for path, status in (
            ("director/nonsense.json", 404),
            (f"director/../{other.name}.json", 404),
            ("image/../../../admin-token", 404),
            ("elsewhere/root.json", 404),
        ):
            assert device.ask(client, RpcRequest(operation="metadata", path=path))[0] == status
        for path, offset, length, status in (
            ("sha256:" + "0" * 64, 0, 10, 404),
            ("../admin-token", 0, 10, 404),
            (manifest, 10**9, 10, 416),
            (manifest, 0, RPC_CHUNK_BYTES + 1, 416),
            (manifest, -1, 10, 416),
        ):
            request = RpcRequest(operation="range", path=path, offset=offset, length=length)
            assert device.ask(client, request)[0] == status, path


def report(device: str, sequence: int) -> VersionReport:
    return VersionReport(
        device=device,
        sequence=sequence,
        time=datetime.datetime.now(datetime.UTC),
        profile="generic",
        hardware_id="generic",
        targets=(),
        agent="0",
        state=UpdateState.FAILED,
        assignment=0,
    )
