"""The protocol between server and agent: one Unix socket, a typed request, a typed reply.

Frames are a 4-byte big-endian length and that many bytes of JSON. The agent (or
`edgewright runtime status`) asks, the server answers; requests on one connection are
answered in order. A generation is one loaded release of a model, named by the agent.
"""

from typing import Literal

import msgspec

from edgewright_runtime.errors import ControlFault

MAX_FRAME_BYTES = 1 << 20


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request"):
    """Base of all requests."""


class Load(Request, frozen=True, tag="load"):
    """Load and warm the unpacked variant in `folder` beside what is serving. Idempotent."""

    model: str
    generation: str
    folder: str


class Switch(Request, frozen=True, tag="switch"):
    """New requests of `model` go to `generation`.

    With `keep_previous` the one that served until now stays loaded and answers each request
    that the new one fails (probation); without, it is drained and unloaded.
    """

    model: str
    generation: str
    keep_previous: bool


class Unload(Request, frozen=True, tag="unload"):
    """Drain `generation` (let requests in flight finish) and free it. Idempotent."""

    model: str
    generation: str


class Measure(Request, frozen=True, tag="measure"):
    """Figures of one generation since it was switched to (or `reset`)."""

    model: str
    generation: str
    reset: bool = False


class Status(Request, frozen=True, tag="status"):
    """What is loaded."""


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="reply"):
    """Base of all replies."""


class Done(Reply, frozen=True, tag="done"):
    """The request was carried out."""


class Refused(Reply, frozen=True, tag="refused"):
    """It was not; nothing changed. `reason` is one line for people."""

    reason: str


class Measured(Reply, frozen=True, tag="measured"):
    """Figures of one generation. Latency is engine time per request, in milliseconds."""

    requests: int
    errors: int
    latency_ms_p50: float | None
    latency_ms_p99: float | None


class Generation(msgspec.Struct, frozen=True):
    """One loaded generation."""

    model: str
    generation: str
    role: Literal["active", "fallback", "standby"]
    variant: str
    placement: str
    """Where it runs, as the engine proves it, e.g. `onnxruntime CPUExecutionProvider`."""


class Loaded(Reply, frozen=True, tag="loaded"):
    """Answer to Status."""

    pid: int
    version: str
    generations: tuple[Generation, ...]
    http: str | None
    """The HTTP door's address, host:port."""
    grpc: str | None = None
    """The gRPC door's."""


AnyRequest = Load | Switch | Unload | Measure | Status
AnyReply = Done | Refused | Measured | Loaded


def frame(message: AnyRequest | AnyReply) -> bytes:
    """The message as it goes over the socket: its length, then its JSON."""
    data = msgspec.json.encode(message)
    return len(data).to_bytes(4, "big") + data


def frame_length(header: bytes) -> int:
    """Bytes that follow a frame's 4-byte header. Raises ControlFault beyond MAX_FRAME_BYTES."""
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME_BYTES:
        raise ControlFault(f"a control frame of {length} bytes; {MAX_FRAME_BYTES} are allowed")
    return length


def parse_request(data: bytes) -> AnyRequest:
    """The request in a frame's JSON. Raises ControlFault."""
    try:
        return _REQUESTS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlFault(f"no valid control request: {error}") from error


def parse_reply(data: bytes) -> AnyReply:
    """The reply in a frame's JSON. Raises ControlFault."""
    try:
        return _REPLIES.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlFault(f"no valid control reply: {error}") from error


_REQUESTS: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_REPLIES: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)
