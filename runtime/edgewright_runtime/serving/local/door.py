"""Listens on a Unix socket and gives every client a thread."""

import asyncio
import logging
import socket
import threading
import time
from pathlib import Path

from edgewright_runtime.serving.local.connection import LocalConnection, LocalLimits
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.unix_sockets import listen

_log = logging.getLogger(__name__)
_BACKLOG = 128
_PAUSE_S = 0.5
_DRAIN_S = 10.0


class LocalDoor:
    """A Unix socket (mode 0600) at `path`."""

    def __init__(self, path: Path, repository: Repository, limits: LocalLimits) -> None:
        self._path = path
        self._repository = repository
        self._limits = limits
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, LocalConnection] = {}

    async def open(self) -> None:
        """Listen. Raises DoorUnavailable when another server does, or the path is no good."""
        self._listener = listen(self._path, backlog=_BACKLOG, what="the local door's socket")
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def close(self) -> None:
        """Stop listening, answer what was asked, hang up."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        self._path.unlink(missing_ok=True)
        with self._lock:
            open_ones = dict(self._threads)
        for connection in open_ones.values():
            connection.hang_up()
        await asyncio.to_thread(_join, list(open_ones), _DRAIN_S)

    @property
    def connection_count(self) -> int:
        """Clients that are connected now."""
        with self._lock:
            return len(self._threads)

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # No descriptors left: the listener stays readable, so look away for a while.
            _log.warning("local door cannot accept reason=%s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(_PAUSE_S, self._resume, listener)
            return
        accepted.setblocking(True)
        connection = LocalConnection(accepted, self._repository, self._limits)
        if self.connection_count >= self._limits.connections:
            connection.turn_away(f"{self._limits.connections} clients are connected, the limit")
            return
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="local-client", daemon=True
        )
        with self._lock:
            self._threads[thread] = connection
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                del self._threads[thread]
            connection.turn_away("the server has no thread left; try again later")

    def _serve(self, connection: LocalConnection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                del self._threads[threading.current_thread()]

    def _resume(self, listener: socket.socket) -> None:
        if self._listener is listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)


def _join(threads: list[threading.Thread], limit_s: float) -> None:
    ends = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
