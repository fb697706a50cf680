"""What RFC 9113 and the field's known attacks ask of an HTTP/2 server, with a raw client."""

import gzip
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.runtime.grpc.conftest import TwoDoors
from tests.runtime.grpc.raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INFER,
    LIVE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH,
    RST,
    SETTINGS,
    WINDOW,
    Raw,
    frame,
    head,
    message,
    raw,
    u32,
)

NO_ERROR, PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION, CALM = 0, 1, 3, 5, 6, 7, 9, 11


@pytest.fixture(autouse=True)
def others_are_served(doors: TwoDoors) -> Iterator[None]:
    """Whatever one client does, another that was there before is still answered after it."""
    with raw(doors) as other:
        other.send(other.call(1))
        assert other.status(1)["grpc-status"] == "0"
        yield
        other.send(other.call(3))
        assert other.status(3)["grpc-status"] == "0"
    assert doors.process.poll() is None


def test_a_call_is_answered_with_headers_data_and_trailers(doors: TwoDoors) -> None:
    with raw(doors) as client:
        client.send(client.call(1))
        flags, payload = client.until(HEADERS, 1)
        assert client.decode(payload) == {
            ":status": "200",
            "content-type": "application/grpc",
        }
        assert flags == END_HEADERS
        assert client.until(DATA, 1) == (0, message(b"\x08\x01"))
        assert client.status(1) == {"grpc-status": "0"}


def test_frames_may_be_cut_anywhere(doors: TwoDoors) -> None:
    with raw(doors, greeted=False) as client:
        sent = PREFACE + frame(SETTINGS, 0, 0) + client.call(1) + frame(99, 7, 1, b"x" * 50)
        sent += frame(DATA, 0, 0)[:0] + client.call(3)
        for at in range(len(sent)):
            client.send(sent[at : at + 1])
        assert client.status(1)["grpc-status"] == "0"
        assert client.status(3)["grpc-status"] == "0"


def test_padding_and_priority_are_taken_off(doors: TwoDoors) -> None:
    with raw(doors) as client:
        block = client.encoder.encode(head())
        padded = bytes((7,)) + u32(0) + b"\x10" + block + b"\0" * 7
        client.send(
            frame(PRIORITY, 0, 9, u32(0) + b"\x10"),
            frame(HEADERS, END_HEADERS | PADDED | 0x20, 1, padded),
            frame(DATA, PADDED, 1, bytes((3,)) + message()[:2] + b"\0" * 3),
            frame(DATA, PADDED, 1, bytes((4,)) + b"\0" * 4),
            frame(DATA, PADDED | END_STREAM, 1, bytes((255,)) + message()[2:] + b"\0" * 255),
        )
        assert client.status(1)["grpc-status"] == "0"


def test_header_blocks_may_continue_and_trailers_may_end_a_call(doors: TwoDoors) -> None:
    with raw(doors) as client:
        block = client.encoder.encode(head())
        client.send(frame(HEADERS, 0, 1, block[:3]), frame(CONTINUATION, 0, 1, block[3:9]))
        client.send(frame(CONTINUATION, END_HEADERS, 1, block[9:]), frame(DATA, 0, 1, message()))
        client.send(client.headers(1, [("x-end", "yes")], END_HEADERS | END_STREAM))
        assert client.status(1)["grpc-status"] == "0"


BAD_CONNECTIONS: dict[str, tuple[int, Callable[[Raw], bytes]]] = {
    "DATA on stream 0": (PROTOCOL, lambda c: frame(DATA, 0, 0, b"x")),
    "padded DATA on stream 0": (PROTOCOL, lambda c: frame(DATA, PADDED, 0, b"\0x")),
    "DATA on an idle stream": (PROTOCOL, lambda c: frame(DATA, 0, 5, b"x")),
    "HEADERS on stream 0": (PROTOCOL, lambda c: c.headers(0, head())),
    "HEADERS on an even stream": (PROTOCOL, lambda c: c.headers(2, head())),
    "HEADERS on a closed stream": (CLOSED, lambda c: c.call(1) + c.headers(1, head(), 5)),
    "RST_STREAM of stream 0": (PROTOCOL, lambda c: frame(RST, 0, 0, u32(8))),
    "RST_STREAM of an idle stream": (PROTOCOL, lambda c: frame(RST, 0, 7, u32(8))),
    "RST_STREAM too short": (SIZE, lambda c: c.call(1) + frame(RST, 0, 1, b"123")),
    "SETTINGS on a stream": (PROTOCOL, lambda c: frame(SETTINGS, 0, 1)),
    "SETTINGS cut": (SIZE, lambda c: frame(SETTINGS, 0, 0, b"12345")),
    "SETTINGS ACK with payload": (SIZE, lambda c: frame(SETTINGS, 1, 0, b"123456")),
    "ENABLE_PUSH of 2": (PROTOCOL, lambda c: frame(SETTINGS, 0, 0, b"\0\2" + u32(2))),
    "INITIAL_WINDOW too large": (FLOW, lambda c: frame(SETTINGS, 0, 0, b"\0\4" + u32(1 << 31))),
    "MAX_FRAME too small": (PROTOCOL, lambda c: frame(SETTINGS, 0, 0, b"\0\5" + u32(100))),
    "PING on a stream": (PROTOCOL, lambda c: frame(PING, 0, 1, b"12345678")),
    "PING too short": (SIZE, lambda c: frame(PING, 0, 0, b"1234567")),
    "GOAWAY on a stream": (PROTOCOL, lambda c: frame(GOAWAY, 0, 1, u32(0) + u32(0))),
    "GOAWAY too short": (SIZE, lambda c: frame(GOAWAY, 0, 0, b"1")),
    "PUSH_PROMISE": (PROTOCOL, lambda c: frame(PUSH, END_HEADERS, 1, u32(2))),
    "PRIORITY too long": (SIZE, lambda c: frame(PRIORITY, 0, 1, b"123456")),
    "WINDOW_UPDATE of 0": (PROTOCOL, lambda c: frame(WINDOW, 0, 0, u32(0))),
    "WINDOW_UPDATE too long": (SIZE, lambda c: frame(WINDOW, 0, 0, b"12345")),
    "WINDOW_UPDATE of an idle stream": (PROTOCOL, lambda c: frame(WINDOW, 0, 3, u32(1))),
    "windows beyond 2^31-1": (FLOW, lambda c: frame(WINDOW, 0, 0, u32(0x7FFFFFFF))),
    "CONTINUATION of nothing": (PROTOCOL, lambda c: frame(CONTINUATION, 4, 1, b"")),
    "a frame within a header block": (
        PROTOCOL,
        lambda c: frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, b"12345678"),
    ),
    "CONTINUATION of another stream": (
        PROTOCOL,
        lambda c: frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 4, 3, b"\x82"),
    ),
    "a frame too large": (SIZE, lambda c: b"\xff\xff\xff\0\0" + u32(1)),
    "SETTINGS too large": (CALM, lambda c: b"\x0f\0\0\4\0" + u32(0)),
    "padding longer than DATA": (PROTOCOL, lambda c: c.headers(1, head()) + frame(0, 8, 1, b"\7x")),
    "padded empty DATA": (SIZE, lambda c: c.headers(1, head()) + frame(DATA, PADDED, 1)),
    "padding longer than HEADERS": (PROTOCOL, lambda c: frame(HEADERS, 0xC, 1, b"\x20\x82")),
    "HEADERS too short for priority": (SIZE, lambda c: frame(HEADERS, 0x24, 1, b"\x20")),
    "HPACK: an index of nothing": (COMPRESSION, lambda c: frame(HEADERS, 4, 1, b"\xff\xff\x03")),
    "HPACK: broken Huffman": (COMPRESSION, lambda c: frame(HEADERS, 4, 1, b"\0\x82\xff\xff\0")),
    "HPACK: cut": (COMPRESSION, lambda c: frame(HEADERS, 4, 1, b"\0\x7f")),
    "HPACK: a bomb": (
        COMPRESSION,
        lambda c: frame(HEADERS, 4, 1, b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 8000),
    ),
    "CONTINUATION flood": (
        CALM,
        lambda c: frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1) * 1000,
    ),
    "CONTINUATION bomb": (
        CALM,
        lambda c: frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1, b"\x82" * 16000) * 6,
    ),
    "PING flood": (CALM, lambda c: frame(PING, 0, 0, b"12345678") * 5000),
    "SETTINGS flood": (CALM, lambda c: frame(SETTINGS, 0, 0) * 5000),
    "empty DATA flood": (CALM, lambda c: c.headers(1, head()) + frame(DATA, 0, 1) * 5000),
    "unknown frames flood": (CALM, lambda c: frame(77, 0, 0) * 5000),
    "rapid reset": (
        CALM,
        lambda c: b"".join(
            c.headers(n, head()) + frame(RST, 0, n, u32(8)) for n in range(1, 3000, 2)
        ),
    ),
    "resets that we are made to send": (
        CALM,
        lambda c: b"".join(
            c.headers(n, head()) + frame(WINDOW, 0, n, u32(0)) for n in range(1, 3000, 2)
        ),
    ),
}


@pytest.mark.parametrize("name", BAD_CONNECTIONS)
def test_what_breaks_the_connection_is_told(doors: TwoDoors, name: str) -> None:
    reason, make = BAD_CONNECTIONS[name]
    with raw(doors) as client:
        client.send(make(client))
        assert client.goaway() == reason


BAD_STREAMS: dict[str, tuple[int, Callable[[Raw], bytes]]] = {
    "no path": (PROTOCOL, lambda c: c.headers(1, head(x_path=None))),
    "no method": (PROTOCOL, lambda c: c.headers(1, head(x_method=None))),
    "an unknown pseudo-header": (PROTOCOL, lambda c: c.headers(1, head(x_other="1"))),
    "a pseudo-header twice": (PROTOCOL, lambda c: c.headers(1, [*head(), (":path", "/x")])),
    "a pseudo-header too late": (PROTOCOL, lambda c: c.headers(1, head()[1:] + head()[:1])),
    "an upper-case name": (PROTOCOL, lambda c: c.headers(1, [*head(), ("X-Y", "1")])),
    "connection": (PROTOCOL, lambda c: c.headers(1, head(connection="close"))),
    "te: gzip": (PROTOCOL, lambda c: c.headers(1, head(te="gzip"))),
    "content-length of letters": (PROTOCOL, lambda c: c.headers(1, head(content_length="x"))),
    "content-length that lies": (
        PROTOCOL,
        lambda c: c.headers(1, head(content_length="9")) + frame(DATA, 1, 1, message()),
    ),
    "trailers that do not end": (PROTOCOL, lambda c: c.headers(1, head()) + c.headers(1, [])),
    "a pseudo-header in trailers": (
        PROTOCOL,
        lambda c: c.headers(1, head()) + c.headers(1, [(":path", "/")], 5),
    ),
    "a window of 0": (PROTOCOL, lambda c: c.headers(1, head()) + frame(WINDOW, 0, 1, u32(0))),
    "a window beyond": (FLOW, lambda c: c.headers(1, head()) + frame(WINDOW, 0, 1, u32(2**31 - 1))),
    "DATA on a closed stream": (CLOSED, lambda c: c.call(1) + frame(DATA, 0, 1, b"x")),
}


@pytest.mark.parametrize("name", BAD_STREAMS)
def test_what_breaks_a_stream_leaves_the_others(doors: TwoDoors, name: str) -> None:
    reason, make = BAD_STREAMS[name]
    with raw(doors) as client:
        client.send(make(client), client.call(3))
        assert client.reset(1) == reason
        assert client.status(3)["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("13", frame(DATA, END_STREAM, 1)),
        ("13", frame(DATA, END_STREAM, 1, b"\0\0\0")),
        ("13", frame(DATA, END_STREAM, 1, b"\0" + u32(9) + b"x")),
        ("13", frame(DATA, END_STREAM, 1, message() + message())),
        ("13", frame(DATA, END_STREAM, 1, b"\7" + u32(0))),
        ("8", frame(DATA, 0, 1, b"\0" + u32(1 << 30))),
        ("13", frame(DATA, END_STREAM, 1, message(b"x", 1))),
        ("3", frame(DATA, END_STREAM, 1, message(b"\xff\xff"))),
        ("3", frame(DATA, END_STREAM, 1, message(b"\x3a\xff\xff\xff\x0f" + b"x" * 30_000))),
    ],
)
def test_bad_messages_are_refused_as_grpc(doors: TwoDoors, status: str, sent: bytes) -> None:
    with raw(doors) as client:
        client.send(client.headers(1, head(INFER)), sent, client.call(3))
        found = client.status(1)
        assert found["grpc-status"] == status
        assert found["grpc-message"]
        assert client.status(3)["grpc-status"] == "0"


def test_what_is_no_grpc_gets_an_http_status(doors: TwoDoors) -> None:
    with raw(doors) as client:
        client.send(client.headers(1, head(x_method="GET"), 5))
        assert client.decode(client.until(HEADERS, 1)[1])[":status"] == "405"
        assert b"gRPC" in client.until(DATA, 1)[1]
        # It is answered when it is complete, or has sent a lot.
        client.send(client.headers(3, head(content_type="text/html")), client.call(15))
        assert client.status(15)["grpc-status"] == "0"
        client.send(frame(DATA, END_STREAM, 3, b"hello"))
        assert client.decode(client.until(HEADERS, 3)[1])[":status"] == "415"
        client.send(client.headers(17, head(content_type="text/html")))
        client.send(*[frame(DATA, 0, 17, b"x" * 16_000)] * 5)
        assert client.decode(client.until(HEADERS, 17)[1])[":status"] == "415"
        assert client.reset(17) == NO_ERROR
        client.send(client.headers(25, head(grpc_timeout="soon")))
        assert client.status(25)["grpc-status"] == "3"
        client.send(client.headers(27, head(grpc_encoding="br")))
        assert client.status(27)["grpc-accept-encoding"] == "identity,gzip,deflate"
        client.send(client.headers(29, head("/no/Where")))
        assert client.status(29)["grpc-status"] == "12"
        client.send(client.headers(31, head(), 5))
        assert client.status(31)["grpc-status"] == "13"
        client.send(client.headers(33, head(grpc_timeout="0n")), frame(DATA, 1, 33, message()))
        assert client.status(33)["grpc-status"] == "4"


def test_a_compressed_bomb_is_refused(doors: TwoDoors) -> None:
    with raw(doors) as client:
        packed = gzip.compress(b"\0" * (80 << 20))
        client.send(client.headers(1, head(INFER, grpc_encoding="gzip")))
        body = message(packed, 1)
        for at in range(0, len(body), 16_000):
            client.send(frame(DATA, 0, 1, body[at : at + 16_000]))
        client.send(frame(DATA, END_STREAM, 1))
        assert client.status(1)["grpc-status"] == "8"
        client.send(client.headers(3, head(INFER, grpc_encoding="gzip")))
        client.send(frame(DATA, END_STREAM, 3, message(packed[:99], 1)))
        assert client.status(3)["grpc-status"] == "3"


def test_more_calls_than_allowed_are_refused_safely(doors: TwoDoors) -> None:
    with raw(doors) as client:
        for number in range(1, 261, 2):
            client.send(client.headers(number, head()))
        assert client.reset(257) == REFUSED
        assert client.reset(259) == REFUSED
        client.send(frame(DATA, END_STREAM, 1, message()))
        assert client.status(1)["grpc-status"] == "0"
        client.send(client.call(261))
        assert client.status(261)["grpc-status"] == "0"


def test_a_reply_waits_for_the_clients_window(doors: TwoDoors) -> None:
    with raw(doors, settings=b"\0\4" + u32(3)) as client:
        client.send(client.call(1), frame(PING, 0, 0, b"12345678"))
        assert client.until(DATA, 1)[1] == message(b"\x08\x01")[:3]
        client.send(frame(WINDOW, 0, 1, u32(2)))
        assert client.until(DATA, 1)[1] == message(b"\x08\x01")[3:5]
        client.send(frame(SETTINGS, 0, 0, b"\0\4" + u32(5)))
        assert client.until(DATA, 1)[1] == message(b"\x08\x01")[5:]
        assert client.status(1)["grpc-status"] == "0"


def test_a_ping_is_answered_and_a_bad_preface_is_not(doors: TwoDoors) -> None:
    with raw(doors) as client:
        client.send(frame(PING, 0, 0, b"abcdefgh"))
        assert client.until(PING) == (1, b"abcdefgh")
    for preface in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"):
        with raw(doors, greeted=False) as client:
            client.send(preface)
            assert client.goaway() == PROTOCOL
    with raw(doors, greeted=False) as client:
        client.send(PREFACE, frame(PING, 0, 0, b"12345678"))
        assert client.goaway() == PROTOCOL


def test_a_half_closed_client_still_gets_its_answer(doors: TwoDoors) -> None:
    with raw(doors) as client:
        client.send(client.call(1))
        client.connection.shutdown(socket.SHUT_WR)
        assert client.status(1)["grpc-status"] == "0"
        assert client.read() is None


def test_a_header_table_that_changes_changes_what_is_known(doors: TwoDoors) -> None:
    with raw(doors) as client:
        # RFC 7541: entry 62 is a path, then another, then the table is emptied: the same
        # bytes, other calls.
        kind = b"\x0f\x10\x10application/grpc"
        live, nowhere = (b"\x44" + bytes((len(p),)) + p for p in (LIVE.encode(), b"/no/Where"))
        for number, path, expected in (
            (1, live, "0"),
            (3, b"\xbe", "0"),
            (5, b"\xbe", "0"),
            (7, nowhere, "12"),
            (9, b"\xbe", "12"),
        ):
            block = b"\x83\x86" + path + kind
            client.send(frame(HEADERS, 4, number, block), frame(DATA, 1, number, message()))
            assert client.status(number)["grpc-status"] == expected
        client.send(frame(HEADERS, 4, 11, b"\x20\x3f\xe1\x1f\x83\x86\x84" + kind))
        assert client.status(11)["grpc-status"] == "12"
        client.send(frame(HEADERS, 4, 13, b"\x83\x86\xbe" + kind))
        assert client.goaway() == COMPRESSION
