"""HTTP/2 frames (RFC 9113, sections 4, 6 and 7): numbers, writing, and what breaks a connection."""

import enum
from collections.abc import Iterator

from edgewright_runtime.errors import RuntimeFault

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
DEFAULT_WINDOW = 65535
MAX_WINDOW = (1 << 31) - 1
DEFAULT_FRAME_BYTES = 1 << 14
MAX_STREAM = (1 << 31) - 1

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20


class Kind(enum.IntEnum):
    """Frame types."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Reason(enum.IntEnum):
    """Error codes."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class Setting(enum.IntEnum):
    """Settings that matter to a server."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFault(RuntimeFault):
    """What the client sent ends the connection (RFC 9113, 5.4.1)."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class StreamFault(RuntimeFault):
    """What the client sent ends one stream (RFC 9113, 5.4.2)."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return frame_head(kind, flags, stream, len(payload)) + payload


def frame_head(kind: Kind, flags: int, stream: int, length: int) -> bytes:
    """The nine bytes before a frame's payload of `length` bytes."""
    return (length << 40 | kind << 32 | flags << 24).to_bytes(8, "big")[:5] + stream.to_bytes(
        4, "big"
    )


def settings_frame(settings: dict[Setting, int]) -> bytes:
    """Our settings."""
    payload = b"".join(
        key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in settings.items()
    )
    return frame(Kind.SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """(identifier, value) of each setting, checked (RFC 9113, 6.5.2). Raises ConnectionFault."""
    if len(payload) % 6:
        raise ConnectionFault(Reason.FRAME_SIZE_ERROR, "SETTINGS of a broken length")
    for at in range(0, len(payload), 6):
        key = int.from_bytes(payload[at : at + 2], "big")
        value = int.from_bytes(payload[at + 2 : at + 6], "big")
        if key == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")
        if key == Setting.INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(Reason.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1")
        if key == Setting.MAX_FRAME_SIZE and not DEFAULT_FRAME_BYTES <= value < 1 << 24:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of its range")
        yield key, value


def depends_on(priority: bytes) -> int:
    """The stream that a priority (RFC 7540, 6.3) puts another below."""
    return int.from_bytes(priority[:4], "big") & MAX_STREAM


def unpadded(payload: bytes, flags: int, number: int) -> bytes:
    """What a HEADERS frame of stream `number` has without padding and priority.

    Raises ConnectionFault.
    """
    if flags & PADDED:
        if not payload or payload[0] >= len(payload):
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "padding longer than its frame")
        payload = payload[1 : len(payload) - payload[0]]
    if flags & PRIORITY_FLAG:
        if len(payload) < 5:
            raise ConnectionFault(Reason.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
        if depends_on(payload) == number:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "a stream that depends on itself")
        payload = payload[5:]
    return payload
