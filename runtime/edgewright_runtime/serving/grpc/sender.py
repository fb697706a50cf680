"""The sending side of a connection: frames within the client's windows, replies in turn."""

import asyncio
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
from edgewright_runtime.serving.grpc.stream import Stream

_JOINED_BYTES = 64 << 10
"""Up to this size one buffer is cheaper than several writes."""
_HEAD_SIZE = len(ANSWER_HEAD)
_TRAILERS_SIZE = len(ANSWER_TRAILERS)


class Sender:
    """Collects frames while the connection works, and writes them together."""

    def __init__(self, transport: asyncio.WriteTransport, sent: Callable[[Stream], None]) -> None:
        self._transport = transport
        self._sent = sent
        """Called when a stream's reply has wholly gone."""
        self._out: list[Buffer] = []
        self._size = 0
        self._turns: deque[Stream] = deque()
        self.window = DEFAULT_WINDOW
        self.frame_bytes = DEFAULT_FRAME_BYTES
        self.is_paused = False
        self.data_frames = 0
        """How many the client has had; each may bring a WINDOW_UPDATE."""

    def add(self, data: Buffer) -> None:
        """A frame, to be written with the next `flush`."""
        self._out.append(data)
        self._size += len(data)

    def reply(self, stream: Stream, parts: Sequence[Buffer]) -> None:
        """Headers, message and trailers, as far as the client's windows let them go."""
        size = sum(map(len, parts))
        prefix = b"\x00" + size.to_bytes(4, "big")
        size += 5
        number = stream.identifier
        head = frame_head(Kind.HEADERS, END_HEADERS, number, _HEAD_SIZE) + ANSWER_HEAD
        if (
            size <= self.frame_bytes
            and size <= self.window
            and size <= stream.send_window
            and not self._turns
        ):
            self.window -= size
            self.data_frames += 1
            end = frame_head(Kind.HEADERS, END_HEADERS | END_STREAM, number, _TRAILERS_SIZE)
            self._out += (
                head + frame_head(Kind.DATA, 0, number, size) + prefix,
                *parts,
                end + ANSWER_TRAILERS,
            )
            self._size += size + 100
            self._sent(stream)
            return
        self.add(head)
        stream.rest = memoryview(b"".join((prefix, *parts)))
        self._turns.append(stream)
        self.pump()

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
            self.data_frames += 1
            self.add(frame_head(Kind.DATA, 0, stream.identifier, size))
            self.add(rest[:size])
            if size < len(rest):
                stream.rest = rest[size:]
                self._turns.append(stream)
            else:
                stream.rest = None
                flags = END_HEADERS | END_STREAM
                self.add(frame(Kind.HEADERS, flags, stream.identifier, ANSWER_TRAILERS))
                self._sent(stream)
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
