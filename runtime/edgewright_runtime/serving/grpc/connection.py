"""One connection of the gRPC door: what asyncio and the door ask of it."""

import asyncio
from collections.abc import Callable
from typing import cast

from edgewright_runtime.serving.clients import peer_client
from edgewright_runtime.serving.grpc.calls import STREAM_WINDOW, Calls, Limits
from edgewright_runtime.serving.grpc.frames import (
    MAX_STREAM,
    ConnectionFault,
    Kind,
    Reason,
    Setting,
    frame,
    settings_frame,
)
from edgewright_runtime.serving.grpc.headers import MAX_LIST_BYTES
from edgewright_runtime.serving.grpc.reader import MAX_FRAME_BYTES, FrameReader
from edgewright_runtime.serving.grpc.stream import Application, Stream

SCRATCH_BYTES = 256 << 10
"""One receive buffer for all connections: what it holds is used up before the next read."""
_DIRECT_BYTES = 64 << 10
"""From here on a payload is received straight into its message."""
_LINGER_S = 3.0
"""How long a refused client may go on sending, so that it gets to read why."""


class GrpcConnection(asyncio.BufferedProtocol):
    """Feeds received bytes to the frame reader, and closes when it is time."""

    def __init__(
        self,
        application: Application,
        limits: Limits,
        scratch: memoryview,
        opened: Callable[["GrpcConnection"], None],
        closed: Callable[["GrpcConnection"], None],
    ) -> None:
        self._application = application
        self._limits = limits
        self._scratch = scratch
        self._opened = opened
        self._closed = closed
        self._clock = asyncio.get_running_loop().time
        self._direct: Stream | None = None
        self._is_working = False
        self._is_broken = False
        self._read_s = self._since_s = self._clock()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BufferedProtocol."""
        self._transport = cast(asyncio.Transport, transport)
        ours = {
            Setting.MAX_CONCURRENT_STREAMS: self._limits.streams,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            Setting.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
        }
        self._transport.write(settings_frame(ours))
        client = peer_client(transport.get_extra_info("peername"), self)
        self._calls = Calls(
            self._application, self._limits, self._transport, client, self._answered
        )
        self._reader = FrameReader(self._calls)
        self._flush()
        self._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BufferedProtocol."""
        self._is_broken = True
        self._calls.forget_all()
        self._closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio.BufferedProtocol."""
        number, wanted = self._reader.direct()
        if wanted >= _DIRECT_BYTES:
            stream = self._calls.streams.get(number)
            if stream is not None and stream.message is not None:
                room = stream.message.room(wanted)
                if len(room):
                    self._direct = stream
                    return room
        rest = self._reader.rest
        if rest:
            self._scratch[: len(rest)] = rest
        return self._scratch[len(rest) :]

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        direct, self._direct = self._direct, None
        if self._is_broken:
            return
        self._read_s = self._clock()
        self._is_working = True
        try:
            if direct is None:
                self._reader.feed(self._scratch[: len(self._reader.rest) + nbytes])
            else:
                assert direct.message is not None
                direct.message.received(nbytes)
                direct.size += nbytes
                self._reader.received(nbytes)
        except ConnectionFault as fault:
            self._break(fault)
        self._is_working = False
        self._flush()

    def eof_received(self) -> bool:
        """A client may close its side and still read: keep ours open while we owe answers."""
        self._calls.forget_unfinished()
        self._calls.is_finishing = True
        # Under TLS both sides close together.
        is_owing = bool(self._calls.streams) and not self._is_broken
        return is_owing and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """See asyncio.BufferedProtocol: the client does not read its answers."""
        self._calls.sender.is_paused = True
        self._since_s = self._clock()

    def resume_writing(self) -> None:
        """See asyncio.BufferedProtocol."""
        self._calls.sender.is_paused = False
        self._calls.sender.pump()
        self._answered()

    # What the door calls.

    def finish(self) -> None:
        """Answer what was asked, or is being sent, then close."""
        if not self._is_broken and not self._calls.is_finishing:
            self._go_away(Reason.NO_ERROR, "the server is shutting down")
            self._calls.finish()
        self._flush()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def check_times(self) -> None:
        """Called about once a second: end what takes too long, restore patience."""
        now, limit_s = self._clock(), self._limits.read_timeout_s
        if self._is_broken:
            if now - self._since_s > _LINGER_S:
                self._transport.abort()
            return
        if self._calls.sender.is_paused and now - self._since_s > limit_s:
            self._transport.abort()
            return
        quiet_s = now - self._read_s
        try:
            self._calls.second_passed(now)
            if self._reader.is_within_frame and quiet_s > limit_s:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "half a frame, and then nothing")
        except ConnectionFault as fault:
            self._break(fault)
        if not self._calls.streams and quiet_s > self._limits.idle_timeout_s:
            self.finish()
        self._flush()

    def refuse_connection(self) -> None:
        """Say that there are too many, and close."""
        self._break(ConnectionFault(Reason.ENHANCE_YOUR_CALM, "too many connections; try later"))

    def _answered(self) -> None:
        if not self._is_working:
            self._flush()

    def _flush(self) -> None:
        self._calls.sender.flush()
        if self._calls.is_finishing and not self._calls.streams and not self._is_broken:
            self._transport.close()

    def _break(self, fault: ConnectionFault) -> None:
        """Say why, and hear nothing more: closing now would reset the connection under it."""
        if self._is_broken:
            return
        self._is_broken = True
        self._since_s = self._clock()
        self._calls.forget_all()
        self._go_away(fault.reason, str(fault))
        self._calls.sender.flush()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _go_away(self, reason: Reason, text: str) -> None:
        payload = (self._calls.last & MAX_STREAM).to_bytes(4, "big") + reason.to_bytes(4, "big")
        self._calls.sender.add(frame(Kind.GOAWAY, 0, 0, payload + text.encode("ascii", "replace")))
