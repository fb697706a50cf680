"""How commands reach the fleet server: HTTPS with the admin token, found by the data folder."""

import argparse
import getpass
import http.client
import shlex
import ssl
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.digest import Digest
from edgewright_manifests.errors import DocumentError

from edgewright_fleet.config import FleetConfig
from edgewright_fleet.errors import ServerRefusedError, UnreachableError
from edgewright_fleet.server_file import CA_FILE, SERVER_FILE, TOKEN_FILE, ServerFile

T = TypeVar("T")
_TIMEOUT_S = 60.0
_PIECE_BYTES = 1024 * 1024


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """`--data`, or `--url`, `--token-file` and `--ca`; who asks, and how to answer."""
    group = parser.add_argument_group("where the fleet server is")
    group.add_argument(
        "--data",
        metavar="DIR",
        default=FleetConfig().data,
        help="the server's data folder, on the same machine (default: %(default)s)",
    )
    group.add_argument("--url", help="the server's address, https://HOST:PORT")
    group.add_argument("--token-file", metavar="F", help="file with the admin token, for --url")
    group.add_argument("--ca", metavar="F", help="the fleet's ca.crt, for --url")
    parser.add_argument("--change-ticket", metavar="T", help="recorded in the audit log")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


class FleetClient:
    """One HTTPS connection to the operators' listener."""

    def __init__(self, url: str, token: str, ca: Path, change_ticket: str | None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise UnreachableError(f"{url}: is no address of a fleet server; use https://HOST:PORT")
        self._url = url
        try:
            context = ssl.create_default_context(cafile=str(ca))
        except OSError as error:
            raise UnreachableError(f"{ca}: cannot be read: {error}; give --ca ca.crt") from error
        self._connection = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=_TIMEOUT_S, context=context
        )
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "X-Edgewright-User": getpass.getuser(),
            "X-Edgewright-Command": _command_line(),
        }
        if change_ticket:
            self._headers["X-Edgewright-Change-Ticket"] = change_ticket

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> "FleetClient":
        """The server that the command line names. Raises UnreachableError when there is none."""
        data = Path(arguments.data)
        url = arguments.url
        if url is None:
            try:
                url = documents.read_json(data / SERVER_FILE, ServerFile).operator_url
            except DocumentError as error:
                raise UnreachableError(
                    f"no fleet server runs on {data}; start one with `edgewright fleet serve`, "
                    "or say where it is with --data or --url"
                ) from error
        token_file = Path(arguments.token_file or data / TOKEN_FILE)
        ca = Path(arguments.ca or data / CA_FILE)
        try:
            token = token_file.read_text(errors="replace").strip()
        except OSError as error:
            raise UnreachableError(
                f"{token_file}: cannot be read ({error.strerror}); give --token-file"
            ) from error
        if not token.isascii() or not token.isprintable() or " " in token:
            raise UnreachableError(f"{token_file}: holds no admin token; give --token-file")
        return cls(url, token, ca, arguments.change_ticket)

    def get(self, path: str, kind: type[T]) -> T:
        """GET, parsed."""
        return self._parse(self.raw("GET", path), kind, path)

    def post(self, path: str, body: object, kind: type[T]) -> T:
        """POST a document, parse the answer."""
        return self._parse(self.raw("POST", path, msgspec.json.encode(body)), kind, path)

    def send(self, method: str, path: str, kind: type[T]) -> T:
        """A request without a body, parsed."""
        return self._parse(self.raw(method, path, b"{}"), kind, path)

    def put_blob(self, digest: Digest, file: BinaryIO, size_bytes: int) -> None:
        """Upload one blob as a stream."""
        self.raw("PUT", f"/api/v1/blobs/{digest}", file, {"Content-Length": str(size_bytes)})

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """The answer's bytes. Raises ServerRefusedError, UnreachableError."""
        with self._answer(method, path, body, headers) as answer:
            return answer.read()

    def pieces(self, path: str) -> Iterator[bytes]:
        """GET a long answer piece by piece."""
        with self._answer("GET", path, None, None) as answer:
            while piece := answer.read(_PIECE_BYTES):
                yield piece

    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: dict[str, str] | None,
    ) -> http.client.HTTPResponse:
        try:
            self._connection.request(
                method, path, body=body, headers={**self._headers, **(headers or {})}
            )
            answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise UnreachableError(
                f"{self._url}: the fleet server does not answer: {error or type(error).__name__}"
            ) from error
        if answer.status >= 400:
            raise ServerRefusedError(answer.status, _reason(answer.read(), answer.status))
        return answer

    def _parse(self, data: bytes, kind: type[T], path: str) -> T:
        return documents.decode(data, kind, source=f"{self._url}{path}")


def _reason(body: bytes, status: int) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, str])["error"])
    except (msgspec.DecodeError, KeyError):
        return f"the server answered with status {status}"


def _command_line() -> str:
    # The audit log names the command; a secret is never given on the command line.
    return shlex.join(["edgewright", *sys.argv[1:]]).encode("ascii", "replace").decode()[:300]
