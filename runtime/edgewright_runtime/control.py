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


class Shade(Request, frozen=True, tag="shade"):
    """Let the unpacked variant in `folder` (or the model file) answer a copy of `share` (0..1).

    Its answers are compared and thrown away. Without `folder` the shadow is taken away.
    """

    model: str
    folder: str | None = None
    share: float = 1.0


class Divide(Request, frozen=True, tag="divide"):
    """Let the variant in `folder` answer `share` (0..1) of the keys that requests bear.

    Without `folder` the active release answers them all again.
    """

    model: str
    folder: str | None = None
    share: float = 0.5


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

    notice: str | None = None
    """What it did to the requests meanwhile, e.g. that there were no answers for a while."""


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
    role: Literal["active", "fallback", "standby", "shadow", "split"]
    variant: str
    placement: str
    """Where it runs, as the engine proves it, e.g. `onnxruntime CPUExecutionProvider`."""
    kept_bytes: int = 0
    """Memory that loading it took for good, as measured; 0 where the kernel does not tell."""
    pid: int | None = None
    """Of the process that runs it, where it has one of its own."""
    problem: str | None = None
    """Why its engine stays down."""
    misplaced: str | None = None
    """What does not run where its settings want it."""
    batch: int = 1
    """The most requests that run together, as loading measured that it pays; 1: none do."""


class ShadowFigures(msgspec.Struct, frozen=True):
    """What a shadow's answers were worth beside those that were given."""

    model: str
    generation: str
    share: float
    seen: int
    """Requests that were answered meanwhile."""
    compared: int
    dropped: int
    """Not compared, because it was busy."""
    misfits: int
    """It failed, or gave other shapes or no numbers."""
    top1_agreement: float | None
    largest_error: float
    snr_db: float | None
    latency_ms_p50: float | None


class Loaded(Reply, frozen=True, tag="loaded"):
    """Answer to Status."""

    pid: int
    version: str
    generations: tuple[Generation, ...]
    http: str | None
    """The HTTP door's address, host:port."""
    grpc: str | None = None
    """The gRPC door's."""
    state: Literal["loading", "serving", "stopping"] = "serving"
    """Whether the models that it was started with are loaded; and whether it ends."""
    shadows: tuple[ShadowFigures, ...] = ()
    splits: dict[str, float] = {}
    """By model the share of keys that the second release answers."""
    absent: dict[str, str] = {}
    """Models that are known but not in memory, and why."""
    notices: dict[str, str] = {}
    """By model what its last load did to the requests meanwhile, if it did something."""


AnyRequest = Load | Switch | Unload | Shade | Divide | Measure | Status
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
