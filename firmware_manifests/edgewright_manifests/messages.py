"""What devices and the fleet say to each other, over MQTT and HTTPS."""

import datetime
from enum import StrEnum
from typing import Literal

from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.release import Transport

RPC_CHUNK_BYTES = 64 * 1024
"""Payload of one RPC chunk; packets stay under the broker's 128 KiB."""
RPC_EXPIRY_S = 60
RPC_WINDOW = 8
"""Range requests that a device keeps in flight."""


class UpdateState(StrEnum):
    """Where a device is in an update's life; one word each, used everywhere."""

    IDLE = "idle"
    METADATA = "metadata"
    DOWNLOAD = "download"
    STAGE = "stage"
    PREFLIGHT = "preflight"
    SHADOW = "shadow"
    SWITCH = "switch"
    PROBATION = "probation"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    FAILED = "failed"


class Desired(Document, frozen=True):
    """`down/desired`: the doorbell. Untrusted: it only says that there is something to fetch."""

    generation: int
    """The director's assignment number for this device."""
    director_timestamp: Digest


class Installed(Document, frozen=True):
    """A release in a slot of the device."""

    model: str
    version: str
    variant: str
    """Variant id, e.g. `onnx-int8`."""
    manifest: Digest
    """Digest of the variant's OCI manifest (the TUF target)."""
    release_counter: int


class Figures(Document, frozen=True):
    """What the serving process counted for one generation. Latencies in milliseconds."""

    requests: int
    errors: int
    latency_ms_p50: float | None = None
    latency_ms_p99: float | None = None


class VersionReport(Document, frozen=True):
    """`up/reported` (signed, retained): the whole state of one device, Uptane's version report."""

    device: str
    sequence: int
    """Rises with every report, across restarts; the fleet drops one that does not rise."""
    time: datetime.datetime
    profile: str
    hardware_id: str
    targets: tuple[str, ...]
    """Targets that the device can run here and now, in order of preference."""
    agent: str
    """Version of the runtime."""
    state: UpdateState
    assignment: int
    """The director assignment that `state` is about; 0 before the first."""
    active: Installed | None = None
    pending: Installed | None = None
    reason: str | None = None
    """Why it refused or went back, for people; set with `failed` and after a rollback."""
    figures: Figures | None = None
    nonce: str | None = None


class Event(Document, frozen=True):
    """`up/event` (signed): one step of an update, kept in the outbox until acknowledged."""

    device: str
    id: str
    """Idempotency key: the fleet stores each once."""
    time: datetime.datetime
    assignment: int
    state: UpdateState
    outcome: Literal["entered", "done", "refused", "failed"]
    release: Installed | None = None
    detail: str | None = None
    duration_s: float | None = None


class Telemetry(Document, frozen=True):
    """`up/telemetry` (QoS 0, may be lost)."""

    time: datetime.datetime
    figures: Figures
    memory_bytes: int | None = None
    temperature_c: float | None = None


class RpcRequest(Document, frozen=True):
    """`up/rpc`: fetch metadata or a byte range over MQTT.

    Answers come on `down/rpc` as one or more chunks of at most RPC_CHUNK_BYTES with the
    request's Correlation Data and the user properties `status` (HTTP's codes), `index`,
    `count` and `length` (bytes of the whole answer).
    """

    operation: Literal["metadata", "range"]
    path: str
    """`metadata`: `director/NAME` or `image/NAME`; `range`: a blob's digest."""
    offset: int = 0
    length: int = 0
    """Bytes wanted from `offset`, at most RPC_CHUNK_BYTES; 0 with `metadata`."""


class EnrolmentToken(Document, frozen=True):
    """What `fleet token create` prints, base64url-encoded behind `ew1.`."""

    url: str
    """The operator listener, https://HOST:PORT."""
    ca: Digest
    """Digest of the fleet CA's certificate (DER); the device pins it before it sends anything."""
    secret: str


class EnrolmentRequest(Document, frozen=True):
    """POST /enrol/v1: the device made its own key; `csr` asks for the certificate (PEM)."""

    secret: str
    csr: str
    device: str
    profile: str
    hardware_id: str


class EnrolmentReply(Document, frozen=True):
    """All that a device needs for its life in the fleet. PEM and JSON texts are whole files."""

    tenant: str
    device: str
    certificate: str
    ca: str
    mqtt_host: str
    mqtt_port: int
    device_url: str
    """The device listener (mutual TLS), https://HOST:PORT."""
    director_root: str
    image_root: str
    transport: Transport = "https"
