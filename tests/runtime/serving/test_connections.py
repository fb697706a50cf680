"""As many connections as the machine allows, most of them up to no good, and one that works."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.runtime import models
from tests.runtime.serving.running import (
    Running,
    get,
    post,
    read_reply,
    serving,
    unpacked_variant,
)
from tests.simulators.waiting import wait_until

RESERVED = 200
"""Descriptors that this process has use for beside its connections."""
BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[1,1,1,1]}]}'
INFER = post("/v2/models/m/infer", BODY)
UNFINISHED = (b"", b"GET /v2 HTTP/1.1\r\nHost:", INFER[:-20], b"\x16\x03\x01\x02\x00")
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    path = models.linear_onnx(folder / "m.onnx")
    return unpacked_variant(folder / "1", "onnx", [path], model="m", version="1")


@pytest.fixture
def many() -> Iterator[int]:
    """How many descriptors this process may have, its limit raised for the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield 1 << 30 if hard == resource.RLIM_INFINITY else hard - RESERVED
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def entry(release: Path) -> list[dict[str, str]]:
    return [{"model": "m", "generation": "g1", "folder": str(release)}]


def crowd(server: Running, count: int, stack: ExitStack) -> None:
    """`count` clients that connect and then say nothing, or half of something."""
    for number in range(count):
        client = stack.enter_context(socket.create_connection(server.address, timeout=LIMIT_S))
        client.sendall(UNFINISHED[number % len(UNFINISHED)])
        if number % 7 == 0:
            client.shutdown(socket.SHUT_WR)


def check_crowd(release: Path, folder: Path, count: int) -> None:
    with serving(folder, entry(release), connections=count + 10) as server, ExitStack() as stack:
        with server.connect() as worker:
            crowd(server, count, stack)
            for _ in range(20):
                started = time.monotonic()
                worker.sendall(INFER)
                assert read_reply(worker)[0] == 200
                assert time.monotonic() - started < LIMIT_S / 10
        with server.connect() as late:
            late.sendall(INFER)
            assert read_reply(late)[0] == 200, "new clients get in too"


def test_a_thousand_silent_clients_hinder_nobody(release: Path, tmp_path: Path, many: int) -> None:
    check_crowd(release, tmp_path, min(1000, many))


@pytest.mark.long
def test_ten_thousand_silent_clients_hinder_nobody(
    release: Path, tmp_path: Path, many: int
) -> None:
    check_crowd(release, tmp_path, min(10_000, many))


def test_one_connection_too_many_is_told_so_and_the_others_go_on(
    release: Path, tmp_path: Path
) -> None:
    with serving(tmp_path, entry(release), connections=20) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(20)]
        for client in clients:
            client.sendall(get("/v2/health/live"))
            assert read_reply(client)[0] == 200
        with server.connect() as refused:
            status, body = read_reply(refused)
            assert status == 503
            assert b"too many connections" in body
        clients[0].sendall(INFER)
        assert read_reply(clients[0])[0] == 200
        clients.pop().close()

        def gets_in() -> bool:
            with server.connect() as client:
                client.sendall(INFER)
                return read_reply(client)[0] == 200

        wait_until(gets_in, LIMIT_S, "the place of the one that left")


def test_slow_clients_are_ended_in_time_and_their_places_are_free(
    release: Path, tmp_path: Path
) -> None:
    with (
        serving(tmp_path, entry(release), connections=60, read_timeout_s=1.0) as server,
        ExitStack() as stack,
    ):
        slow = [stack.enter_context(server.connect()) for _ in range(50)]
        for client in slow:
            client.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n")
        ends = time.monotonic() + LIMIT_S
        # A byte now and then does not help: the head as a whole has its time.
        statuses: list[int] = []
        waiting = list(slow)
        while waiting and time.monotonic() < ends:
            for client in list(waiting):
                client.settimeout(0.02)
                try:
                    client.sendall(b"a")
                    reply = client.recv(4096)
                except TimeoutError:
                    continue
                except ConnectionError:
                    reply = b""
                waiting.remove(client)
                statuses.append(int(reply.split(b" ")[1]) if reply else 0)
        assert not waiting
        assert statuses.count(408) >= 45, statuses  # a reset may overtake the reply
        assert server.exchange(INFER)[0] == 200
