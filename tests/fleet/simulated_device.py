"""A device as the fleet sees it: own key, enrolment, mTLS, MQTT, signed reports. No models."""

import base64
import contextlib
import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edgewright_manifests import documents
from edgewright_manifests.envelope import EVENT, VERSION_REPORT, key_id, seal
from edgewright_manifests.messages import (
    EnrolmentReply,
    EnrolmentToken,
    Event,
    Installed,
    RpcRequest,
    UpdateState,
    VersionReport,
)
from edgewright_manifests.topics import DeviceTopics
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.fleet.running import FleetProcess, wait_for


def read_token(token: str) -> EnrolmentToken:
    text = token.removeprefix("ew1.")
    return documents.decode(
        base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), EnrolmentToken, source="token"
    )


def make_csr(key: ec.EllipticCurvePrivateKey, name: str = "whatever") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


class SimulatedDevice:
    """Enrols in the constructor; `online()` connects."""

    def __init__(
        self,
        fleet: FleetProcess,
        name: str,
        folder: Path,
        *,
        token: str | None = None,
        profile: str = "generic",
        targets: tuple[str, ...] = ("onnx",),
    ) -> None:
        self.fleet, self.name, self.profile, self.targets = fleet, name, profile, targets
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.sequence = 0
        self.received: list[paho.MQTTMessage] = []
        self._got = threading.Condition()
        secret = read_token(token or fleet.token()).secret
        status, _, body = fleet.request(
            "POST",
            "/enrol/v1",
            json.dumps(
                {
                    "secret": secret,
                    "csr": make_csr(self.key),
                    "device": name,
                    "profile": profile,
                    "hardware_id": "generic",
                }
            ).encode(),
        )
        if status != 201:
            raise PermissionError(status, body.decode())
        self.reply = documents.decode(body, EnrolmentReply, source="enrolment")
        self.topics = DeviceTopics(self.reply.tenant, name)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = (folder / "device.crt", folder / "device.key")
        self.certificate[0].write_text(self.reply.certificate)
        self.certificate[1].write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """From the device listener."""
        status, _, body = self.fleet.request(
            "GET", path, headers=headers, url=self.reply.device_url, certificate=self.certificate
        )
        return status, body

    @contextlib.contextmanager
    def online(
        self, *, client_id: str = "", subscribe: tuple[str, ...] = ()
    ) -> Iterator[paho.Client]:
        """Connected over mutual TLS, subscribed to its own `down` branch."""
        client = self.client(client_id)
        ready = threading.Event()
        client.on_subscribe = lambda *_: ready.set()
        client.on_connect = lambda c, *_: c.subscribe(
            [(t, 1) for t in (*subscribe, self.topics.desired, self.topics.rpc_response)]
        )
        client.connect(self.reply.mqtt_host, self.reply.mqtt_port)
        client.loop_start()
        try:
            assert ready.wait(10), "not connected"
            client.publish(self.topics.online, b"1", qos=1, retain=True).wait_for_publish(10)
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def client(self, client_id: str = "") -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or self.name, protocol=paho.MQTTv5
        )
        context = ssl.create_default_context(cadata=self.reply.ca)
        context.load_cert_chain(*self.certificate)
        client.tls_set_context(context)
        client.on_message = self._message
        return client

    def _message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        with self._got:
            self.received.append(message)
            self._got.notify_all()

    def on_topic(self, topic: str) -> list[paho.MQTTMessage]:
        return [message for message in list(self.received) if message.topic == topic]

    def report(
        self, client: paho.Client, *, topic: str = "", sequence: int | None = None, **fields: Any
    ) -> bytes:
        """Publish a signed version report; the envelope."""
        self.sequence = sequence if sequence is not None else self.sequence + 1
        values: dict[str, Any] = {
            "device": self.name,
            "sequence": self.sequence,
            "time": datetime.datetime.now(datetime.UTC),
            "profile": self.profile,
            "hardware_id": "generic",
            "targets": self.targets,
            "agent": "0.1.0",
            "state": UpdateState.IDLE,
            "assignment": 0,
        }
        report = VersionReport(**{**values, **fields})
        data = self.seal(documents.encode(report), VERSION_REPORT)
        client.publish(topic or self.topics.reported, data, qos=1, retain=True).wait_for_publish(10)
        return data

    def event(self, client: paho.Client, event: Event) -> None:
        data = self.seal(documents.encode(event), EVENT)
        client.publish(self.topics.event, data, qos=1).wait_for_publish(10)

    def seal(self, payload: bytes, kind: str) -> bytes:
        return seal(payload, kind, self.key, key_id(self.key.public_key()))

    def ask(self, client: paho.Client, request: RpcRequest) -> tuple[int, bytes]:
        """One RPC: status and the joined chunks."""
        correlation = f"{self.name}-{len(self.received)}".encode()
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
        properties.ResponseTopic = self.topics.rpc_response
        properties.CorrelationData = correlation
        client.publish(
            self.topics.rpc_request, documents.encode(request), qos=1, properties=properties
        )

        def answer() -> tuple[int, bytes] | None:
            chunks = {}
            fields: dict[str, str] = {}
            for message in self.on_topic(self.topics.rpc_response):
                given: Any = message.properties
                if given.CorrelationData == correlation:
                    fields = dict(given.UserProperty)
                    chunks[int(fields["index"])] = bytes(message.payload)
            if not fields or len(chunks) < int(fields["count"]):
                return None
            body = b"".join(chunks[index] for index in sorted(chunks))
            assert len(body) == int(fields["length"])
            return int(fields["status"]), body

        return wait_for("an RPC answer", answer)


def installed(model: str, version: str, variant: str, manifest: str) -> Installed:
    return Installed(
        model=model, version=version, variant=variant, manifest=manifest, release_counter=1
    )
