"""Answers the agent and `edgewright runtime status` on the control socket."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime import __version__, control
from edgewright_runtime.control import (
    AnyReply,
    AnyRequest,
    Divide,
    Done,
    Generation,
    Load,
    Loaded,
    Measure,
    Measured,
    Refused,
    Shade,
    ShadowFigures,
    Switch,
    Unload,
)
from edgewright_runtime.engine.artifact import (
    BARE_FILES,
    Artifact,
    misplaced,
    unpacked_artifact,
)
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.serving.figures import Figures
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.unix_sockets import listen

_log = logging.getLogger(__name__)
_BACKLOG = 128


class ControlDoor:
    """A Unix socket (mode 0600) at `path`."""

    def __init__(
        self,
        path: Path,
        repository: Repository,
        *,
        http: str | None = None,
        grpc: str | None = None,
    ) -> None:
        self._path = path
        self._repository = repository
        self.http = http
        """The address of that door, once it is open; so is `grpc`."""
        self.grpc = grpc
        self.state: Literal["loading", "serving", "stopping"] = "loading"
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
                found = partial(unpacked_artifact, Path(folder))
                return Done(notice=await repository.load(model, generation, found))
            case Switch(model=model, generation=generation, keep_previous=keep):
                await repository.switch(model, generation, keep_previous=keep)
            case Unload(model=model, generation=generation):
                await repository.unload(model, generation)
            case Shade(model=model, folder=chosen, share=share):
                await repository.shade(model, _finding(chosen), share)
            case Divide(model=model, folder=chosen, share=share):
                await repository.divide(model, _finding(chosen), share)
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
                    kept_bytes=generation.kept_bytes,
                    pid=generation.pid,
                    problem=generation.problem,
                    misplaced=misplaced(generation.artifact, generation.session),
                    batch=generation.batch.max_items,
                )
                for served in self._repository.models.values()
                for generation in served.generations.values()
            ),
            http=self.http,
            grpc=self.grpc,
            state=self.state,
            shadows=tuple(_shadow_figures(self._repository)),
            splits={
                served.name: served.split.share
                for served in self._repository.models.values()
                if served.split is not None
            },
            absent={name: each.reason for name, each in self._repository.absent.items()},
            notices=self._repository.notices,
        )


def _finding(folder: str | None) -> Callable[[], Artifact] | None:
    return None if folder is None else partial(_found, Path(folder))


def _found(path: Path) -> Artifact:
    """An unpacked variant, or a bare file."""
    target = BARE_FILES.get(path.suffix)
    if target is not None and path.is_file():
        return Artifact(path.stem, target, target, path)
    return unpacked_artifact(path)


def _shadow_figures(repository: Repository) -> Iterator[ShadowFigures]:
    for served in repository.models.values():
        shadow = served.shadow
        if shadow is None:
            continue
        found = shadow.disagreement
        yield ShadowFigures(
            model=served.name,
            generation=shadow.generation.name,
            share=shadow.share,
            seen=shadow.seen,
            compared=found.compared,
            dropped=shadow.dropped,
            misfits=found.misfits,
            top1_agreement=found.top1_agreement,
            largest_error=found.largest_error,
            snr_db=found.snr_db,
            latency_ms_p50=shadow.generation.figures.percentile_ms(0.5),
        )
