"""The calls of one HTTP/2 connection: streams, windows and answers (RFC 9113); knows no models."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from edgewright_runtime.errors import DeadlineExceeded
from edgewright_runtime.serving.access import REMEDY, Access
from edgewright_runtime.serving.grpc.answers import Answers
from edgewright_runtime.serving.grpc.frames import (
    ACK,
    DEFAULT_WINDOW,
    MAX_WINDOW,
    ConnectionFault,
    Kind,
    Reason,
    Setting,
    StreamFault,
    depends_on,
    frame,
    read_settings,
)
from edgewright_runtime.serving.grpc.headers import CallHead, HeaderReader
from edgewright_runtime.serving.grpc.incoming import IncomingMessage, small_message
from edgewright_runtime.serving.grpc.patience import RESET_COST, Patience
from edgewright_runtime.serving.grpc.sender import Sender
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused
from edgewright_runtime.serving.grpc.stream import Application, Stream
from edgewright_runtime.serving.grpc.streamed import StreamedCall

STREAM_WINDOW = 4 << 20
CONNECTION_WINDOW = 16 << 20
_RECENT = 256
_PLAIN_BYTES = 64 << 10
"""What is no gRPC is answered when it is complete, or has sent this much."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of us. Sizes in bytes, durations in seconds."""

    message_bytes: int = 64 << 20
    """Of one message; the unfinished ones of a connection may have twice that together."""
    read_timeout_s: float = 30.0
    """For each pause within a call's message or its answer."""
    idle_timeout_s: float = 600.0
    streams: int = 128
    """Calls of one connection at the same time."""
    access: Access | None = None
    """Who may ask; None lets everybody."""


class Calls:
    """Takes a connection's frames (see `Frames`), answers its calls in any order."""

    def __init__(
        self,
        application: Application,
        limits: Limits,
        transport: asyncio.WriteTransport,
        client: Hashable,
        answered: Callable[[], None],
    ) -> None:
        self._application = application
        self._limits = limits
        self._client = client
        self.answered = answered
        """Called when there is something to flush, perhaps amid received frames."""
        self._loop = asyncio.get_running_loop()
        self._headers = HeaderReader()
        self._patience = Patience()
        self.tire = self._patience.tire
        """See `Frames`."""
        self.sender = Sender(transport, self._patience, self._sent)
        self.streams: dict[int, Stream] = {}
        self._answers = Answers(
            application,
            self.sender,
            self.streams,
            client=client,
            answered=answered,
            message_bytes=limits.message_bytes,
        )
        self._recent: deque[int] = deque(maxlen=_RECENT)
        """Streams that ended before their client was done: what it had under way is ignored."""
        self.last = 0
        """The highest stream that the client has opened."""
        self.is_finishing = False
        """No further call is taken; those that are here are answered."""
        self._usual: CallHead | None = None
        """Of a call that was nothing special: the next ones are mostly like it."""
        self._peer_window = DEFAULT_WINDOW
        self._window = CONNECTION_WINDOW
        self._consumed = 0
        self._held_bytes = 0
        self._credit(0, CONNECTION_WINDOW - DEFAULT_WINDOW)

    def finish(self) -> None:
        """Take no further call, and no further message of those that have many."""
        self.is_finishing = True
        ending = GrpcRefused(Code.UNAVAILABLE, "the server is shutting down")
        for stream in list(self.streams.values()):
            if isinstance(stream.incoming, StreamedCall) and not stream.answered:
                stream.incoming.stop(ending)

    def forget_all(self) -> None:
        """Nobody waits for an answer any more."""
        for stream in list(self.streams.values()):
            stream.forget()
            self._drop(stream)

    def forget_unfinished(self) -> None:
        """Nothing more is received: only what is complete will be answered."""
        for stream in list(self.streams.values()):
            if not stream.is_received:
                stream.forget()
                self._drop(stream)

    def second_passed(self, now_s: float) -> None:
        """Restore patience, end what has stalled. Raises ConnectionFault."""
        self._patience.second_passed()
        limit_s = self._limits.read_timeout_s
        for stream in list(self.streams.values()):
            if not stream.is_stalled(now_s, limit_s):
                continue
            if stream.answered or stream.rest is not None:
                self._reset(stream.identifier, Reason.CANCEL)
            else:
                late = DeadlineExceeded(f"the call did not arrive within {limit_s:g} s")
                self._answers.answer(stream, late)

    def data(
        self, number: int, charged: int, piece: memoryview, *, is_done: bool, ends: bool
    ) -> None:
        """See `Frames`."""
        self._window -= charged
        if self._window < 0:
            raise ConnectionFault(Reason.FLOW_CONTROL_ERROR, "more DATA than the window allows")
        self._consumed += charged
        if self._consumed >= CONNECTION_WINDOW // 2:
            self._window += self._consumed
            self._credit(0, self._consumed)
            self._consumed = 0
        stream = self.streams.get(number)
        if stream is None:
            if is_done:
                self._stray(number)
            return
        if stream.is_received:
            self._reset(number, Reason.STREAM_CLOSED)
            return
        stream.window -= charged
        if stream.window < 0:
            self._reset(number, Reason.FLOW_CONTROL_ERROR)
            return
        stream.size += len(piece)
        try:
            if is_done and ends and stream.is_simple and stream.message is None:
                self._received(stream, small_message(piece, self._limits.message_bytes))
                return
            self._feed(stream, piece)
            if not is_done:
                return
            if ends:
                self._received(stream, stream.message)
                return
        except GrpcRefused as error:
            stream.is_received = is_done and ends
            self._answers.answer(stream, error)
            return
        self.replenish(stream)

    def headers(self, number: int, block: bytes, *, ends: bool) -> None:
        """See `Frames`."""
        if not number & 1:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "clients open streams of odd numbers")
        stream = self.streams.get(number)
        if number > self.last:
            self.last = number
            try:
                head = self._headers.read_call(block)
            except StreamFault as fault:
                self._reset(number, fault.reason)
                return
            if self.is_finishing or len(self.streams) >= self._limits.streams:
                self._reset(number, Reason.REFUSED_STREAM)
                return
            stream = self.streams[number] = Stream(
                number,
                head,
                window=STREAM_WINDOW,
                send_window=self._peer_window,
                now_s=self._loop.time(),
            )
            self._begin(stream, ends=ends)
            return
        try:
            self._headers.read_trailers(block)
        except StreamFault as fault:
            if stream is not None:
                self._reset(number, fault.reason)
                return
        if stream is None:
            if number not in self._recent:
                raise ConnectionFault(Reason.STREAM_CLOSED, "HEADERS on a closed stream")
        elif stream.is_received:
            self._reset(number, Reason.STREAM_CLOSED)
        elif not ends:
            self._reset(number, Reason.PROTOCOL_ERROR)
        else:
            try:
                self._received(stream, stream.message)
            except GrpcRefused as error:
                self._answers.answer(stream, error)

    def control(self, kind: Kind, flags: int, number: int, payload: bytes) -> None:
        """See `Frames`."""
        self.tire(1)
        match kind:
            case Kind.WINDOW_UPDATE:
                self._widen(number, payload)
            case Kind.PING:
                _check(len(payload) == 8, not number)
                if not flags & ACK:
                    self.sender.add(frame(Kind.PING, ACK, 0, payload))
            case Kind.SETTINGS:
                _check(not (flags & ACK and payload), not number)
                if not flags & ACK:
                    self._settings(payload)
            case Kind.RST_STREAM:
                _check(len(payload) == 4, 0 < number <= self.last)
                stream = self.streams.get(number)
                if stream is not None:
                    stream.forget()
                    self._drop(stream)
                    self.tire(RESET_COST)
            case Kind.PRIORITY:
                _check(len(payload) == 5, bool(number) and depends_on(payload) != number)
            case Kind.GOAWAY:
                _check(len(payload) >= 8, not number)
                self.is_finishing = True
            case _:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "clients push nothing")

    def hold(self, size_bytes: int) -> None:
        """See `Host`."""
        self._held_bytes += size_bytes
        if size_bytes > 0 and self._held_bytes > 2 * self._limits.message_bytes:
            raise GrpcRefused(
                Code.RESOURCE_EXHAUSTED, "too many large messages at the same time; try again later"
            )

    def replenish(self, stream: Stream) -> None:
        """See `Host`."""
        missing = STREAM_WINDOW - stream.window
        if isinstance(stream.incoming, StreamedCall):
            missing -= stream.incoming.waiting_bytes
        if missing >= STREAM_WINDOW // 2:
            stream.window += missing
            self._credit(stream.identifier, missing)
            self.answered()

    def _begin(self, stream: Stream, *, ends: bool) -> None:
        head = stream.head
        if head is self._usual and not ends:
            return
        stream.is_received = ends
        if head.http_status != 200:
            if ends:
                self._answers.answer_plainly(stream)
            return
        problem = self._application.unanswerable(head.path)
        if head.problem is not None:
            problem = GrpcRefused(*head.problem)
        access = self._limits.access
        if access is not None and not access.admits(head.authorization):
            text = f"this server answers callers with a token only; {REMEDY} as metadata"
            problem = GrpcRefused(Code.UNAUTHENTICATED, text)
        if problem is None and head.path in self._application.streamed:
            call = StreamedCall(stream, self, self.sender, self._limits.message_bytes)
            call.exchange = self._application.open(
                head.path, call, head.client or self._client, wants_status=head.wants_status
            )
            stream.incoming, stream.is_simple = call, False
            self._answers.time(stream)
            if ends:
                call.end()
            return
        if problem is None and ends:
            problem = GrpcRefused(Code.INTERNAL, "a call without a message")
        if problem is None and access is None:
            self._usual = head
        if problem is not None:
            self._answers.answer(stream, problem)

    def _feed(self, stream: Stream, piece: memoryview) -> None:
        if stream.head.http_status != 200:
            if stream.size > _PLAIN_BYTES and not stream.answered:
                self._answers.answer_plainly(stream)
            return
        if isinstance(stream.incoming, StreamedCall):
            stream.incoming.feed(piece)
            return
        message = stream.message
        if message is None:
            message = stream.message = IncomingMessage(self._limits.message_bytes)
        before = message.size
        message.feed(piece)
        self.hold(message.size - before)

    def _received(self, stream: Stream, message: IncomingMessage | bytes | None) -> None:
        """The client has sent all. Raises GrpcRefused."""
        stream.is_received = True
        head = stream.head
        if head.content_length is not None and head.content_length != stream.size:
            self._reset(stream.identifier, Reason.PROTOCOL_ERROR)
        elif head.http_status != 200:
            self._answers.answer_plainly(stream)
        elif isinstance(stream.incoming, StreamedCall):
            stream.incoming.end()
        elif isinstance(message, bytes):
            self._answers.ask(stream, message)
        else:
            self._answers.ask_whole(stream, message or IncomingMessage(0))

    def _sent(self, stream: Stream) -> None:
        """All of the answer has gone."""
        self._drop(stream)
        self._patience.answered()
        if not stream.is_received:
            # RFC 9113, 8.1: the answer does not need the rest of the request.
            self._recent.append(stream.identifier)
            reason = Reason.NO_ERROR.to_bytes(4, "big")
            self.sender.add(frame(Kind.RST_STREAM, 0, stream.identifier, reason))

    def _drop(self, stream: Stream) -> None:
        if self.streams.pop(stream.identifier, None) is not None:
            stream.rest = stream.trailers = None
            if stream.message is not None and stream.incoming is None:
                self._held_bytes -= stream.message.size

    def _reset(self, number: int, reason: Reason) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            stream.forget()
            self._drop(stream)
        self._recent.append(number)
        self.sender.add(frame(Kind.RST_STREAM, 0, number, reason.to_bytes(4, "big")))
        self.tire(RESET_COST)

    def _stray(self, number: int) -> None:
        if number > self.last or not number & 1:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "DATA on a stream that is not open")
        if number not in self._recent:
            self._reset(number, Reason.STREAM_CLOSED)

    def _settings(self, payload: bytes) -> None:
        for key, value in read_settings(payload):
            if key == Setting.MAX_FRAME_SIZE:
                self.sender.frame_bytes = value
            elif key == Setting.INITIAL_WINDOW_SIZE:
                change, self._peer_window = value - self._peer_window, value
                for stream in list(self.streams.values()):
                    self._widen_stream(stream, change)
        self.sender.add(frame(Kind.SETTINGS, ACK, 0))

    def _widen(self, number: int, payload: bytes) -> None:
        _check(len(payload) == 4, number <= self.last)
        increment = int.from_bytes(payload, "big") & MAX_WINDOW
        if not number:
            _check(True, increment > 0)
            self.sender.widen(increment)
            return
        stream = self.streams.get(number)
        if stream is None:
            return
        if not increment:
            self._reset(number, Reason.PROTOCOL_ERROR)
        elif stream.send_window + increment > MAX_WINDOW:
            self._reset(number, Reason.FLOW_CONTROL_ERROR)
        else:
            self._widen_stream(stream, increment)

    def _widen_stream(self, stream: Stream, change: int) -> None:
        stream.send_window += change
        if stream.send_window > MAX_WINDOW:
            raise ConnectionFault(Reason.FLOW_CONTROL_ERROR, "a window goes beyond 2^31-1")
        self.sender.unblock(stream)

    def _credit(self, number: int, increment: int) -> None:
        self.sender.add(frame(Kind.WINDOW_UPDATE, 0, number, increment.to_bytes(4, "big")))


def _check(length_fits: bool, stream_fits: bool) -> None:
    if not length_fits:
        raise ConnectionFault(Reason.FRAME_SIZE_ERROR, "a frame of the wrong length")
    if not stream_fits:
        raise ConnectionFault(Reason.PROTOCOL_ERROR, "a frame on the wrong stream, or of nothing")
