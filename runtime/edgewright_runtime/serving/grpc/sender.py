"""The sending side of a connection: frames within the client's windows, replies in turn."""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.serving.grpc.frames import (
    DEFAULT_FRAME_BYTES,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    MAX_WINDOW,
    ConnectionFault,
    Kind,
    Reason,
    frame,
    frame_head,
)
from edgewright_runtime.serving.grpc.headers import ANSWER_HEAD, ANSWER_TRAILERS
from edgewright_runtime.serving.grpc.patience import Patience
from edgewright_runtime.serving.grpc.stream import Stream

_JOINED_BYTES = 64 << 10
"""Up to this size one buffer is cheaper than several writes."""
_FINAL = END_HEADERS | END_STREAM
_HEAD = frame_head(Kind.HEADERS, END_HEADERS, 0, len(ANSWER_HEAD))[:5]
_TRAILERS = frame_head(Kind.HEADERS, _FINAL, 0, len(ANSWER_TRAILERS))[:5]
_BEGIN = struct.Struct(f">5sI{len(ANSWER_HEAD)}sIxIxI").pack
"""A reply's headers, the head of its DATA frame (length and type, flags, stream), and the
message's prefix (not packed, length)."""
_END = struct.Struct(f">5sI{len(ANSWER_TRAILERS)}s").pack


class Sender:
    """Collects frames while the connection works, and writes them together."""

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        patience: Patience,
        sent: Callable[[Stream], None],
    ) -> None:
        self._transport = transport
        self._patience = patience
        self._sent = sent
        """Called when a stream's reply has wholly gone."""
        self._out: list[Buffer] = []
        self._size = 0
        self._turns: deque[Stream] = deque()
        self.window = DEFAULT_WINDOW
        self.frame_bytes = DEFAULT_FRAME_BYTES
        self.is_paused = False

    def add(self, data: Buffer) -> None:
        """A frame, to be written with the next `flush`."""
        self._out.append(data)
        self._size += len(data)

    def reply(self, stream: Stream, parts: Sequence[Buffer]) -> None:
        """Headers, message and trailers, as far as the client's windows let them go."""
        size = 0
        for part in parts:
            size += len(part)
        framed = size + 5
        if self._fits(stream, framed):
            self.window -= framed
            self._patience.data_frames += 1
            number = stream.identifier
            out = self._out
            out.append(_BEGIN(_HEAD, number, ANSWER_HEAD, framed << 8, number, size))
            out += parts
            out.append(_END(_TRAILERS, number, ANSWER_TRAILERS))
            self._size += framed + 100
            self._sent(stream)
            return
        self.begin(stream, ANSWER_HEAD)
        self.put(stream, parts)
        self.finish(stream, ANSWER_TRAILERS)

    def begin(self, stream: Stream, block: bytes) -> None:
        """The headers of a reply."""
        stream.begun = True
        self.add(frame(Kind.HEADERS, END_HEADERS, stream.identifier, block))

    def put(self, stream: Stream, parts: Sequence[Buffer], *, is_packed: bool = False) -> None:
        """One message of a reply that has begun."""
        size = sum(map(len, parts))
        self.put_bytes(stream, (is_packed.to_bytes(1, "big") + size.to_bytes(4, "big"), *parts))

    def put_bytes(self, stream: Stream, parts: Sequence[Buffer]) -> None:
        """Bytes of a reply that has begun."""
        size = sum(map(len, parts))
        if stream.rest is None and self._fits(stream, size):
            stream.send_window -= size
            self.window -= size
            self._patience.data_frames += 1
            self._out += (frame_head(Kind.DATA, 0, stream.identifier, size), *parts)
            self._size += size + 9
            return
        piece = memoryview(b"".join(parts))
        stream.unsent_bytes += size
        if stream.rest is not None:
            if stream.later is None:
                stream.later = deque()
            stream.later.append(piece)
            return
        stream.rest = piece
        self._turns.append(stream)
        self.pump()

    def finish(self, stream: Stream, trailers: bytes) -> None:
        """After what is still to be sent come the trailers; without any, DATA ends the stream."""
        if stream.rest is not None:
            stream.trailers = trailers
            return
        kind, flags = (Kind.HEADERS, _FINAL) if trailers else (Kind.DATA, END_STREAM)
        self.add(frame(kind, flags, stream.identifier, trailers))
        self._sent(stream)

    def pump(self) -> None:
        """Send of each waiting reply in turn what the windows allow."""
        while self._turns and self.window > 0 and not self.is_paused:
            stream = self._turns.popleft()
            rest = stream.rest
            if rest is None:
                continue  # the client took its request back
            size = min(len(rest), stream.send_window, self.window, self.frame_bytes)
            if size <= 0:
                stream.is_blocked = True
                continue
            stream.send_window -= size
            self.window -= size
            self._patience.data_frames += 1
            self.add(frame_head(Kind.DATA, 0, stream.identifier, size))
            self.add(rest[:size])
            stream.unsent_bytes -= size
            if size < len(rest):
                stream.rest = rest[size:]
            else:
                stream.rest = stream.later.popleft() if stream.later else None
            if stream.rest is not None:
                self._turns.append(stream)
            elif stream.trailers is not None:
                self.finish(stream, stream.trailers)
            if stream.incoming is not None:
                stream.incoming.go_on()
            if self._size > _JOINED_BYTES:
                self.flush()  # the transport says by pause_writing when it has enough

    def widen(self, increment: int) -> None:
        """The client takes more on this connection. Raises ConnectionFault."""
        self.window += increment
        if self.window > MAX_WINDOW:
            raise ConnectionFault(Reason.FLOW_CONTROL_ERROR, "the window goes beyond 2^31-1")
        self.pump()

    def unblock(self, stream: Stream) -> None:
        """The stream's window has grown."""
        if stream.is_blocked and stream.send_window > 0:
            stream.is_blocked = False
            self._turns.append(stream)
            self.pump()

    def flush(self) -> None:
        """Write what has been collected."""
        out = self._out
        if not out:
            return
        transport = self._transport
        size, self._out, self._size = self._size, [], 0
        if transport.is_closing():
            return
        if size <= _JOINED_BYTES:
            transport.write(b"".join(out))
        else:
            transport.writelines(out)

    def _fits(self, stream: Stream, size: int) -> bool:
        return (
            size <= self.frame_bytes
            and size <= self.window
            and size <= stream.send_window
            and not self._turns
        )
