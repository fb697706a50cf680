"""Listens on TCP, counts connections, ends those that take too long, and drains."""

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from edgewright_runtime.errors import DoorUnavailable, one_line
from edgewright_runtime.serving.tls import HANDSHAKE_S

_BACKLOG = 512
_CHECK_S = 1.0
_DRAIN_S = 10.0


class Connection(Protocol):
    """What a door asks of its connections."""

    def finish(self) -> None:
        """Answer what was asked, or is being sent, then close."""

    def abort(self) -> None:
        """Close at once."""

    def check_times(self) -> None:
        """Called about once a second: end what takes too long."""

    def refuse_connection(self) -> None:
        """Say that there are too many, and close."""


Seen = Callable[[Connection], None]
MakeConnection = Callable[[Seen, Seen], asyncio.BaseProtocol]
"""Makes the protocol of one connection, which calls the first when it opens, the second at its
end."""


MakeContext = Callable[[], ssl.SSLContext]
"""Reads the certificate's files. Raises DoorUnavailable."""


class TcpDoor:
    """One listening address; `address` is HOST:PORT once it is open."""

    def __init__(
        self,
        address: str,
        make: MakeConnection,
        *,
        connections: int,
        option: str = "--http",
        tls: MakeContext | None = None,
    ) -> None:
        self._wanted = parse_address(address)
        self._make = make
        self._tls = tls
        self._limit = connections
        self._option = option
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._checks: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self.address = address

    async def open(self) -> None:
        """Listen. Raises DoorUnavailable when the address is taken or not this machine's."""
        host, port = self._wanted
        context = self._tls() if self._tls is not None else None
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: self._make(self._opened, self._closed),
                host,
                port,
                backlog=_BACKLOG,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S if context is not None else None,
            )
        except OSError as error:
            raise _unavailable(host, port, error, self._option) from error
        self._servers = [server]
        found = server.sockets[0].getsockname()
        self.address = f"[{found[0]}]:{found[1]}" if ":" in found[0] else f"{found[0]}:{found[1]}"

    async def reload(self) -> None:
        """Meet new clients with the certificate's files as they are now; no connection ends.

        Raises DoorUnavailable, and goes on with the old ones, when the new ones are no good.
        """
        if self._tls is None or not self._servers:
            return
        context, before = self._tls(), self._servers
        after: list[asyncio.Server] = []
        for listening in (each for server in before for each in server.sockets):
            # The same queue of clients under another descriptor: none of them is turned away.
            twin = socket.socket(fileno=os.dup(listening.fileno()))
            after.append(
                await asyncio.get_running_loop().create_server(
                    lambda: self._make(self._opened, self._closed),
                    sock=twin,
                    backlog=_BACKLOG,
                    ssl=context,
                    ssl_handshake_timeout=HANDSHAKE_S,
                )
            )
        self._servers = after
        for server in before:
            server.close()

    async def close(self) -> None:
        """Stop listening, answer what was asked, hang up."""
        if not self._servers:
            return
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(_DRAIN_S):
                while self._connections:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
        if self._checks is not None:
            self._checks.cancel()

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        if len(self._connections) > self._limit:
            connection.refuse_connection()
        if self._checks is None:
            # Only while somebody is connected: an idle server does not wake up.
            self._checks = asyncio.get_running_loop().call_later(_CHECK_S, self._check)

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._emptied.set()

    def _check(self) -> None:
        self._checks = None
        for connection in list(self._connections):
            connection.check_times()
        if self._connections:
            self._checks = asyncio.get_running_loop().call_later(_CHECK_S, self._check)


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT or [V6]:PORT. Raises DoorUnavailable."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not port.isascii() or int(port[:6]) > 65535:
        raise DoorUnavailable(f"'{address}' is no address; give HOST:PORT, e.g. 127.0.0.1:8000")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only programs on this machine can reach HOST:PORT."""
    host, _ = parse_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unavailable(host: str, port: int, error: OSError, option: str) -> DoorUnavailable:
    if error.errno == errno.EADDRINUSE:
        return DoorUnavailable(
            f"{host}:{port} is in use by another program; stop it or choose another with {option}"
        )
    return DoorUnavailable(f"{host}:{port} cannot be listened on: {one_line(error)}")
