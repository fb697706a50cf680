"""Frames out of bytes that may be cut anywhere; DATA goes on as it arrives, in pieces."""

import struct
from typing import Protocol

from edgewright_runtime.serving.grpc.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEAD_BYTES,
    MAX_STREAM,
    PADDED,
    PREFACE,
    PRIORITY_FLAG,
    ConnectionFault,
    Kind,
    Reason,
    unpadded,
)

MAX_FRAME_BYTES = 1 << 20
"""What SETTINGS_MAX_FRAME_SIZE allows: fewer frames for a large tensor."""
_WHOLE_BYTES = 32 << 10
"""Frames other than DATA are kept until they are whole, and so must be small."""
_BLOCK_BYTES = 64 << 10
_CONTINUATIONS = 32
_KNOWN = frozenset(Kind)
_DATA, _HEADERS = int(Kind.DATA), int(Kind.HEADERS)
_HEAD = struct.Struct(">HBBBI").unpack_from
_UNUSUAL = END_HEADERS | PADDED | PRIORITY_FLAG


class Frames(Protocol):
    """Takes what the reader finds. Each may raise ConnectionFault."""

    def data(
        self, number: int, charged: int, piece: memoryview, *, is_done: bool, ends: bool
    ) -> None:
        """A piece of a DATA frame of stream `number`.

        `charged` is the frame's whole length for flow control, with its first piece only;
        `is_done` comes with its last; `ends` says that the frame has END_STREAM.
        """

    def headers(self, number: int, block: bytes, *, ends: bool) -> None:
        """A whole header block."""

    def control(self, kind: Kind, flags: int, number: int, payload: bytes) -> None:
        """Any other frame of a known kind."""

    def tire(self, cost: int) -> None:
        """The client made us work for nothing."""


class FrameReader:
    """Where in a frame the connection is."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.rest = b""
        """The beginning of a frame: to be put in front of what comes next."""
        self._is_greeted = False
        self._has_settings = False
        self._left = 0
        """Bytes still to come of a frame that goes on in pieces."""
        self._pad = 0
        """How many of them are padding."""
        self._number = 0
        """The stream of that frame; 0 for one of a kind that is skipped."""
        self._ends = False
        self._charged = 0
        self._is_special = True
        """The next frame may not be just any: it is the first, or within a header block."""
        self._block: bytearray | None = None
        self._block_number = 0
        self._block_ends = False
        self._continuations = 0

    @property
    def is_within_frame(self) -> bool:
        """Whether the client owes the rest of something."""
        return bool(self.rest or self._left or self._block is not None or not self._has_settings)

    def direct(self) -> tuple[int, int]:
        """(stream, bytes) of payload that come next and may be received into their place."""
        return self._number, self._left - self._pad

    def received(self, count: int) -> None:
        """`count` bytes of payload were received into their place."""
        self._left -= count
        if not self._left:
            self._piece(memoryview(b""), is_done=True)

    def feed(self, data: memoryview) -> None:
        """Take `rest` and what came after it. Raises ConnectionFault."""
        at, end = 0, len(data)
        if not self._is_greeted:
            at = min(end, len(PREFACE))
            if data[:at] != PREFACE[:at]:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "no HTTP/2 preface")
            if at < len(PREFACE):
                self.rest = bytes(data)
                return
            self._is_greeted = True
        while at < end:
            if self._left:
                at += self._go_on(data[at:end])
                continue
            if end - at < HEAD_BYTES:
                break
            high, low, kind, flags, number = _HEAD(data, at)
            length = high << 8 | low
            number &= MAX_STREAM
            if length > _WHOLE_BYTES or self._is_special:
                self._check(length, kind, flags, number)
            start = at + HEAD_BYTES
            if kind == _DATA:
                if not flags & PADDED and end - start >= length and number:
                    # Whole and plain, as almost all are.
                    ends = bool(flags & END_STREAM)
                    if not length and not ends:
                        self._frames.tire(1)
                    at = start + length
                    self._frames.data(number, length, data[start:at], is_done=True, ends=ends)
                    continue
                taken = self._begin_data(length, flags, number, data[start:end])
                if taken is None:
                    break
                at = start + taken
                continue
            if kind == _HEADERS and flags & _UNUSUAL == END_HEADERS and end - start >= length:
                at = start + length
                ends = bool(flags & END_STREAM)
                self._frames.headers(number, bytes(data[start:at]), ends=ends)
                continue
            if kind not in _KNOWN:
                self._frames.tire(1)
                self._left, self._pad, self._number = length, 0, 0
                at = start
                continue
            if end - start < length:
                break
            self._whole(Kind(kind), flags, number, bytes(data[start : start + length]))
            at = start + length
        self.rest = bytes(data[at:end])

    def _check(self, length: int, kind: int, flags: int, number: int) -> None:
        if length > MAX_FRAME_BYTES:
            raise ConnectionFault(
                Reason.FRAME_SIZE_ERROR, f"a frame of {length} bytes, {MAX_FRAME_BYTES} are allowed"
            )
        self._is_special = self._block is not None
        if not self._has_settings:
            if kind != Kind.SETTINGS or flags & ACK:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "the first frame must be SETTINGS")
            self._has_settings = True
        if self._block is not None and (kind != Kind.CONTINUATION or number != self._block_number):
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "a frame within a header block")
        if length > _WHOLE_BYTES and kind != Kind.DATA and kind in _KNOWN:
            raise ConnectionFault(
                Reason.ENHANCE_YOUR_CALM, f"a {Kind(kind).name} frame of {length} bytes"
            )

    def _begin_data(self, length: int, flags: int, number: int, after: memoryview) -> int | None:
        """Begin a DATA frame that is padded or not all here; how much of `after` it took."""
        if not number:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "DATA on stream 0")
        taken = 0
        self._pad = 0
        if flags & PADDED:
            if not length:
                raise ConnectionFault(Reason.FRAME_SIZE_ERROR, "padded, but empty")
            if not len(after):
                return None
            taken, self._pad = 1, after[0]
            if self._pad >= length:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "padding longer than its frame")
        self._number, self._ends = number, bool(flags & END_STREAM)
        self._charged, self._left = length, length - taken
        if self._left == self._pad and not self._ends:
            self._frames.tire(1)
        if not self._left:
            self._piece(memoryview(b""), is_done=True)
        return taken

    def _go_on(self, data: memoryview) -> int:
        """Use what belongs to the frame that goes on in pieces; how much that was."""
        taken = min(len(data), self._left)
        payload = min(taken, max(self._left - self._pad, 0))
        self._left -= taken
        if self._number:
            self._piece(data[:payload], is_done=not self._left)
        return taken

    def _piece(self, piece: memoryview, *, is_done: bool) -> None:
        charged, self._charged = self._charged, 0
        self._frames.data(self._number, charged, piece, is_done=is_done, ends=self._ends)

    def _whole(self, kind: Kind, flags: int, number: int, payload: bytes) -> None:
        if kind == Kind.HEADERS:
            self._block = bytearray(unpadded(payload, flags, number))
            self._block_number, self._continuations = number, 0
            self._block_ends = bool(flags & END_STREAM)
            self._is_special = True
        elif kind == Kind.CONTINUATION:
            if self._block is None:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "CONTINUATION of nothing")
            self._continuations += 1
            self._block += payload
            if self._continuations > _CONTINUATIONS or len(self._block) > _BLOCK_BYTES:
                raise ConnectionFault(Reason.ENHANCE_YOUR_CALM, "a header block without end")
        else:
            self._frames.control(kind, flags, number, payload)
            return
        if flags & END_HEADERS:
            block, self._block = bytes(self._block), None
            self._is_special = False
            self._frames.headers(number, block, ends=self._block_ends)
