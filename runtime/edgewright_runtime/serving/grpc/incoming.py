"""One gRPC message as it arrives: its prefix, and its bytes in place."""

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused

PREFIX_BYTES = 5
_SMALL_BYTES = 4 << 10
"""Up to this size a copy is cheaper than an aligned place."""
_ALIGNMENT = 64


class IncomingMessage:
    """A message; bytes go straight to where they are read from."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._prefix = b""
        self._view: memoryview | None = None
        self._filled = 0
        self.size = 0
        """As declared by the prefix; 0 before it is known."""
        self.is_compressed = False

    def feed(self, data: memoryview) -> None:
        """Take a piece. Raises GrpcRefused for a message too large, or what comes after it."""
        if self.take(data) < len(data):
            raise GrpcRefused(Code.INTERNAL, "the call has more than one message; it is unary")

    def take(self, data: memoryview) -> int:
        """Take a piece; how much of it this message has use for. Raises GrpcRefused."""
        used = 0
        if self._view is None:
            used = min(PREFIX_BYTES - len(self._prefix), len(data))
            self._prefix += bytes(data[:used])
            if len(self._prefix) < PREFIX_BYTES:
                return used
            data = data[used:]
            self._begin()
        assert self._view is not None
        count = min(len(data), self.size - self._filled)
        self._view[self._filled : self._filled + count] = data[:count]
        self._filled += count
        return used + count

    @property
    def is_complete(self) -> bool:
        """Whether all of it is here."""
        return self._view is not None and self._filled == self.size

    def room(self, wanted: int) -> memoryview:
        """Where the next `wanted` bytes may be received directly; empty when they may not."""
        if self._view is None or self._filled + wanted > self.size:
            return memoryview(b"")
        return self._view[self._filled : self._filled + wanted]

    def received(self, count: int) -> None:
        """`count` bytes are now in what `room` gave."""
        self._filled += count

    def whole(self) -> Buffer:
        """The message as it was sent. Raises GrpcRefused when it is not complete."""
        if self._view is None or self._filled < self.size:
            raise cut_off()
        return self._view

    def _begin(self) -> None:
        self.is_compressed = _is_compressed(self._prefix[0])
        self.size = int.from_bytes(self._prefix[1:], "big")
        if self.size > self._limit_bytes:
            raise _too_large(self.size, self._limit_bytes)
        # Its last byte ends at an aligned address: the last tensor, mostly the only large
        # one, then needs no copy. A large bytearray takes memory only where it is written.
        lead = -self.size % _ALIGNMENT
        self._view = memoryview(bytearray(lead + self.size))[lead:]


def small_message(data: memoryview, limit_bytes: int) -> IncomingMessage | bytes:
    """The message of a call whose DATA is one frame. Raises GrpcRefused."""
    if len(data) < PREFIX_BYTES:
        raise cut_off()
    size = len(data) - PREFIX_BYTES
    if not data[0] and int.from_bytes(data[1:PREFIX_BYTES], "big") == size <= _SMALL_BYTES:
        return bytes(data[PREFIX_BYTES:])
    message = IncomingMessage(limit_bytes)
    message.feed(data)
    return message


def cut_off() -> GrpcRefused:
    """The refusal of half a message."""
    return GrpcRefused(Code.INTERNAL, "the call ended before its message was complete")


def _too_large(size: int, limit_bytes: int) -> GrpcRefused:
    """The refusal of a message above the limit."""
    return GrpcRefused(
        Code.RESOURCE_EXHAUSTED, f"the message has {size} bytes, the limit is {limit_bytes}"
    )


def _is_compressed(flag: int) -> bool:
    """The prefix's first byte. Raises GrpcRefused."""
    if flag > 1:
        raise GrpcRefused(Code.INTERNAL, "the message's compressed flag is neither 0 nor 1")
    return flag == 1
