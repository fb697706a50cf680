"""Anything may come: the parts answer with our own errors, the server goes on."""

import asyncio
import contextlib
from collections.abc import Hashable, Sequence
from typing import cast

import pytest
from edgewright_runtime.engine.raw_tensor import Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput, RuntimeFault
from edgewright_runtime.serving.grpc import wire
from edgewright_runtime.serving.grpc.calls import Limits
from edgewright_runtime.serving.grpc.connection import SCRATCH_BYTES, GrpcConnection
from edgewright_runtime.serving.grpc.infer import read_inputs, read_message
from edgewright_runtime.serving.grpc.messages import build_messages
from edgewright_runtime.serving.grpc.stream import Answer, Cancel, Exchange, Peer
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.runtime.grpc.conftest import TwoDoors
from tests.runtime.grpc.raw import INFER, PREFACE, frame, head, message, raw, u32

MESSAGES = build_messages()
HEAD = b"\x83\x86\x44\x02/x\x0f\x10\x10application/grpc"
STREAM_HEAD = HEAD.replace(b"/x", b"/s")
numbers = st.sampled_from([0, 1, 1, 1, 3, 5, 2, 7, 2**31 - 1])
payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([HEAD, message(), message(b"abc"), b"", u32(8), u32(0), b"12345678"]),
    st.builds(lambda key, value: b"\0" + bytes((key,)) + u32(value), st.integers(0, 7), numbers),
)
frames = st.builds(
    frame, st.integers(0, 10), st.sampled_from([0, 1, 4, 5, 8, 13, 32]), numbers, payloads
)
sessions = st.lists(
    st.one_of(
        frames,
        st.sampled_from([frame(1, 4, n, HEAD) for n in (1, 3, 5)]),
        st.sampled_from([frame(1, 4, n, STREAM_HEAD) for n in (1, 3)]),
        st.sampled_from([frame(0, 0, n, message(b"abc") * 2 + b"\0") for n in (1, 3)]),
        st.sampled_from([frame(0, 1, n, message(b"abc")) for n in (1, 3, 5)]),
        st.binary(max_size=30),
    ),
    max_size=12,
).map(b"".join)


class Wires(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def writelines(self, list_of_data: object) -> None:
        for data in cast(Sequence[Buffer], list_of_data):
            self.write(data)

    def write_eof(self) -> None:
        self.is_closed = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


class Echo:
    """Answers every call with its own message."""

    streamed = frozenset({b"/s"})
    traceparent: bytes | None = None

    def __call__(
        self,
        path: bytes,
        message: Buffer,
        timeout_s: float | None,
        client: Hashable,
        answer: Answer,
    ) -> Cancel | None:
        answer((bytes(message),))
        return None

    def open(self, path: bytes, peer: Peer, client: Hashable, *, wants_status: bool) -> Exchange:
        return EchoStream(peer)

    def unanswerable(self, path: bytes) -> RuntimeFault | None:
        return None


class EchoStream:
    """Answers every message of a call with itself, the last ones when it is told the end."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._kept: list[bytes] = []

    def take(self, message: Buffer) -> None:
        self._kept.append(bytes(message))
        if len(self._kept) > 1:
            self._answer()

    def end(self, error: RuntimeFault | None = None) -> None:
        while self._kept:
            self._answer()
        self._peer.close(error)

    def forget(self) -> None:
        self._kept.clear()

    def _answer(self) -> None:
        oldest = self._kept.pop(0)
        self._peer.send((oldest,))
        self._peer.release(len(oldest))


async def _feed(sent: bytes, cuts: Sequence[int]) -> bytes:
    """What a connection writes when `sent` comes in pieces of these sizes."""
    scratch = memoryview(bytearray(SCRATCH_BYTES))
    connection = GrpcConnection(
        Echo(), Limits(message_bytes=1000), scratch, lambda _: None, lambda _: None
    )
    transport = Wires()
    connection.connection_made(transport)
    at, turn = 0, 0
    while at < len(sent) and not transport.is_closed:
        buffer = connection.get_buffer(-1)
        size = min(cuts[turn % len(cuts)] if cuts else len(sent), len(buffer), len(sent) - at)
        buffer[:size] = sent[at : at + size]
        connection.buffer_updated(size)
        at, turn = at + size, turn + 1
    connection.check_times()
    connection.connection_lost(None)
    return b"".join(transport.written)


@settings(max_examples=400, deadline=None)
@given(sessions, st.lists(st.integers(1, 20), max_size=5))
@example(frame(1, 4, 1, HEAD) + frame(0, 1, 1, message(b"abc")), [1])
def test_answers_do_not_depend_on_where_the_bytes_were_cut(sent: bytes, cuts: list[int]) -> None:
    greeted = PREFACE + frame(4, 0, 0) + sent
    assert asyncio.run(_feed(greeted, [])) == asyncio.run(_feed(greeted, cuts))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_no_preface_is_no_crash(sent: bytes) -> None:
    asyncio.run(_feed(sent, [3]))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_request_or_an_invalid_one(data: bytes, is_large: bool) -> None:
    if is_large:
        data += b"\x3a\xc0\xb8\x02" + b"\0" * 40_000
    with contextlib.suppress(InvalidInput):
        read_all(data)


def read_all(data: bytes) -> dict[str, RawTensor]:
    _, read, raw_contents = read_message(data, MESSAGES["ModelInferRequest"])
    return read_inputs(read, raw_contents, SharedMemory())


def _request() -> bytes:
    made = MESSAGES["ModelInferRequest"](
        model_name="any",
        id="7",
        inputs=[{"name": "x", "datatype": "FP32", "shape": [5000]}],
        raw_input_contents=[bytes(20_000)],
    )
    return cast(bytes, made.SerializeToString())


def test_a_large_request_is_split_as_the_library_reads_it() -> None:
    data = _request()
    rest, raw_contents = wire.split_raw_contents(memoryview(data))
    whole = MESSAGES["ModelInferRequest"].FromString(data)
    assert [bytes(part) for part in raw_contents] == list(whole.raw_input_contents)
    del whole.raw_input_contents[:]
    assert MESSAGES["ModelInferRequest"].FromString(rest) == whole
    for size in range(0, len(data), 997):
        cut = data[:size]
        try:
            read_all(cut + b"\xff" * (16_384 if size < 16_384 else 1))
        except InvalidInput:
            continue
        pytest.fail("a request that is cut off was taken")


@settings(max_examples=60, deadline=None)
@given(sessions)
def test_a_real_server_survives_it_and_serves_others(doors: TwoDoors, sent: bytes) -> None:
    with raw(doors) as client:
        client.send(sent)
    with raw(doors) as other:
        other.send(other.call(1))
        assert other.status(1)["grpc-status"] == "0"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_a_real_server_refuses_hostile_messages(doors: TwoDoors, body: bytes) -> None:
    with raw(doors) as client:
        client.send(client.headers(1, head(INFER)), frame(0, 1, 1, message(body)))
        assert client.status(1)["grpc-status"] in ("3", "5")
