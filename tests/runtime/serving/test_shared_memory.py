"""Callers' shared memory is read and written within its bounds, whatever its owner does with it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright_runtime.errors import InvalidInput, NotAllowed, RegionUnknown
from edgewright_runtime.serving.inference.shared_memory import FOLDER, Place, SharedMemory
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime import models
from tests.runtime.serving.running import Running, get, post, serving_files

REGION = "/v2/systemsharedmemory/region/in"
SIZE = 4096


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[SharedMemory]:
    """Over a folder of its own, with 4 KiB called `one`."""
    (tmp_path / "one").write_bytes(bytes(range(256)) * 16)
    made = SharedMemory(folder=tmp_path)
    yield made
    made.unregister()


@pytest.mark.parametrize(
    "key", ["", "/", ".", "..", "/..", "//one", "/a/b", "../one", "one\0", "x" * 256, "nobody"]
)
def test_a_key_is_one_name_in_one_folder(memory: SharedMemory, key: str) -> None:
    with pytest.raises(InvalidInput, match=r"key|no shared memory"):
        memory.register("in", key, 0, 1)


def test_a_link_a_folder_or_a_pipe_is_no_memory(memory: SharedMemory, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for key in ("/link", "/folder", "/pipe"):
        with pytest.raises(InvalidInput):
            memory.register("in", key, 0, 0)
    assert memory.status() == []


def test_only_what_is_within_a_region_is_read_and_written(memory: SharedMemory) -> None:
    memory.register("in", "/one", 16, 64)
    assert bytes(memory.read(Place("in", 60, 4))) == bytes(range(76, 80))
    memory.write(Place("in", 0, 8), b"abcd")
    assert bytes(memory.read(Place("in", 0, 6))) == b"abcd" + bytes((20, 21))
    for place in (Place("in", 61, 4), Place("in", 1 << 62, 1), Place("in", 0, 65)):
        for act in (memory.read, memory.check, lambda place: memory.write(place, b"")):
            with pytest.raises(InvalidInput, match="go beyond the 64"):
                act(place)
    with pytest.raises(InvalidInput, match="has 9 bytes"):
        memory.write(Place("in", 0, 8), b"123456789")
    with pytest.raises(RegionUnknown):
        memory.read(Place("out", 0, 1))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_region_behaves_like_a_slice(data: st.DataObject) -> None:
    key = f"edgewright-slice-{os.getpid()}"
    content = bytearray(os.urandom(64))
    (FOLDER / key).write_bytes(content)
    memory = SharedMemory()
    try:
        number = st.integers(0, 70)
        start, size = data.draw(number), data.draw(number)
        if start + size > 64:
            with pytest.raises(InvalidInput):
                memory.register("in", key, start, size)
            return
        memory.register("in", key, start, size)
        offset, length = data.draw(number), data.draw(number)
        if offset + length > size:
            with pytest.raises(InvalidInput):
                memory.read(Place("in", offset, length))
            return
        new = data.draw(st.binary(max_size=length))
        memory.write(Place("in", offset, length), new)
        content[start + offset : start + offset + len(new)] = new
        where = slice(start + offset, start + offset + length)
        assert bytes(memory.read(Place("in", offset, length))) == content[where]
        assert (FOLDER / key).read_bytes() == content
    finally:
        memory.unregister()
        (FOLDER / key).unlink()


def test_registered_memory_is_let_go_of(memory: SharedMemory) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # the descriptors of this process
    for number in range(50):
        memory.register(f"r{number}", "/one", 0, SIZE)
    with pytest.raises(InvalidInput, match="registered already"):
        memory.register("r1", "/one", 0, SIZE)
    with pytest.raises(InvalidInput, match="has 4096 bytes"):
        memory.register("large", "/one", 1, SIZE)
    memory.unregister("r7")
    memory.unregister("r7")
    memory.unregister()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # as above


def test_a_server_that_takes_none_says_how_it_would(tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="--shared-memory on"):
        SharedMemory(is_allowed=False, folder=tmp_path).register("in", "/one", 0, 1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("memory")
    pair = models.two_by_two_onnx(folder / "pair.onnx")
    with serving_files(folder, {"pair": pair}) as found:
        yield found


@pytest.fixture
def shared(running: Running) -> Iterator[Path]:
    """4 KiB of shared memory, registered as region `in`."""
    path = FOLDER / f"edgewright-test-{os.getpid()}"
    path.write_bytes(np.arange(SIZE // 4, dtype=np.float32).tobytes())
    try:
        assert send(running, f"{REGION}/register", {"key": f"/{path.name}", "byte_size": SIZE})
        yield path
    finally:
        send(running, "/v2/systemsharedmemory/unregister")
        path.unlink()


def send(running: Running, path: str, document: object | None = None) -> bool:
    body = b"" if document is None else json.dumps(document).encode()
    return running.exchange(post(path, body))[0] == 200


def request(offset: int, out: int | None = None) -> bytes:
    def place(at: int) -> dict[str, Any]:
        return {
            "shared_memory_region": "in",
            "shared_memory_offset": at,
            "shared_memory_byte_size": 16,
        }

    inputs = [
        {"name": name, "datatype": "FP32", "shape": [1, 4], "parameters": place(offset)}
        for name in "ab"
    ]
    document: dict[str, Any] = {"inputs": inputs, "outputs": [{"name": "total"}]}
    if out is not None:
        document["outputs"][0]["parameters"] = place(out)
    return post("/v2/models/pair/infer", json.dumps(document).encode())


def test_memory_that_is_truncated_after_its_registration_costs_one_request(
    running: Running, shared: Path
) -> None:
    assert running.exchange(request(64, 256))[0] == 200
    found = np.frombuffer(shared.read_bytes()[256:272], np.float32)
    np.testing.assert_array_equal(found, 2 * np.arange(16, 20))
    os.truncate(shared, 128)
    status, body = running.exchange(request(256))
    assert status == 400
    assert b"truncated" in body
    status, body = running.exchange(request(64, 256))
    assert status == 400
    assert b"truncated" in body
    assert shared.stat().st_size == 128, "a write made the memory longer again"
    os.truncate(shared, 0)
    assert running.exchange(request(0))[0] == 400
    os.truncate(shared, SIZE)
    assert running.exchange(request(0, 64))[0] == 200
    assert running.process.poll() is None


def test_memory_that_is_truncated_again_and_again_never_stops_the_server(
    running: Running, shared: Path
) -> None:
    for number in range(300):
        os.truncate(shared, (0, 8, 100, SIZE)[number % 4])
        assert running.exchange(request(96, 112))[0] in (200, 400)
    assert running.exchange(get("/v2/health/live"))[0] == 200


def test_memory_whose_name_is_gone_still_serves(running: Running, shared: Path) -> None:
    content = shared.read_bytes()
    shared.unlink()
    assert running.exchange(request(0, 64))[0] == 200
    shared.write_bytes(content)  # another file; the fixture removes it


def test_a_server_on_the_network_takes_no_memory(tmp_path: Path) -> None:
    pair = models.two_by_two_onnx(tmp_path / "pair.onnx")
    options = ["--shared-memory", "off"]
    with serving_files(tmp_path, {"pair": pair}, *options) as off:
        body = json.dumps({"key": "/anything", "byte_size": 1}).encode()
        status, reply = off.exchange(post(f"{REGION}/register", body))
        assert status == 403
        assert b"--shared-memory" in reply
