"""RPC over MQTT: chunks in any order, twice, or never; and the range window."""

import threading
from collections.abc import Callable

import pytest
from edgewright_manifests import documents
from edgewright_manifests.digest import digest_of
from edgewright_manifests.messages import RPC_CHUNK_BYTES, RPC_WINDOW, RpcRequest
from edgewright_runtime.link.rpc import MqttSource, RpcClient
from edgewright_runtime.source import SourceRefused, SourceUnreachable, Span

Chunk = tuple[int, bytes]


class Server:
    """Answers each request with chunks that a test arranges."""

    def __init__(self, answer: Callable[[RpcRequest], tuple[int, list[Chunk], int]]) -> None:
        self.client = RpcClient(self._send)
        self.answer = answer
        self.open = 0
        self.most_open = 0

    def _send(self, payload: bytes, correlation: bytes) -> None:
        request = documents.decode(payload, RpcRequest, source="test")
        self.open += 1
        self.most_open = max(self.most_open, self.open)

        def reply() -> None:
            status, chunks, count = self.answer(request)
            self.open -= 1
            for index, data in chunks:
                fields = {"status": str(status), "index": str(index), "count": str(count)}
                self.client.receive(correlation, fields, data)

        threading.Timer(0.01, reply).start()


def test_chunks_are_put_together_in_any_order_and_once() -> None:
    server = Server(lambda _: (200, [(2, b"c"), (0, b"a"), (2, b"c"), (1, b"b")], 3))
    assert MqttSource(server.client).metadata("director", "timestamp.json", 10) == b"abc"


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (404, SourceRefused, "director/1.root.json: gone"),
        (403, SourceRefused, "gone"),
        (500, SourceUnreachable, "gone"),
    ],
)
def test_a_status_is_told_as_what_it_means(status: int, error: type[Exception], words: str) -> None:
    server = Server(lambda _: (status, [(0, b"gone")], 1))
    with pytest.raises(error, match=words):
        MqttSource(server.client).metadata("director", "1.root.json", 10)


def test_an_answer_that_does_not_come_is_unreachable() -> None:
    source = MqttSource(Server(lambda _: (200, [(0, b"a")], 2)).client, timeout_s=0.1)
    with pytest.raises(SourceUnreachable, match=r"no answer over MQTT within 0\.1 s"):
        source.metadata("image", "timestamp.json", 10)


def test_a_lost_connection_fails_what_is_in_flight_at_once() -> None:
    server = Server(lambda _: (200, [], 1))
    threading.Timer(0.05, server.client.disconnected).start()
    with pytest.raises(SourceUnreachable, match="connection to the broker broke"):
        MqttSource(server.client, timeout_s=20).metadata("image", "timestamp.json", 10)


def test_too_much_metadata_is_refused() -> None:
    server = Server(lambda _: (200, [(0, b"0123456789")], 1))
    with pytest.raises(SourceRefused, match="larger than 9 bytes"):
        MqttSource(server.client).metadata("image", "timestamp.json", 9)


def test_ranges_come_with_a_bounded_window() -> None:
    data = bytes(range(256)) * (RPC_CHUNK_BYTES // 256) * 20 + b"tail"

    def answer(request: RpcRequest) -> tuple[int, list[Chunk], int]:
        return 206, [(0, data[request.offset : request.offset + request.length])], 1

    server = Server(answer)
    found = bytearray(len(data))
    for offset, piece in MqttSource(server.client).spans(digest_of(data), [Span(0, len(data))]):
        assert len(piece) <= RPC_CHUNK_BYTES
        found[offset : offset + len(piece)] = piece
    assert bytes(found) == data
    assert 1 < server.most_open <= RPC_WINDOW


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "200"},
        {"status": "200", "index": "x", "count": "1"},
        {"status": "200", "index": "1", "count": "1"},
        {"status": "200", "index": "-1", "count": "1"},
        {"status": "200", "index": "0", "count": "999999999"},
    ],
)
def test_a_chunk_that_makes_no_sense_is_dropped(fields: dict[str, str]) -> None:
    sent: list[bytes] = []
    client = RpcClient(lambda payload, correlation: sent.append(correlation))
    future = client.request(RpcRequest(operation="metadata", path="image/1.root.json"))
    client.receive(sent[0], fields, b"wrong")
    client.receive(b"nobody", {"status": "200", "index": "0", "count": "1"}, b"wrong")
    assert not future.done()
    client.receive(sent[0], {"status": "200", "index": "0", "count": "1"}, b"right")
    assert future.result(1).body == b"right"
