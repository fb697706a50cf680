"""Asks the serving process over its control socket; used by the agent and by commands."""

import asyncio
import socket
from pathlib import Path

from edgewright_runtime import control
from edgewright_runtime.control import AnyReply, AnyRequest, Measure, Status
from edgewright_runtime.errors import ControlFault, one_line

QUICK_S = 10.0
"""For what the server answers from memory."""
SLOW_S = 180.0
"""For what loads or drains a model: OpenVINO on a small board may compile for a minute."""


class ControlClient:
    """One connection per question, so that a restarted server needs no reconnecting."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def ask(self, request: AnyRequest, *, timeout_s: float | None = None) -> AnyReply:
        """The server's reply.

        Raises ControlFault when no server listens, none answers in time (by default 10 s, and
        180 s for what loads or drains a model), or the answer is no reply.
        """
        limit = _limit(request) if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit):
                return await self._ask(request)
        except TimeoutError as error:
            raise self._silent(limit) from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise self._broken(error) from error

    def ask_blocking(self, request: AnyRequest, *, timeout_s: float | None = None) -> AnyReply:
        """The same for code without an event loop."""
        limit = _limit(request) if timeout_s is None else timeout_s
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(limit)
                connection.connect(str(self._path))
                connection.sendall(control.frame(request))
                with connection.makefile("rb") as file:
                    length = control.frame_length(_exactly(file.read(4), 4))
                    return control.parse_reply(_exactly(file.read(length), length))
        except TimeoutError as error:
            raise self._silent(limit) from error
        except OSError as error:
            raise self._broken(error) from error

    async def _ask(self, request: AnyRequest) -> AnyReply:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(control.frame(request))
            await writer.drain()
            length = control.frame_length(await reader.readexactly(4))
            return control.parse_reply(await reader.readexactly(length))
        finally:
            writer.close()

    def _silent(self, limit_s: float) -> ControlFault:
        return ControlFault(f"{self._path}: the server did not answer within {limit_s:g} s")

    def _broken(self, error: Exception) -> ControlFault:
        return ControlFault(
            f"{self._path}: no server answers there ({one_line(error)}); is it running?"
        )


def _limit(request: AnyRequest) -> float:
    return QUICK_S if isinstance(request, Status | Measure) else SLOW_S


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ConnectionError("it closed the connection in mid-reply")
    return data
