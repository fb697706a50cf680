"""Header blocks: a call's head out of HPACK (RFC 7541), and our few answers into it."""

import re
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

from hpack import Decoder
from hpack.exceptions import HPACKError

from edgewright_runtime.serving.clients import CLIENT_HEADER
from edgewright_runtime.serving.grpc.frames import ConnectionFault, Reason, StreamFault
from edgewright_runtime.serving.grpc.status import Code

MAX_LIST_BYTES = 16 << 10
"""Of all header names and values of one call, 32 bytes added for each (RFC 9113, 6.5.2)."""
_KEPT_HEADS = 64
_KEPT_BYTES = 1024
_MESSAGE_CHARACTERS = 1000
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_FORBIDDEN = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_ENCODINGS = (b"identity", b"gzip", b"deflate")
_VISIBLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


@dataclass(frozen=True, slots=True)
class CallHead:
    """What a call's headers say."""

    path: bytes
    timeout_s: float | None
    encoding: bytes
    content_length: int | None
    http_status: int = 200
    """Another than 200 when the request is no gRPC at all."""
    problem: tuple[Code, str] | None = None
    """Why the call must be refused as gRPC."""
    authorization: bytes | None = None
    traceparent: bytes | None = None
    """W3C Trace Context."""
    packs: bytes = b""
    """The coding that the caller sends and also reads: its answers may come so."""
    client: bytes | None = None
    """Who the caller says it is, for fairness (see `clients`)."""
    wants_status: bool = False
    """Triton's `triton_grpc_error: true`: an error within a stream ends it with its status."""


class HeaderReader:
    """One connection's HPACK decoder; a block that repeats is looked up, not decoded."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._known: dict[bytes, CallHead] = {}

    def read_call(self, block: bytes) -> CallHead:
        """The head of a call. Raises ConnectionFault; StreamFault for malformed headers."""
        head = self._known.get(block)
        if head is None:
            headers, is_repeatable = self._decode(block)
            head = _call_head(headers)
            if is_repeatable and len(block) <= _KEPT_BYTES and len(self._known) < _KEPT_HEADS:
                self._known[block] = head
        return head

    def read_trailers(self, block: bytes) -> None:
        """Decode, since the table may change, and check. Raises like `read_call`."""
        if any(name.startswith(b":") for name, _ in self._decode(block)[0]):
            raise StreamFault(Reason.PROTOCOL_ERROR, "a pseudo-header among trailers")

    def _decode(self, block: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
        """The headers, and whether the same bytes will mean the same next time."""
        entries = self._decoder.header_table.dynamic_entries
        count, newest = len(entries), entries[0] if entries else None
        try:
            decoded = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            reason = Reason.COMPRESSION_ERROR
            raise ConnectionFault(reason, "headers that HPACK cannot read") from error
        if len(entries) != count or (entries[0] if entries else None) is not newest:
            self._known.clear()  # indices mean other headers now
            return [(bytes(name), bytes(value)) for name, value in decoded], False
        return [(bytes(name), bytes(value)) for name, value in decoded], True


def literal(name: bytes, value: bytes) -> bytes:
    """A header that enters no table (RFC 7541, 6.2.2): the same header is the same bytes."""
    return b"\x00" + _string(name) + _string(value)


def _string(data: bytes) -> bytes:
    if len(data) < 0x7F:
        return bytes((len(data),)) + data
    rest, length = len(data) - 0x7F, bytearray((0x7F,))
    while rest >= 0x80:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes(length) + data


_CONTENT_TYPE = literal(b"content-type", b"application/grpc")
ANSWER_HEAD = b"\x88" + _CONTENT_TYPE
"""`:status: 200` is entry 8 of the static table."""
ANSWER_TRAILERS = literal(b"grpc-status", b"0")


def refusal(code: Code, message: str) -> bytes:
    """The only header block of a call that fails (gRPC's Trailers-Only)."""
    accepted = b""
    if code is Code.UNIMPLEMENTED:
        accepted = literal(b"grpc-accept-encoding", b",".join(_ENCODINGS))
    return ANSWER_HEAD + accepted + failure(code, message)


def packed_head(encoding: bytes) -> bytes:
    """`ANSWER_HEAD` of an answer whose messages are packed."""
    return ANSWER_HEAD + literal(b"grpc-encoding", encoding)


def failure(code: Code, message: str) -> bytes:
    """The trailers of a call that fails after its answer began."""
    return literal(b"grpc-status", b"%d" % code) + literal(b"grpc-message", _shown(message))


def plain_head(status: int) -> bytes:
    """The headers of an answer to what is no gRPC."""
    return literal(b":status", b"%d" % status) + literal(b"content-type", b"text/plain")


def _shown(message: str) -> bytes:
    text = message[:_MESSAGE_CHARACTERS].encode("utf-8", "backslashreplace")
    return quote_from_bytes(text, safe=_VISIBLE).encode("ascii")


def _call_head(headers: list[tuple[bytes, bytes]]) -> CallHead:
    found: dict[bytes, bytes] = {}
    is_regular = False
    for name, value in headers:
        if name.startswith(b":"):
            if is_regular or name not in _PSEUDO or name in found:
                raise StreamFault(Reason.PROTOCOL_ERROR, "pseudo-headers out of place")
        else:
            is_regular = True
            if not name or name != name.lower() or name in _FORBIDDEN:
                raise StreamFault(Reason.PROTOCOL_ERROR, "a header that HTTP/2 forbids")
        found[name] = value
    if found.get(b"te", b"trailers") != b"trailers":
        raise StreamFault(Reason.PROTOCOL_ERROR, "te may only be trailers")
    if not found.get(b":path") or b":method" not in found or b":scheme" not in found:
        raise StreamFault(Reason.PROTOCOL_ERROR, "a request without method, scheme or path")
    length = found.get(b"content-length")
    if length is not None and (not length.isdigit() or len(length) > 18):
        raise StreamFault(Reason.PROTOCOL_ERROR, "content-length is no number")
    status = 200
    if found[b":method"] != b"POST":
        status = 405
    elif not found.get(b"content-type", b"").startswith(b"application/grpc"):
        status = 415
    encoding = found.get(b"grpc-encoding", b"identity")
    timeout_s, problem = None, None
    given = found.get(b"grpc-timeout")
    if given is not None:
        parts = _TIMEOUT.fullmatch(given)
        if parts is None:
            problem = (Code.INVALID_ARGUMENT, "grpc-timeout must be 1 to 8 digits and a unit")
        else:
            timeout_s = int(parts[1]) * _UNITS_S[parts[2]]
    if encoding not in _ENCODINGS:
        problem = (Code.UNIMPLEMENTED, "grpc-encoding may be identity, gzip or deflate")
    return CallHead(
        found[b":path"],
        timeout_s,
        encoding,
        int(length) if length is not None else None,
        status,
        problem,
        found.get(b"authorization"),
        found.get(b"traceparent"),
        encoding if encoding != b"identity" and _accepts(found, encoding) else b"",
        found.get(CLIENT_HEADER),
        found.get(b"triton_grpc_error", b"").lower() == b"true",
    )


def _accepts(headers: dict[bytes, bytes], encoding: bytes) -> bool:
    accepted = headers.get(b"grpc-accept-encoding", b"")
    return encoding in (part.strip() for part in accepted.split(b","))
