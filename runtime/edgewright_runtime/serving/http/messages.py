"""One HTTP request and one reply, as the connection and the application hand them over."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineDown,
    InvalidInput,
    ModelLoading,
    ModelUnknown,
    NotAllowed,
    Overloaded,
    RegionUnknown,
    RuntimeFault,
)

REASONS: Mapping[int, bytes] = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    417: b"Expectation Failed",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    503: b"Service Unavailable",
}
JSON = b"application/json"
OCTETS = b"application/octet-stream"


class HttpRefused(RuntimeFault):
    """A request that HTTP itself, not the model, has to refuse."""

    def __init__(self, status: int, message: str, *, headers: bytes = b"") -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)


@dataclass(slots=True)  # this and Reply are not frozen, which costs a microsecond for each
class Request:
    """A complete request; `headers` has lower-case names and only those that we read."""

    method: bytes
    target: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    keep_alive: bool
    is_http_1_0: bool = False
    client: Hashable = None
    """Who asks, where requests take turns between clients."""


@dataclass(slots=True)
class Reply:
    """What to answer. `headers` are whole lines, each with its line break."""

    status: int
    content_type: bytes
    body: Sequence[Buffer]
    headers: bytes = b""


class Answer(Protocol):
    """Takes the reply to one request, at once or later; call it once, on the event loop."""

    def __call__(self, reply: Reply) -> None:
        """Send it."""


class Application(Protocol):
    """Answers requests."""

    def __call__(self, request: Request, answer: Answer) -> None:
        """Have `answer` called with the reply to `request`. Raises nothing."""


def json_reply(document: object, *, status: int = 200) -> Reply:
    """The document as JSON."""
    return Reply(status, JSON, (orjson.dumps(document),))


def empty_reply() -> Reply:
    """Done, and nothing to say."""
    return Reply(200, JSON, ())


def error_reply(error: RuntimeFault) -> Reply:
    """The protocol's error document with the status that the error maps to."""
    headers = error.headers if isinstance(error, HttpRefused) else b""
    if isinstance(error, Overloaded | EngineDown):
        wait_s = error.retry_after_s if isinstance(error, ModelLoading | EngineDown) else 1.0
        headers = b"Retry-After: %d\r\n" % math.ceil(wait_s)
    return Reply(_status(error), JSON, (orjson.dumps({"error": _line(str(error))}),), headers)


def _status(error: RuntimeFault) -> int:
    match error:
        case HttpRefused(status=status):
            return status
        case InvalidInput():
            return 400
        case NotAllowed():
            return 403
        case ModelUnknown() | RegionUnknown():
            return 404
        case EngineDown() | Overloaded() | DeadlineExceeded() | Cancelled():
            return 503
        case _:
            return 500


def _line(text: str) -> str:
    """Names from hostile requests may hold line breaks, and surrogates that UTF-8 cannot."""
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
