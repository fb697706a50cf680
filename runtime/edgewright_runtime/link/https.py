"""Metadata and blobs over HTTPS with the device's certificate."""

import http.client
import ssl
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

from edgewright_manifests.digest import Digest

from edgewright_runtime.errors import one_line
from edgewright_runtime.source import Repository, SourceRefused, SourceUnreachable, Span

TIMEOUT_S = 30.0
"""Without one byte; a slower line than 64 KiB in 30 s should use MQTT chunks."""
RANGE_BYTES = 1024 * 1024
"""Asked for in one request: large enough that the round trip does not count."""
READ_BYTES = 64 * 1024
_LATER = frozenset({408, 425, 429})
"""4xx that ask for another try (RFC 9110, RFC 8470, RFC 6585)."""


class HttpsSource:
    """Source over one kept-alive connection; for one thread."""

    def __init__(self, url: str, context: Callable[[], ssl.SSLContext]) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 443
        self._context = context
        self._connection: http.client.HTTPSConnection | None = None

    def metadata(self, repository: Repository, name: str, max_bytes: int) -> bytes:
        """GET /tuf/REPOSITORY/NAME."""
        path = f"/tuf/{repository}/{urllib.parse.quote(name)}"
        with _Exchange(self, path, {}) as response:
            data = response.read(max_bytes + 1)
            if len(data) > max_bytes:
                raise SourceRefused(path, 413, f"is larger than {max_bytes} bytes")
            return data

    def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """GET /blobs/sha256/HEX, one range of neighbours at a time."""
        path = f"/blobs/sha256/{digest.removeprefix('sha256:')}"
        for span in merge(spans, RANGE_BYTES):
            wanted = f"bytes={span.offset}-{span.offset + span.length - 1}"
            with _Exchange(self, path, {"Range": wanted}) as response:
                # A server may ignore Range and send the whole; then it starts at 0.
                offset = span.offset if response.status == 206 else 0
                while data := response.read(READ_BYTES):
                    yield offset, data
                    offset += len(data)

    def open(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Send a GET; a kept connection that the server has closed is opened again once."""
        fresh = self._connection is None
        try:
            return self._send(path, headers)
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if fresh:
                raise
        return self._send(path, headers)

    def close(self) -> None:
        """Forget the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT_S, context=self._context()
            )
        self._connection.request("GET", path, headers=headers)
        return self._connection.getresponse()


class _Exchange:
    """One request and its response, with every failure told in the words of source.py."""

    def __init__(self, source: HttpsSource, path: str, headers: dict[str, str]) -> None:
        self._source = source
        self._path = path
        self._headers = headers
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> http.client.HTTPResponse:
        try:
            self._response = response = self._source.open(self._path, self._headers)
            if response.status in (200, 206):
                return response
            problem = response.read(300).decode(errors="replace").strip() or response.reason
        except (OSError, http.client.HTTPException) as error:
            self._source.close()
            raise SourceUnreachable(f"{self._path}: {one_line(error)}") from error
        self._source.close()
        if response.status >= 500 or response.status in _LATER:
            raise SourceUnreachable(f"{self._path}: {problem} (status {response.status})")
        raise SourceRefused(self._path, response.status, " ".join(problem.split()))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None and self._response is not None and self._response.isclosed():
            return
        self._source.close()  # the rest of the body is not wanted
        if isinstance(error, OSError | http.client.HTTPException):
            raise SourceUnreachable(f"{self._path}: {one_line(error)}") from error


def merge(spans: Sequence[Span], most_bytes: int) -> Iterator[Span]:
    """Neighbouring spans as one, of at most `most_bytes` (or one longer span as it is)."""
    current: Span | None = None
    for span in spans:
        if (
            current is not None
            and current.offset + current.length == span.offset
            and current.length + span.length <= most_bytes
        ):
            current = Span(current.offset, current.length + span.length)
            continue
        if current is not None:
            yield current
        current = span
    if current is not None:
        yield current
