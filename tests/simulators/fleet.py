"""A fleet of real parts in one test: TUF repositories, mutual TLS, mosquitto; no rollouts.

What differs from the service: assignments come straight from the test, and its answers
can be spoiled, slowed and counted.
"""

import base64
import datetime
import http.server
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from edgewright_manifests import documents
from edgewright_manifests.bundle import Bundle, BundleEntry
from edgewright_manifests.digest import Digest, digest_of
from edgewright_manifests.envelope import EVENT, VERSION_REPORT, open_envelope
from edgewright_manifests.messages import (
    RPC_CHUNK_BYTES,
    Desired,
    EnrolmentReply,
    EnrolmentRequest,
    EnrolmentToken,
    Event,
    RpcRequest,
    VersionReport,
)
from edgewright_manifests.metadata import (
    DirectorRepository,
    ImageRepository,
    Keyring,
    init_keys,
    next_release_counter,
    sign_targets,
    utc_now,
)
from edgewright_manifests.release import (
    DirectorCustom,
    ImageCustom,
    ProbationPolicy,
    Transport,
    target_path,
)
from edgewright_manifests.topics import DeviceTopics, all_upward, parse_upward
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.simulators.authority import Authority
from tests.simulators.broker import FLEET, Broker, free_port
from tests.simulators.waiting import wait_until

TENANT = "test"
SECRET = "only-for-tests"
QUICK = ProbationPolicy(duration_s=0.2, min_requests=0)
"""A probation that a test can wait for; without traffic it ends after its duration."""


class FleetSimulator:
    """Start it, publish releases, assign them; `reports` and `events` are what devices said."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], datetime.datetime] = utc_now, mqtt: bool = True
    ) -> None:
        self.authority = Authority(folder / "ca")
        keys = folder / "keys"
        init_keys(keys, root_keys=1, root_threshold=1)
        online = Keyring(keys / "online")
        self._keys = keys
        self.image = ImageRepository.open(folder / "image", keys / "public", online, clock=clock)
        self.director = DirectorRepository.open(
            folder / "director", keys / "public", online, clock=clock
        )
        self.blobs: dict[Digest, bytes] = {}
        self.sent: Counter[str] = Counter()
        """Bytes of each blob that left, over either transport."""
        self.requests: Counter[str] = Counter()
        self.hold_after: int | None = None
        """Bytes of each blob after which nothing more of it leaves, until this is None again."""
        self.reports: dict[str, list[VersionReport]] = {}
        self.events: dict[str, dict[str, Event]] = {}
        self.repeats = 0
        self.online: dict[str, bool] = {}
        self.director_of: dict[str, str] = {}
        """Whose director metadata a device is given instead of its own."""
        self.spoil_metadata: Callable[[str, str, bytes], bytes] = lambda *what: what[2]
        self._certificates: dict[str, bytes] = {}
        self._assignments: Counter[str] = Counter()
        self._desired: dict[str, bytes] = {}
        self.broker = Broker(folder / "broker", self.authority, TENANT) if mqtt else None
        self._device_port, self._operator_port = free_port(), free_port()
        self._servers: list[http.server.ThreadingHTTPServer] = []
        self._client: paho.Client | None = None

    def start(self) -> None:
        """Open every door; the ports stay the same over `stop` and `start`."""
        for port, mutual in ((self._device_port, True), (self._operator_port, False)):
            server = _Server(("127.0.0.1", port), _handler(self, mutual=mutual))
            server.tls = self._tls(mutual=mutual)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self._servers.append(server)
        if self.broker is not None:
            self.broker.start()
            self._connect()

    def stop(self) -> None:
        """Close every door: the fleet and its broker are gone."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
        if self.broker is not None:
            self.broker.stop()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()

    def token(self) -> str:
        """An enrolment token."""
        token = EnrolmentToken(
            url=f"https://127.0.0.1:{self._operator_port}",
            ca=digest_of(self.authority.der),
            secret=SECRET,
        )
        return "ew1." + base64.urlsafe_b64encode(documents.encode(token)).decode().rstrip("=")

    def publish(self, bundle: Bundle) -> None:
        """Sign a bundle into the image repository and serve its blobs."""
        current = self.image.read("targets.json")
        counter = next_release_counter(current, bundle.name, bundle.version)
        additions, manifests = {}, {}
        for entry in bundle.entries:
            path = _path(bundle, entry)
            custom = ImageCustom(
                kind="model",
                model=bundle.name,
                version=bundle.version,
                release_counter=counter,
                bundle=bundle.digest,
                target=entry.variant.target,
                precision=entry.variant.precision,
            )
            additions[path] = (entry.manifest_bytes, custom)
            manifests[path] = entry.manifest_bytes
            self.blobs[entry.manifest_digest] = entry.manifest_bytes
        for digest in bundle.blobs:
            self.blobs[digest] = bundle.read_blob(digest)
        signed = sign_targets(self._keys / "offline", current, additions)
        self.image.accept_targets(signed, manifests)

    def assign(
        self,
        device: str,
        bundle: Bundle,
        *,
        probation: ProbationPolicy = QUICK,
        transport: Transport = "https",
        rollback: bool = False,
        hardware_id: str = "generic",
        ring: bool = True,
    ) -> int:
        """Give `device` the bundle's first variant; gives the assignment's number."""
        entry = bundle.entries[0]
        path = _path(bundle, entry)
        image = self.image.targets()[path]
        self._assignments[device] += 1
        number = self._assignments[device]
        custom = DirectorCustom(
            image=ImageCustom(**{**image.custom, "hardware_ids": ("any",)}),
            device=device,
            hardware_id=hardware_id,
            assignment=number,
            rollback=rollback,
            transport=transport,
            probation=probation,
        )
        signed = self.director.assign(
            device, {path: (image.length, image.hashes["sha256"], custom)}
        )
        if ring:
            self.ring(device, number, signed.timestamp_digest)
        return number

    def ring(self, device: str, generation: int, timestamp: Digest) -> None:
        """Publish the doorbell."""
        self._desired[device] = documents.encode(
            Desired(generation=generation, director_timestamp=timestamp)
        )
        if self._client is not None:
            topic = DeviceTopics(TENANT, device).desired
            self._client.publish(topic, self._desired[device], qos=1, retain=True)

    def last(self, device: str) -> VersionReport | None:
        """The newest version report."""
        return self.reports[device][-1] if self.reports.get(device) else None

    def wait_for(
        self, device: str, state: str, assignment: int, *, limit_s: float = 30.0
    ) -> VersionReport:
        """The report that says that `assignment` is in `state`."""

        def look() -> VersionReport | None:
            report = self.last(device)
            if report is not None and (report.state, report.assignment) == (state, assignment):
                return report
            return None

        try:
            return wait_until(look, limit_s, f"{device} reports {state} of {assignment}")
        except AssertionError as error:
            raise AssertionError(f"{error}; last report: {self.last(device)}") from None

    def is_held(self, digest: Digest) -> bool:
        """Whether nothing of this blob may leave for now."""
        return self.hold_after is not None and self.sent[digest] >= self.hold_after

    # What the doors answer.

    def metadata(self, device: str, repository: str, name: str) -> bytes | None:
        """A metadata file as this device is to see it."""
        self.requests[f"{repository}/{name}"] += 1
        if repository == "director":
            data = self.director.read(self.director_of.get(device, device), name)
        else:
            data = self.image.read(name)
        return data if data is None else self.spoil_metadata(repository, name, data)

    def enrol(self, request: EnrolmentRequest) -> tuple[int, bytes]:
        """(status, body) for POST /enrol/v1."""
        if request.secret != SECRET:
            return 403, json.dumps({"error": "the enrolment token is wrong or used up"}).encode()
        if request.device in self._certificates:
            return 409, json.dumps({"error": f"device {request.device!r} is enrolled"}).encode()
        certificate = self.authority.issue_device(request.csr)
        self._certificates[request.device] = certificate.encode()
        public = self._keys / "public"
        reply = EnrolmentReply(
            tenant=TENANT,
            device=request.device,
            certificate=certificate,
            ca=self.authority.pem,
            mqtt_host="127.0.0.1",
            mqtt_port=self.broker.port if self.broker else 1,
            device_url=f"https://127.0.0.1:{self._device_port}",
            director_root=(public / "director.1.root.json").read_text(),
            image_root=(public / "image.1.root.json").read_text(),
        )
        return 201, documents.encode(reply)

    def _connect(self) -> None:
        assert self.broker is not None
        context = ssl.create_default_context(cafile=str(self.authority.folder / "ca.crt"))
        context.load_cert_chain(*self.authority.issue_server(FLEET))
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=FLEET, protocol=paho.MQTTv5)
        client.tls_set_context(context)
        client.on_message = self._on_message
        ready = threading.Event()
        client.on_subscribe = lambda *_: ready.set()
        client.on_connect = lambda c, *_: c.subscribe(all_upward(), qos=1)
        client.connect("127.0.0.1", self.broker.port, clean_start=True)
        client.loop_start()
        assert ready.wait(10), "the simulator cannot reach its broker"
        self._client = client
        for device, payload in self._desired.items():
            client.publish(DeviceTopics(TENANT, device).desired, payload, qos=1, retain=True)

    # Any: paho hands `userdata` of any type.
    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        where = parse_upward(message.topic)
        payload = bytes(message.payload)
        if where.channel == "online":
            self.online[where.device] = payload == b"1"
        elif where.channel == "rpc":
            self._answer_rpc(client, where.device, payload, message.properties)
        elif where.channel == "reported":
            body = open_envelope(payload, VERSION_REPORT, self._public_key(where.device))
            report = documents.decode(body, VersionReport, source=message.topic)
            known = self.reports.setdefault(where.device, [])
            if not known or report.sequence > known[-1].sequence:
                known.append(report)
        elif where.channel == "event":
            body = open_envelope(payload, EVENT, self._public_key(where.device))
            event = documents.decode(body, Event, source=message.topic)
            known_events = self.events.setdefault(where.device, {})
            self.repeats += event.id in known_events
            known_events.setdefault(event.id, event)

    def _answer_rpc(
        self, client: paho.Client, device: str, payload: bytes, asked: Properties | None
    ) -> None:
        request = documents.decode(payload, RpcRequest, source="rpc")
        if request.operation == "metadata":
            repository, _, name = request.path.partition("/")
            data = self.metadata(device, repository, name)
            status = 200
        else:
            if self.is_held(request.path):
                return  # lost, as messages may be
            whole = self.blobs.get(request.path)
            data = whole[request.offset : request.offset + request.length] if whole else None
            status = 206
            self.sent[request.path] += len(data or b"")
        if data is None:
            status, data = 404, b"there is none"
        chunks = [data[i : i + RPC_CHUNK_BYTES] for i in range(0, len(data), RPC_CHUNK_BYTES)]
        for index, chunk in enumerate(chunks or [b""]):
            fields = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
            fields.CorrelationData = getattr(asked, "CorrelationData", b"")
            fields.UserProperty = [
                ("status", str(status)),
                ("index", str(index)),
                ("count", str(len(chunks) or 1)),
                ("length", str(len(data))),
            ]
            topic = DeviceTopics(TENANT, device).rpc_response
            client.publish(topic, chunk, qos=1, properties=fields)

    def _public_key(self, device: str) -> Any:  # Any: cryptography's union of key types
        from cryptography import x509

        return x509.load_pem_x509_certificate(self._certificates[device]).public_key()

    def _tls(self, *, mutual: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue_server("server"))
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority.folder / "ca.crt")
        return context


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:  # Any: as socketserver
        # The handshake belongs into the connection's own thread.
        try:
            with self.tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            pass  # a client that refused us, or was killed

    def shutdown_request(self, request: Any) -> None:  # Any: as socketserver
        self.close_request(request)


def _handler(fleet: FleetSimulator, *, mutual: bool) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # http.server's name
            parts = self.path.strip("/").split("/")
            if not mutual:
                known = self.path == "/enrol/v1/ca"
                self._reply(200 if known else 404, fleet.authority.pem.encode())
            elif parts[0] == "tuf":
                data = fleet.metadata(self._device(), parts[1], "/".join(parts[2:]))
                self._reply(404 if data is None else 200, data or b"there is none")
            else:
                self._blob(f"sha256:{parts[-1]}")

        def do_POST(self) -> None:  # http.server's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._reply(*fleet.enrol(documents.decode(body, EnrolmentRequest, source="body")))

        def _device(self) -> str:
            subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
            return str(subject["commonName"])

        def _blob(self, digest: Digest) -> None:
            data = fleet.blobs.get(digest)
            fleet.requests[digest] += 1
            if data is None:
                self._reply(404, b"there is no such blob")
                return
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            wanted = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(wanted)))
            self.end_headers()
            for at in range(0, len(wanted), RPC_CHUNK_BYTES):
                piece = wanted[at : at + RPC_CHUNK_BYTES]
                if fleet.is_held(digest):
                    wait_until(lambda: not fleet.is_held(digest), 60, "the blob is let go")
                self.wfile.write(piece)
                self.wfile.flush()
                fleet.sent[digest] += len(piece)

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _path(bundle: Bundle, entry: BundleEntry) -> str:
    return target_path(bundle.name, bundle.version, entry.variant.id)
