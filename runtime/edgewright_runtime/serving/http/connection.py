"""One HTTP/1.1 connection: framing, limits, pipelining and time-outs; knows no models."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, cast

import httptools

from edgewright_runtime.errors import one_line
from edgewright_runtime.serving.access import REMEDY, Access
from edgewright_runtime.serving.clients import CLIENT_HEADER, peer_client
from edgewright_runtime.serving.http.messages import (
    REASONS,
    Application,
    HttpRefused,
    Reply,
    Request,
    error_reply,
)

_KEPT_HEADERS = frozenset(
    {
        b"accept-encoding",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"inference-header-content-length",
        b"traceparent",
        b"x-edgewright-key",
        CLIENT_HEADER,
    }
)
_PIPELINED = 16
"""Requests that one connection may have waiting before we stop reading from it."""
_JOINED_BYTES = 64 << 10
"""Replies up to this size are copied into one buffer, which is cheaper than two writes."""
_LINGER_S = 3.0
"""How long a refused client may go on sending, so that it gets to read why."""

_State = Literal["idle", "head", "body", "lingering", "closed"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of us. Sizes in bytes, durations in seconds."""

    body_bytes: int = 64 << 20
    head_bytes: int = 32 << 10
    read_timeout_s: float = 30.0
    """For a request's head as a whole, and for each pause within its body."""
    idle_timeout_s: float = 600.0
    """Clients keep pools of connections; one that is open and silent costs 10 KB."""
    connections: int = 1024
    access: Access | None = None
    """Who may ask; None lets everybody."""


class HttpConnection(asyncio.Protocol):
    """Answers its requests one after the other, in the order in which they came."""

    def __init__(
        self,
        application: Application,
        limits: Limits,
        opened: Callable[["HttpConnection"], None],
        closed: Callable[["HttpConnection"], None],
    ) -> None:
        self._application = application
        self._limits = limits
        self._opened = opened
        self._closed = closed
        self._clock = asyncio.get_running_loop().time
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request | Reply] = deque()
        self._is_answering = False
        self._is_working = False
        self._is_ending = False
        """No further request is read; what is queued is still answered."""
        self._is_finishing = False
        """The server shuts down: the request that is being read is the last."""
        self._is_write_paused = False
        self._is_read_paused = False
        self._request: Request | None = None
        self._client: Hashable = None
        self._last_data = self._since = self._clock()
        self._state: _State = "idle"
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._begin()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._client = peer_client(transport.get_extra_info("peername"), self)
        self._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._state = "closed"
        self._queue.clear()
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._is_ending:
            return
        self._last_data = self._clock()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request itself was complete and is queued; nothing after it is HTTP.
            self._is_ending = True
        except httptools.HttpParserError as error:
            self._refuse(HttpRefused(400, f"the request is no valid HTTP/1.1: {one_line(error)}"))
        if self._state == "head":
            self._head_bytes += len(data)
            if self._head_bytes > 2 * self._limits.head_bytes:
                self._refuse(self._head_too_large())
        self._work()

    def eof_received(self) -> bool:
        """A client may close its side and still read: keep ours open while we owe answers."""
        if self._state in ("head", "body"):
            self._refuse(HttpRefused(400, "the connection ended in mid-request"))
            self._work()
        self._is_ending = True
        # Under TLS both sides close together.
        return self._owes_answers() and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: the client does not read its answers."""
        self._is_write_paused = True
        self._since = self._clock()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_write_paused = False
        self._work()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._begin()
        self._state = "head"
        self._since = self._clock()

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._header_bytes += len(name) + len(value) + 4  # ": " and the line break
        lower = name.lower()
        if lower in _KEPT_HEADERS:
            self._headers[lower] = value

    def on_headers_complete(self) -> None:
        """The head ends here."""
        self._state = "body"
        self._head_bytes = 0
        if self._header_bytes + len(self._target) > self._limits.head_bytes:
            self._refuse(self._head_too_large())
            return
        access = self._limits.access
        if access is not None and not access.admits(self._headers.get(b"authorization")):
            self._refuse(_unknown_caller())
            return
        length = self._headers.get(b"content-length", b"0")
        # The parser has checked that it is a number below 2**64, with any count of zeros before.
        if int(length.strip()[-20:]) > self._limits.body_bytes:
            self._refuse(self._body_too_large())
            return
        expected = self._headers.get(b"expect")
        if expected is not None:
            if expected.lower() != b"100-continue":
                self._refuse(HttpRefused(417, "the only expectation is 100-continue"))
            elif not self._is_ending and not self._owes_answers():
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._is_ending:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._refuse(self._body_too_large())
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._is_ending:
            return
        self._state = "idle"
        self._since = self._clock()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._queue.append(
            Request(
                self._parser.get_method(),
                self._target,
                self._headers,
                body,
                self._parser.should_keep_alive(),
                self._parser.get_http_version() == "1.0",
                self._headers.get(CLIENT_HEADER, self._client),
            )
        )
        self._body = []
        if len(self._queue) >= _PIPELINED and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    # What the door calls.

    def finish(self) -> None:
        """Answer what was asked, or is being sent, then close."""
        self._is_finishing = True
        if self._state == "idle" and not self._owes_answers():
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def check_times(self) -> None:
        """Called about once a second: end what takes too long."""
        now = self._clock()
        limit_s = self._limits.read_timeout_s
        if self._state == "lingering":
            if now - self._since > _LINGER_S:
                self._transport.abort()
        elif self._is_write_paused:
            if now - self._since > limit_s:
                self._transport.abort()
        elif self._is_ending or self._owes_answers():
            return
        elif self._state == "idle":
            if now - self._since > self._limits.idle_timeout_s:
                self._transport.close()
        elif now - (self._since if self._state == "head" else self._last_data) > limit_s:
            self._refuse(HttpRefused(408, f"the request did not arrive within {limit_s:g} s"))
            self._work()

    def refuse_connection(self) -> None:
        """Say that there are too many, and close."""
        self._refuse(HttpRefused(503, "too many connections; try again later"))
        self._work()

    def _begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._header_bytes = 0
        self._head_bytes = 0
        self._body = []
        self._body_bytes = 0

    def _owes_answers(self) -> bool:
        return self._is_answering or bool(self._queue)

    def _refuse(self, problem: HttpRefused) -> None:
        """Queue the error behind what is owed; nothing more is read from this client."""
        if not self._is_ending:
            self._is_ending = True
            self._body = []
            self._queue.append(error_reply(problem))

    def _work(self) -> None:
        """Answer what is queued, until an answer takes time or the client does not read."""
        if self._is_working:
            return
        self._is_working = True
        while self._queue and not self._is_answering and not self._is_write_paused:
            request = self._queue.popleft()
            self._is_answering = True
            if isinstance(request, Reply):
                self._request = None
                self._answer(request)
            else:
                self._request = request
                self._application(request, self._answer)
        self._is_working = False
        if self._is_read_paused and len(self._queue) < _PIPELINED and not self._is_ending:
            self._is_read_paused = False
            self._transport.resume_reading()

    def _answer(self, reply: Reply) -> None:
        self._is_answering = False
        if self._state == "closed" or self._transport.is_closing():
            return
        request = self._request
        is_last = not self._queue and (
            self._is_ending or (self._is_finishing and self._state == "idle")
        )
        keeps_alive = request is not None and request.keep_alive and not is_last
        says_so = request is not None and request.is_http_1_0
        self._send(_head(reply, keeps_alive=keeps_alive, says_so=says_so), reply)
        self._since = self._clock()
        if keeps_alive:
            self._work()
            return
        self._is_ending = True
        self._queue.clear()
        if request is None and self._transport.can_write_eof():
            # Closing now would reset the connection under a client that is still sending,
            # and it would never read why it was refused.
            self._state = "lingering"
            self._transport.write_eof()
        else:
            self._transport.close()

    def _send(self, head: bytes, reply: Reply) -> None:
        if sum(len(part) for part in reply.body) <= _JOINED_BYTES:
            self._transport.write(b"".join((head, *reply.body)))
            return
        self._transport.write(head)
        for part in reply.body:
            self._transport.write(part)

    def _head_too_large(self) -> HttpRefused:
        return HttpRefused(431, f"the request's head has more than {self._limits.head_bytes} bytes")

    def _body_too_large(self) -> HttpRefused:
        return HttpRefused(413, f"the body has more than {self._limits.body_bytes} bytes")


def _unknown_caller() -> HttpRefused:
    return HttpRefused(
        401,
        f"this server answers callers with a token only; {REMEDY}",
        headers=b"WWW-Authenticate: Bearer\r\n",
    )


def _head(reply: Reply, *, keeps_alive: bool, says_so: bool) -> bytes:
    connection = b""
    if not keeps_alive:
        connection = b"Connection: close\r\n"
    elif says_so:
        connection = b"Connection: keep-alive\r\n"
    return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s%s\r\n" % (
        reply.status,
        REASONS[reply.status],
        reply.content_type,
        sum(len(part) for part in reply.body),
        reply.headers,
        connection,
    )
