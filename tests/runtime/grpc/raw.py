"""A raw HTTP/2 client for tests: frames exactly as they are told, replies as frames."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from tests.runtime.grpc.conftest import TwoDoors

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
LIVE = "/inference.GRPCInferenceService/ServerLive"
INFER = "/inference.GRPCInferenceService/ModelInfer"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + u32(stream) + payload


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def message(body: bytes = b"", flag: int = 0) -> bytes:
    return bytes((flag,)) + u32(len(body)) + body


def head(path: str = LIVE, **changed: str | None) -> list[tuple[str, str]]:
    """A call's headers; `_` stands for `-`, a leading `x_` for `:`; None leaves one out."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    found: dict[str, str | None] = dict(headers)
    for name, value in changed.items():
        found[(":" + name[2:] if name.startswith("x_") else name).replace("_", "-")] = value
    return [(name, value) for name, value in found.items() if value is not None]


@dataclass
class Raw:
    """One connection."""

    connection: socket.socket
    encoder: Encoder = field(default_factory=Encoder)
    decoder: Decoder = field(default_factory=Decoder)
    data: bytes = b""

    def send(self, *frames: bytes) -> None:
        self.connection.sendall(b"".join(frames))

    def headers(self, stream: int, headers: list[tuple[str, str]], flags: int = 4) -> bytes:
        return frame(HEADERS, flags, stream, self.encoder.encode(headers))

    def call(self, stream: int, path: str = LIVE, body: bytes = b"") -> bytes:
        return self.headers(stream, head(path)) + frame(DATA, END_STREAM, stream, message(body))

    def read(self) -> tuple[int, int, int, bytes] | None:
        """(kind, flags, stream, payload); None at the end."""
        while len(self.data) < 9 or len(self.data) < 9 + int.from_bytes(self.data[:3], "big"):
            try:
                piece = self.connection.recv(1 << 16)
            except ConnectionError:
                return None
            if not piece:
                return None
            self.data += piece
        size = 9 + int.from_bytes(self.data[:3], "big")
        whole, self.data = self.data[:size], self.data[size:]
        return whole[3], whole[4], int.from_bytes(whole[5:9], "big"), whole[9:]

    def until(self, kind: int, stream: int | None = None) -> tuple[int, bytes]:
        """(flags, payload) of the next frame of that kind (and stream)."""
        while True:
            found = self.read()
            assert found is not None, "the connection ended"
            if found[0] == HEADERS and kind != HEADERS:
                self.decoder.decode(found[3])
            if found[0] == kind and stream in (None, found[2]):
                return found[1], found[3]

    def decode(self, block: bytes) -> dict[str, str]:
        """A header block of the server."""
        return {
            bytes(name).decode(): bytes(value).decode()
            for name, value in self.decoder.decode(block, raw=True)
        }

    def status(self, stream: int) -> dict[str, str]:
        """The last headers of a call."""
        while True:
            flags, payload = self.until(HEADERS, stream)
            headers = self.decode(payload)
            if flags & END_STREAM:
                return headers

    def reset(self, stream: int) -> int:
        """The reason with which the server reset a stream."""
        return int.from_bytes(self.until(RST, stream)[1], "big")

    def goaway(self) -> int:
        """The reason with which the server ends the connection, which then ends."""
        payload = self.until(GOAWAY)[1]
        assert self.read() is None
        return int.from_bytes(payload[4:8], "big")


@contextmanager
def raw(doors: TwoDoors, *, greeted: bool = True, settings: bytes = b"") -> Iterator[Raw]:
    """A connection; `greeted` has exchanged preface and settings."""
    with socket.create_connection(doors.grpc_address, timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = Raw(connection)
        if greeted:
            made.send(PREFACE, frame(SETTINGS, 0, 0, settings))
        yield made
