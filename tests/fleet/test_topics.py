"""What the broker lets a device do: its own branch, and nothing beside it."""

import contextlib
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from edgewright_fleet.ca import CertificateAuthority
from edgewright_manifests.messages import UpdateState
from paho.mqtt.enums import CallbackAPIVersion

from tests.fleet.running import FleetProcess, wait_for
from tests.fleet.simulated_device import SimulatedDevice

Enrol = Callable[..., SimulatedDevice]


def test_a_device_gets_its_doorbell(enrol: Enrol) -> None:
    device = enrol()
    with device.online():
        wait_for("desired", lambda: device.on_topic(device.topics.desired))


def test_a_publish_into_another_devices_branch_is_not_delivered(
    fleet: FleetProcess, enrol: Enrol
) -> None:
    mallory, victim = enrol(), enrol()
    with victim.online() as its_client:
        for topic, payload in (
            (victim.topics.online, b"0"),
            (victim.topics.desired, b"evil"),
            (victim.topics.rpc_response, b"evil"),
        ):
            with mallory.online() as client:
                dropped = threading.Event()
                client.on_disconnect = lambda *_, dropped=dropped: dropped.set()
                client.publish(topic, payload)
                # mosquitto ends a connection that publishes where it may not.
                assert dropped.wait(10)
        victim.report(its_client)
        wait_for("the report", lambda: state_of(fleet, victim.name))
        assert fleet.api("GET", f"/api/v1/devices/{victim.name}")[1]["online"] is True
        assert all(message.payload != b"evil" for message in victim.received)


def test_an_eavesdropper_hears_nothing(fleet: FleetProcess, enrol: Enrol) -> None:
    mallory, victim = enrol(), enrol()
    everything = ("#", "ew/1/+/d/+/up/#", victim.topics.desired, victim.topics.reported, "$SYS/#")
    with mallory.online(subscribe=everything), victim.online() as client:
        victim.report(client)
        wait_for("the report", lambda: state_of(fleet, victim.name))
        wait_for("its own doorbell", lambda: mallory.on_topic(mallory.topics.desired))
        assert {message.topic for message in mallory.received} <= {
            mallory.topics.desired,
            mallory.topics.rpc_response,
        }


def test_a_device_cannot_end_anothers_session_by_taking_its_client_id(
    fleet: FleetProcess, enrol: Enrol
) -> None:
    mallory, victim = enrol(), enrol()
    with victim.online() as client:
        dropped = threading.Event()
        client.on_disconnect = lambda *_: dropped.set()
        with mallory.online(client_id=victim.name) as other:
            mallory.report(other)
            wait_for("the report", lambda: state_of(fleet, mallory.name))
            assert not dropped.is_set()
            assert client.is_connected()


@pytest.mark.parametrize("proof", ["none", "foreign"])
def test_a_stranger_is_not_let_in(
    fleet: FleetProcess, enrol: Enrol, tmp_path: Path, proof: str
) -> None:
    device = enrol()
    context = ssl.create_default_context(cadata=device.reply.ca)
    if proof == "foreign":
        foreign = CertificateAuthority.open(tmp_path / "foreign")
        foreign.prepare([])
        context.load_cert_chain(*foreign.link_files)
    assert refused(device, context)


def test_a_revoked_device_is_out_at_once(fleet: FleetProcess, enrol: Enrol) -> None:
    device, witness = enrol(), enrol()
    with device.online() as client, witness.online() as other:
        device.report(client)
        wait_for("the report", lambda: state_of(fleet, device.name) == "idle")
        assert device.get("/tuf/image/timestamp.json")[0] == 200
        fleet.command("devices", "revoke", device.name, "--change-ticket", "SEC-1")

        dropped = threading.Event()
        client.on_disconnect = lambda *_: dropped.set()

        def cut_off() -> bool:
            with contextlib.suppress(RuntimeError):  # the connection ends under it
                device.report(client, state=UpdateState.DOWNLOAD)
            return dropped.wait(0.2)

        # The fleet drops its reports at once; the broker takes up its new lists on a signal.
        wait_for("the broker to cut it off", cut_off)
        witness.report(other)
        wait_for("the witness", lambda: state_of(fleet, witness.name))
        assert state_of(fleet, device.name) == "idle"
        status, body = device.get("/tuf/image/timestamp.json")
        assert (status, b"is revoked" in body) == (403, True)
        assert other.is_connected()
    context = ssl.create_default_context(cadata=device.reply.ca)
    context.load_cert_chain(*device.certificate)
    # The broker takes up the new list on a signal, a moment after the answer.
    wait_for("the revocation list", lambda: refused(device, context))
    _, entries = fleet.api("GET", "/api/v1/audit/entries?limit=50")
    revocation = next(e for e in entries if e["operation"] == "device.revoke")
    assert revocation["change_ticket"] == "SEC-1"
    assert revocation["resources"] == [f"device:{device.name}"]


def state_of(fleet: FleetProcess, device: str) -> str | None:
    state: str | None = fleet.api("GET", f"/api/v1/devices/{device}")[1]["state"]
    return state


def refused(device: SimulatedDevice, context: ssl.SSLContext) -> bool:
    """Whether a connection with this TLS context never becomes an MQTT session."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="", protocol=paho.MQTTv5)
    client.tls_set_context(context)
    connected, ended = threading.Event(), threading.Event()

    def welcome(*_: object) -> None:
        connected.set()
        ended.set()

    client.on_connect = welcome
    client.on_disconnect = lambda *_: ended.set()
    client.on_connect_fail = lambda *_: ended.set()
    try:
        client.connect(device.reply.mqtt_host, device.reply.mqtt_port)
    except (ssl.SSLError, OSError):
        return True
    client.loop_start()
    assert ended.wait(10)
    client.disconnect()
    client.loop_stop()
    return not connected.is_set()
