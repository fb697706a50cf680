"""Answers the agent and `edgewright runtime status` on the control socket."""

import asyncio
import logging
import os
from pathlib import Path

from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime import __version__, control
from edgewright_runtime.control import (
    AnyReply,
    AnyRequest,
    Done,
    Generation,
    Load,
    Loaded,
    Measure,
    Measured,
    Refused,
    Switch,
    Unload,
)
from edgewright_runtime.engine.artifact import unpacked_artifact
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.unix_sockets import listen

_log = logging.getLogger(__name__)
_BACKLOG = 128


class ControlDoor:
    """A Unix socket (mode 0600) at `path`."""

    def __init__(
        self, path: Path, repository: Repository, *, http: str | None, grpc: str | None = None
    ) -> None:
        self._path = path
        self._repository = repository
        self._http = http
        self._grpc = grpc
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. Raises DoorUnavailable when another server does, or the path is no good."""
        listener = listen(self._path, backlog=_BACKLOG, what="the control socket")
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except asyncio.CancelledError:
            pass  # close(): the task ends here, nobody awaits it
        except ControlFault as error:
            _log.warning("control connection refused reason=%s", error)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side hung up
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            length = control.frame_length(await reader.readexactly(4))
            request = control.parse_request(await reader.readexactly(length))
            writer.write(control.frame(await self._answer(request)))
            await writer.drain()

    async def _answer(self, request: AnyRequest) -> AnyReply:
        try:
            return await self._carry_out(request)
        except EdgewrightError as error:
            return Refused(reason=str(error))

    async def _carry_out(self, request: AnyRequest) -> AnyReply:
        repository = self._repository
        match request:
            case Load(model=model, generation=generation, folder=folder):
                await repository.load(model, generation, lambda: unpacked_artifact(Path(folder)))
            case Switch(model=model, generation=generation, keep_previous=keep):
                await repository.switch(model, generation, keep_previous=keep)
            case Unload(model=model, generation=generation):
                await repository.unload(model, generation)
            case Measure(model=model, generation=generation, reset=reset):
                return self._measure(model, generation, reset=reset)
            case _:
                return self._status()
        return Done()

    def _measure(self, model: str, generation: str, *, reset: bool) -> Measured:
        found = self._repository.generation(model, generation)
        figures = found.figures
        if reset:
            found.figures = Figures()
        return Measured(
            requests=figures.requests,
            errors=figures.errors,
            latency_ms_p50=figures.percentile_ms(0.5),
            latency_ms_p99=figures.percentile_ms(0.99),
        )

    def _status(self) -> Loaded:
        return Loaded(
            pid=os.getpid(),
            version=__version__,
            generations=tuple(
                Generation(
                    model=served.name,
                    generation=generation.name,
                    role=served.role(generation),
                    variant=generation.artifact.variant,
                    placement=generation.session.placement,
                )
                for served in self._repository.models.values()
                for generation in served.generations.values()
            ),
            http=self._http,
            grpc=self._grpc,
        )
