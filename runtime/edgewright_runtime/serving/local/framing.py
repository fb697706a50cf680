"""Frames over a blocking socket whose kernel time-outs bound every wait within a frame."""

import array
import os
import socket
import struct

from edgewright_runtime import local_protocol as protocol
from edgewright_runtime.errors import LocalFault
from edgewright_runtime.local_protocol import Header

_TIMEVAL = struct.Struct("@ll")
_DESCRIPTORS = 4
"""More than any frame may bring, so that too many are noticed, and closed."""


def limit_waits(connection: socket.socket, seconds: float) -> None:
    """Have a receive or send that waits for longer raise BlockingIOError.

    Set in the kernel: Python's own time-outs cost a second system call each time.
    """
    value = _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


class Frames:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, *, tensor_bytes: int) -> None:
        self._connection = connection
        self._tensor_bytes = tensor_bytes
        self._head = bytearray(protocol.HEADER.size)
        self._head_view = memoryview(self._head)

    def header(self) -> Header | None:
        """The next frame's header, whenever it comes; None when the client has hung up.

        Raises LocalFault, and OSError when the connection breaks.
        """
        view = self._head_view
        while True:
            try:
                got = self._connection.recv_into(view)
            except BlockingIOError:
                continue  # between frames a client may take its time
            break
        if not got:
            return None
        if got < len(view):
            self._fill(view[got:])
        return protocol.parse_header(self._head, tensor_bytes=self._tensor_bytes)

    def body(self, size: int) -> bytearray:
        """That many bytes. Raises LocalFault when they do not come."""
        data = bytearray(size)
        self._fill(memoryview(data))
        return data

    def body_with_descriptors(self, size: int) -> tuple[bytearray, list[int]]:
        """The same, and the descriptors that came with the first of them: the caller's now."""
        try:
            data, descriptors = self._receive(size)
        except BlockingIOError:
            raise _slow() from None
        found = bytearray(size)
        try:
            if not data:
                raise _cut()
            found[: len(data)] = data
            self._fill(memoryview(found)[len(data) :])
        except (LocalFault, OSError):
            close_all(descriptors)
            raise
        return found, descriptors

    def send(self, *pieces: "bytes | memoryview", descriptors: tuple[int, ...] = ()) -> None:
        """A frame; descriptors go with the first byte of the second piece.

        Raises LocalFault when the client does not take it.
        """
        try:
            if descriptors:
                self._connection.sendall(pieces[0])
                words = array.array("i", descriptors)
                right = (socket.SOL_SOCKET, socket.SCM_RIGHTS, words)
                sent = self._connection.sendmsg([pieces[1]], [right])
                if sent < len(pieces[1]):
                    self._connection.sendall(pieces[1][sent:])
            elif len(pieces) == 1:
                self._connection.sendall(pieces[0])
            else:
                self._connection.sendall(b"".join(pieces[:2]))
                for piece in pieces[2:]:
                    self._connection.sendall(piece)
        except BlockingIOError:
            raise LocalFault("the client does not read its answers") from None

    def _receive(self, size: int) -> tuple[bytes, list[int]]:
        data, ancillary, flags, _ = self._connection.recvmsg(
            size, socket.CMSG_SPACE(_DESCRIPTORS * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        )
        words = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                words.frombytes(content[: len(content) // words.itemsize * words.itemsize])
        descriptors = list(words)
        if flags & socket.MSG_CTRUNC:
            close_all(descriptors)
            raise LocalFault("more descriptors than any frame may bring")
        return data, descriptors

    def _fill(self, view: memoryview) -> None:
        while view:
            try:
                got = self._connection.recv_into(view)
            except BlockingIOError:
                raise _slow() from None
            if not got:
                raise _cut()
            view = view[got:]


def close_all(descriptors: list[int]) -> None:
    """Close what came from a client."""
    for descriptor in descriptors:
        os.close(descriptor)


def _slow() -> LocalFault:
    return LocalFault("the rest of a frame did not come in time")


def _cut() -> LocalFault:
    return LocalFault("the client hung up within a frame")
