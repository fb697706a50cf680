"""The messages of a call of many, both ways: no more of them at a time than can be held."""

from collections.abc import Sequence
from typing import Protocol

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.serving.grpc.headers import ANSWER_HEAD, ANSWER_TRAILERS, failure, refusal
from edgewright_runtime.serving.grpc.incoming import IncomingMessage, cut_off
from edgewright_runtime.serving.grpc.packing import unpack
from edgewright_runtime.serving.grpc.sender import Sender
from edgewright_runtime.serving.grpc.status import GrpcRefused, code_of
from edgewright_runtime.serving.grpc.stream import Exchange, Stream

IN_FLIGHT = 32
"""Messages of one call that are taken but not answered; what comes after them waits with the
client, by HTTP/2's flow control. Fewer than a model's queue: one caller does not fill it."""
_UNSENT_BYTES = 4 << 20
"""Replies that the client does not read, from which on nothing more is taken."""
_NOTHING = memoryview(b"")


class Host(Protocol):
    """What a streamed call asks of its connection."""

    def hold(self, size_bytes: int) -> None:
        """This much more memory is in use. Raises GrpcRefused when that is too much."""

    def replenish(self, stream: Stream) -> None:
        """The stream has used what came in."""

    def answered(self) -> None:
        """There is something to flush."""


class StreamedCall:
    """Implements `Peer` for the application, and `Incoming` for its stream."""

    exchange: Exchange

    def __init__(self, stream: Stream, host: Host, sender: Sender, limit_bytes: int) -> None:
        self._stream = stream
        self._host = host
        self._sender = sender
        self._limit_bytes = limit_bytes
        self._front = _NOTHING
        """Bytes that came and have to wait."""
        self._behind = bytearray()
        """Those after them; none is copied again for each message that is taken from the front."""
        self._in_flight = 0
        self._held_bytes = 0
        self._is_ended = False
        self._is_working = False

    # What the connection calls.

    def feed(self, piece: memoryview) -> None:
        """Bytes of the call."""
        if self.waiting_bytes:
            self._behind += piece
        else:
            self._front = memoryview(bytes(self._taken(piece)))

    def end(self) -> None:
        """The client has sent all."""
        self._is_ended = True
        self.go_on()

    def stop(self, error: RuntimeFault) -> None:
        """Take nothing more: answer what was taken, then end the call with `error`."""
        self._front, self._behind = _NOTHING, bytearray()
        self._is_ended = False
        self.exchange.end(error)

    def go_on(self) -> None:
        """See `Incoming`."""
        if self._is_working or self._stream.answered:
            return
        if self.waiting_bytes and not self._is_full:
            while self.waiting_bytes and not self._is_full and not self._stream.answered:
                if not self._front:
                    self._front, self._behind = memoryview(self._behind), bytearray()
                self._front = self._taken(self._front)
            self._host.replenish(self._stream)
        if self._is_ended and not self.waiting_bytes and not self._stream.answered:
            self._is_ended = False
            if self._stream.message is not None:
                self.close(cut_off())
            else:
                self.exchange.end()

    def forget(self) -> None:
        """See `Incoming`."""
        self.exchange.forget()
        self._front, self._behind = _NOTHING, bytearray()
        held, self._held_bytes = self._held_bytes, 0
        self._host.hold(-held)

    @property
    def waiting_bytes(self) -> int:
        """Of what came and is not taken yet."""
        return len(self._front) + len(self._behind)

    # What the application calls.

    def send(self, parts: Sequence[Buffer]) -> None:
        """See `Peer`."""
        stream = self._stream
        if stream.answered:
            return
        if not stream.begun:
            self._sender.begin(stream, ANSWER_HEAD)
        self._sender.put(stream, parts)
        self._host.answered()

    def release(self, size_bytes: int) -> None:
        """See `Peer`."""
        self._in_flight -= 1
        size = min(size_bytes, self._held_bytes)  # all is given back when the call is forgotten
        self._held_bytes -= size
        self._host.hold(-size)
        self.go_on()

    def close(self, error: RuntimeFault | None) -> None:
        """See `Peer`."""
        stream = self._stream
        if stream.answered:
            return
        stream.answered = True
        if stream.timer is not None:
            stream.timer.cancel()
        if error is not None:
            self.forget()
            tell = failure if stream.begun else refusal
            self._sender.finish(stream, tell(code_of(error), str(error)))
        else:
            if not stream.begun:
                self._sender.begin(stream, ANSWER_HEAD)
            self._sender.finish(stream, ANSWER_TRAILERS)
        self._host.answered()

    @property
    def _is_full(self) -> bool:
        return (
            self._in_flight >= IN_FLIGHT
            or self._held_bytes > self._limit_bytes
            or self._stream.unsent_bytes > _UNSENT_BYTES
        )

    def _taken(self, data: memoryview) -> memoryview:
        """Take what there is room for; give the rest."""
        self._is_working = True
        try:
            return self._parse(data)
        except GrpcRefused as error:
            self.close(error)
            return _NOTHING
        finally:
            self._is_working = False

    def _parse(self, data: memoryview) -> memoryview:
        stream = self._stream
        while not stream.answered:
            message = stream.message
            if message is None:
                if not data or self._is_full:
                    return data
                message = stream.message = IncomingMessage(self._limit_bytes)
            before = message.size
            data = data[message.take(data) :]
            self._hold(message.size - before)
            if not message.is_complete:
                return _NOTHING
            stream.message = None
            self._deliver(message)
        return _NOTHING

    def _hold(self, size_bytes: int) -> None:
        if size_bytes:
            self._held_bytes += size_bytes
            self._host.hold(size_bytes)

    def _deliver(self, message: IncomingMessage) -> None:
        body = message.whole()
        if message.is_compressed:
            body = unpack(body, self._stream.head.encoding, self._limit_bytes)
            self._hold(len(body) - message.size)
        self._in_flight += 1
        self.exchange.take(body)
