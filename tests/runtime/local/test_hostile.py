"""Whatever a client sends, it gets one clear error, and the others go on; nothing leaks."""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime import local_protocol as protocol
from edgewright_runtime.client import Client
from edgewright_runtime.client.wire import Wire
from edgewright_runtime.errors import InvalidInput, LocalFault, RuntimeFault, ServerGone
from edgewright_runtime.local_protocol import HEADER, Hello, Kind, Open, Opened, Placed, State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtime.local.conftest import Local
from tests.simulators.waiting import wait_until

SHARED = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
X = np.ones((1, 4), np.float32)
INPUT = Placed("x", "FP32", (1, 4), 1024)
OUTPUT = Placed("y", "FP32", (1, 3), 1088)
SEALS = 0x2 | 0x4


@pytest.fixture(autouse=True)
def others_are_unaffected(local: Local) -> Iterator[None]:
    with Client(local.path) as client, client.model("linear").slot(batch=1) as slot:
        yield
        slot.inputs["x"][...] = X
        slot.run()


def descriptors(local: Local) -> int:
    return len(list(Path(f"/proc/{local.running.process.pid}/fd").iterdir()))


def memory(size: int = 4096, seals: int = SEALS) -> int:
    descriptor = os.memfd_create("hostile", os.MFD_CLOEXEC | 0x2)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, 1033, seals)
    return descriptor


def opened(local: Local, descriptor: int, question: Open) -> None:
    """Try; nothing stays open."""
    try:
        wire = Wire(local.path, timeout_s=20)
        try:
            wire.ask(question, Opened, descriptor=descriptor)
        finally:
            wire.close()
    finally:
        os.close(descriptor)


def question(**changes: object) -> Open:
    fields = {"model": "linear", "inputs": (INPUT,), "outputs": (OUTPUT,), "bell": "socket"}
    return Open(**{**fields, **changes})  # type: ignore[arg-type]  # hostile on purpose


def test_a_sealed_memfd_is_taken(local: Local) -> None:
    opened(local, memory(), question())


@pytest.mark.parametrize("seals", [0, 0x2, 0x4])
def test_memory_that_could_shrink_or_grow_is_refused(local: Local, seals: int) -> None:
    with pytest.raises(LocalFault, match="not sealed"):
        opened(local, memory(seals=seals), question())


def test_memory_that_cannot_be_written_is_refused(local: Local) -> None:
    with pytest.raises(LocalFault, match="cannot be mapped"):
        opened(local, memory(seals=SEALS | 0x8), question())


def test_what_is_no_memfd_is_refused(local: Local) -> None:
    with pytest.raises(LocalFault, match="no memfd"):
        opened(local, os.open("/dev/zero", os.O_RDWR), question())


@pytest.mark.parametrize("size", [0, 1023])
def test_too_little_memory_is_refused(local: Local, size: int) -> None:
    with pytest.raises(LocalFault, match="bytes"):
        opened(local, memory(size), question())


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (Placed("x", "FP32", (1, 4), 0),)},
        {"inputs": (Placed("x", "FP32", (1, 4), 1025),)},
        {"inputs": (Placed("x", "FP32", (1, 4), 4096),)},
        {"inputs": (Placed("x", "FP32", (1, 4), -64),)},
        {"inputs": (Placed("x", "FP32", (1, 4), 2**63 - 64),)},
        {"inputs": (Placed("x", "FP32", (2**29, 4), 1024),)},
        {"outputs": (Placed("y", "FP32", (1, 3), 1024),)},
    ],
)
def test_tensors_outside_of_the_memory_are_refused(
    local: Local, changes: dict[str, object]
) -> None:
    with pytest.raises(LocalFault, match="aligned"):
        opened(local, memory(), question(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (Placed("x", "FP64", (1, 4), 1024),)},
        {"inputs": (Placed("x", "BYTES", (1, 4), 1024),)},
        {"inputs": (Placed("x", "FP32", (1, -4), 1024),)},
        {"inputs": ()},
        {"outputs": ()},
        {"outputs": (Placed("z", "FP32", (1, 3), 1088),)},
        {"outputs": (Placed("y", "FP32", (3,), 1088),)},
        {"timeout_us": -1},
        {"timeout_us": 10**400},
    ],
)
def test_tensors_that_are_not_the_models_are_refused(
    local: Local, changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput):
        opened(local, memory(), question(**changes))


def test_any_status_that_a_client_writes_is_its_own_affair(local: Local) -> None:
    with Client(local.path) as client, client.model("linear").slot(batch=1) as slot:
        for value in (0, 255):
            slot._view[:1024] = bytes([value]) * 1024
            slot.inputs["x"][...] = X
            slot.run()


def test_a_bell_that_is_rung_to_its_end_or_never_read_stops_nobody(local: Local) -> None:
    before = threads(local)
    with Client(local.path) as client:
        slot = client.model("linear").slot(batch=1)
        bell, answer = slot._bells
        os.set_blocking(bell, False)
        os.eventfd_write(answer, 2**64 - 2)  # the server's thread cannot answer any more
        os.eventfd_write(bell, 3)
        done = State.DONE.to_bytes(4, "little")
        wait_until(lambda: slot._view[:4] == done, 20, "the server is about to answer")
        with Client(local.path) as other, other.model("linear").slot(batch=1) as free:
            free.inputs["x"][...] = X
            free.run()
    wait_until(lambda: threads(local) <= before, 20, "the slot's thread has ended")


def test_a_thousand_connects_leave_no_descriptor(local: Local) -> None:
    before = descriptors(local)
    for number in range(1000):
        client = Client(local.path)
        if not number % 10:
            client.model("linear").slot(batch=1)
        client.close()
    wait_until(lambda: descriptors(local) <= before, 30, "all descriptors are closed")


def test_clients_beyond_the_limit_are_turned_away(local: Local) -> None:
    before, clients = threads(local), list[Client]()
    try:
        with pytest.raises(RuntimeFault, match=r"256 clients|gone"):
            for _ in range(300):
                clients.append(Client(local.path))
        assert len(clients) >= 250
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: threads(local) <= before, 20, "their threads have ended")


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (HEADER.pack(999, 0, 0, 0), "no frame of kind 999"),
        (HEADER.pack(Kind.RUN, 0, 0, 0), "first frame must be HELLO"),
        (HEADER.pack(Kind.HELLO, 0, 1 << 30, 0), "1048576 are allowed"),
        (HEADER.pack(Kind.HELLO, 0, 2, 0) + b"{}", "no valid HELLO"),
        (b"".join(protocol.frame(Hello(99))), "version 1 of the local protocol, not 99"),
    ],
)
def test_a_wrong_start_is_answered_with_the_reason_and_hung_up_on(
    local: Local, frame: bytes, says: str
) -> None:
    reply = exchange(local, frame)
    assert says.encode() in reply
    assert struct.unpack_from("<H", reply)[0] == Kind.REFUSED


def test_frames_beyond_the_limits_are_refused(local: Local) -> None:
    hello = b"".join(protocol.frame(Hello(1)))
    for frame, says in {
        HEADER.pack(Kind.INFER, 0, 2, 1 << 40): b"bytes of tensors",
        HEADER.pack(Kind.RUN, 7, 0, 0): b"slot 7 is not open",
        HEADER.pack(Kind.RUN, 0, 5, 0): b"RUN frame has a document",
        HEADER.pack(Kind.WELCOME, 0, 2, 0) + b"{}": b"WELCOME is no question",
        b"".join(protocol.frame(question())): b"not 0 descriptors",
    }.items():
        assert says in exchange(local, hello + frame)


def test_descriptors_sent_anywhere_are_closed(local: Local) -> None:
    before = descriptors(local)
    hello = protocol.frame(Hello(1))
    for count in (1, 3, 20):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(local.path))
            words = array.array("i", [0] * count)
            right = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, words)]
            connection.sendmsg([b"".join(hello)], right)
            head, document = protocol.frame(question())
            connection.sendall(head)
            connection.sendmsg([document], right)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
    wait_until(lambda: descriptors(local) <= before, 30, "all descriptors are closed")


@settings(SHARED, max_examples=60)
@given(
    st.lists(
        st.binary(max_size=60)
        | st.builds(
            lambda kind, slot, body, tensors: HEADER.pack(kind, slot, len(body), tensors) + body,
            st.integers(0, 110),
            st.integers(0, 70),
            st.binary(max_size=30)
            | st.sampled_from([b'{"model":"linear"}', b'{"version":1}', b"{}"]),
            st.integers(0, 64),
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_any_bytes_are_survived(local: Local, pieces: list[bytes], greets: bool) -> None:
    hello = b"".join(protocol.frame(Hello(1))) if greets else b""
    exchange(local, hello + b"".join(pieces))


@SHARED
@given(st.binary(max_size=40))
def test_any_header_parses_or_is_refused(data: bytes) -> None:
    try:
        header = protocol.parse_header(data, tensor_bytes=1 << 20)
    except LocalFault as error:
        assert "\n" not in str(error)
    else:
        assert header.document_bytes <= protocol.MAX_DOCUMENT_BYTES
        assert header.tensor_bytes <= 1 << 20


@SHARED
@given(
    st.lists(
        st.builds(
            Placed,
            st.sampled_from(["x", "y", "z"]),
            st.sampled_from([*protocol.ITEM_BYTES, "BYTES"]),
            st.lists(st.integers(-1, 2**40), max_size=4).map(tuple),
            st.integers(-64, 4096 // 64).map(lambda n: n * 64) | st.integers(-(2**63), 2**63),
        ),
        max_size=4,
    ),
    st.integers(1024, 8192),
)
def test_places_that_are_accepted_lie_in_the_memory(tensors: list[Placed], size: int) -> None:
    asked = Open("m", tuple(tensors), (), "socket")
    try:
        protocol.check_places(asked, size)
    except (LocalFault, InvalidInput):
        return
    for tensor in tensors:
        end = tensor.offset + protocol.tensor_size(tensor.name, tensor.datatype, tensor.shape)
        assert protocol.STATUS_BYTES <= tensor.offset <= end <= size


def exchange(local: Local, data: bytes) -> bytes:
    """Everything that the server answers to these bytes and a half-closed socket."""
    found = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(str(local.path))
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                found += piece
        except ConnectionError:
            pass  # it hung up before it had read everything
    return found


def threads(local: Local) -> int:
    return len(list(Path(f"/proc/{local.running.process.pid}/task").iterdir()))


def test_a_client_that_was_refused_may_connect_again(local: Local) -> None:
    wire = Wire(local.path, timeout_s=20)
    with pytest.raises(LocalFault):
        wire.signal(Kind.RUN, 3, Kind.RAN)
    with pytest.raises(ServerGone):
        wire.signal(Kind.RUN, 3, Kind.RAN)
    wire.close()
