"""Metadata and blobs over MQTT: requests with Correlation Data, answers in chunks."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError as CancelledFuture
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import NamedTuple

from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.messages import RPC_CHUNK_BYTES, RPC_EXPIRY_S, RPC_WINDOW, RpcRequest

from edgewright_runtime.source import Repository, SourceRefused, SourceUnreachable, Span

MAX_CHUNKS = 256
"""16 MiB: more than any metadata file."""
_CORRELATION_BYTES = 8


class Answer(NamedTuple):
    """A whole answer; `status` is HTTP's."""

    status: int
    body: bytes


class _Call:
    def __init__(self) -> None:
        self.future: Future[Answer] = Future()
        self.chunks: dict[int, bytes] = {}


class RpcClient:
    """Matches answers to requests. `send(payload, correlation)` publishes, or raises."""

    def __init__(self, send: Callable[[bytes, bytes], None]) -> None:
        self._send = send
        self._calls: dict[bytes, _Call] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def request(self, request: RpcRequest) -> Future[Answer]:
        """Ask; the answer comes by `receive`. Raises SourceUnreachable when not connected."""
        correlation = next(self._numbers).to_bytes(_CORRELATION_BYTES, "big")
        call = _Call()
        with self._lock:
            self._calls[correlation] = call
        # Cancelled or done, it is forgotten: an answer that comes later finds nobody.
        call.future.add_done_callback(lambda _: self._forget(correlation))
        try:
            self._send(documents.encode(request), correlation)
        except SourceUnreachable:
            call.future.cancel()
            raise
        return call.future

    def receive(self, correlation: bytes, fields: Mapping[str, str], payload: bytes) -> None:
        """Take one chunk in; one that fits nothing is dropped (QoS 1 may repeat)."""
        with self._lock:
            call = self._calls.get(correlation)
        if call is None:
            return
        try:
            status, index, count = (int(fields[name]) for name in ("status", "index", "count"))
        except (KeyError, ValueError):
            return
        if not 0 <= index < count <= MAX_CHUNKS:
            return
        call.chunks[index] = payload
        if len(call.chunks) == count and not call.future.done():
            body = b"".join(call.chunks[i] for i in range(count) if i in call.chunks)
            call.future.set_result(Answer(status, body))

    def disconnected(self) -> None:
        """Fail what is in flight: its answers may be lost."""
        with self._lock:
            calls = list(self._calls.values())
        for call in calls:
            call.future.cancel()

    def _forget(self, correlation: bytes) -> None:
        with self._lock:
            self._calls.pop(correlation, None)


class MqttSource:
    """Source over an RpcClient, with RPC_WINDOW range requests in flight."""

    def __init__(self, rpc: RpcClient, *, timeout_s: float = RPC_EXPIRY_S) -> None:
        self._rpc = rpc
        self._timeout_s = timeout_s

    def metadata(self, repository: Repository, name: str, max_bytes: int) -> bytes:
        """One metadata file."""
        path = f"{repository}/{name}"
        body = self._result(
            path, self._rpc.request(RpcRequest(operation="metadata", path=path)), 200
        )
        if len(body) > max_bytes:
            raise SourceRefused(path, 413, f"is larger than {max_bytes} bytes")
        return body

    def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """The wanted ranges, in order, each at most RPC_CHUNK_BYTES a request."""
        waiting = iter(
            Span(offset, min(RPC_CHUNK_BYTES, span.offset + span.length - offset))
            for span in spans
            for offset in range(span.offset, span.offset + span.length, RPC_CHUNK_BYTES)
        )
        flying: deque[tuple[Span, Future[Answer]]] = deque()
        try:
            while True:
                for span in itertools.islice(waiting, RPC_WINDOW - len(flying)):
                    request = RpcRequest(
                        operation="range", path=digest, offset=span.offset, length=span.length
                    )
                    flying.append((span, self._rpc.request(request)))
                if not flying:
                    return
                span, future = flying.popleft()
                yield span.offset, self._result(digest, future, 206)[: span.length]
        finally:
            for _, future in flying:
                future.cancel()

    def _result(self, wanted: str, future: Future[Answer], good: int) -> bytes:
        try:
            answer = future.result(self._timeout_s)
        except (FutureTimeout, TimeoutError):
            future.cancel()
            raise SourceUnreachable(
                f"{wanted}: no answer over MQTT within {self._timeout_s:g} s"
            ) from None
        except CancelledFuture:
            raise SourceUnreachable(f"{wanted}: the connection to the broker broke") from None
        if answer.status == good:
            return answer.body
        problem = " ".join(answer.body[:300].decode(errors="replace").split())
        if answer.status >= 500:
            raise SourceUnreachable(f"{wanted}: {problem} (status {answer.status})")
        raise SourceRefused(wanted, answer.status, problem)
