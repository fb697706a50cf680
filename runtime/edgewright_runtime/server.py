"""`python -m edgewright_runtime.server`: the serving process. Wires repository and doors.

It imports no MQTT, TUF, cryptography or SQL: it serves when everything else is dead.
"""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import uvloop
from edgewright_manifests import documents
from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime.engine.artifact import Artifact, unpacked_artifact
from edgewright_runtime.lifeline import die_with_parent
from edgewright_runtime.serving.control_door import ControlDoor
from edgewright_runtime.serving.http.application import OpenInference
from edgewright_runtime.serving.http.connection import Limits
from edgewright_runtime.serving.http.door import HttpDoor
from edgewright_runtime.serving.repository import Repository

_log = logging.getLogger(__name__)


class Unpacked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release to serve from the start."""

    model: str
    generation: str
    folder: str


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that the serving process is told. Sizes in bytes, durations in seconds."""

    http: str | None = "127.0.0.1:8000"
    """HOST:PORT; port 0 takes a free one; None opens no HTTP door."""
    control: str | None = None
    """Path of the control socket."""
    unpacked: tuple[Unpacked, ...] = ()
    threads: int = 1
    """Threads per inference: more pays only for models of several milliseconds."""
    workers: int = 1
    """Inferences of one model that may run at the same time."""
    queue_limit: int = 64
    """Requests of one model that may wait; the next is refused with 503."""
    request_timeout_s: float = 30.0
    """How long a request may wait for its turn when it does not say."""
    read_timeout_s: float = 30.0
    """For a request's head as a whole, and for each pause within its body."""
    body_bytes: int = 64 << 20
    connections: int = 1024


class Serving(msgspec.Struct, frozen=True):
    """What has been opened, for the one who waits for it."""

    repository: Repository
    http: str | None


async def serve(
    config: ServerConfig,
    models: Mapping[str, Artifact],
    *,
    ready: Callable[[Serving], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then answer what was asked, and return.

    `models` (bare files, bundles) must load, else this raises; a folder of
    `config.unpacked` that does not is logged, since the agent can repair it over the
    control socket. Raises DoorUnavailable, ModelRejected, BackendUnavailable.
    """
    stopped = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    repository = Repository(
        threads=config.threads, queue_limit=config.queue_limit, workers=config.workers
    )
    application = OpenInference(
        repository, timeout_s=config.request_timeout_s, body_bytes=config.body_bytes
    )
    limits = Limits(
        body_bytes=config.body_bytes,
        read_timeout_s=config.read_timeout_s,
        connections=config.connections,
    )
    http = HttpDoor(config.http, application, limits) if config.http is not None else None
    control: ControlDoor | None = None
    try:
        for name, artifact in models.items():
            await repository.load(name, artifact.version, partial(_same, artifact))
            await repository.switch(name, artifact.version, keep_previous=False)
        for entry in config.unpacked:
            await _load_unpacked(repository, entry)
        if http is not None:
            await http.open()
        address = http.address if http is not None else None
        if config.control is not None:
            control = ControlDoor(Path(config.control), repository, http=address)
            await control.open()
        ready(Serving(repository, address))
        await stopped.wait()
        _log.info("server stopping")
    finally:
        if http is not None:
            await http.close()
        if control is not None:
            await control.close()
        await repository.close()


async def _load_unpacked(repository: Repository, entry: Unpacked) -> None:
    try:
        await repository.load(
            entry.model, entry.generation, partial(unpacked_artifact, Path(entry.folder))
        )
        await repository.switch(entry.model, entry.generation, keep_previous=False)
    except EdgewrightError as error:
        _log.error("release does not load model=%s reason=%s", entry.model, error)


def _same(artifact: Artifact) -> Artifact:
    return artifact


def main(words: Sequence[str] | None = None) -> int:
    """Parse the flags and serve; 0 after SIGTERM, 1 with one line when it cannot start."""
    arguments = _parser().parse_args(words)
    logging.basicConfig(
        level=arguments.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    try:
        config = documents.decode(arguments.config, ServerConfig, source="--config")
        uvloop.run(serve(config, {}, ready=_announce))
    except EdgewrightError as error:
        sys.stderr.write(f"edgewright server: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgewright_runtime.server")
    parser.add_argument("--config", default="{}", help="a ServerConfig as JSON")
    parser.add_argument("--parent", type=int, help="die when this process does")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning"])
    return parser


def _announce(serving: Serving) -> None:
    _log.info("server ready http=%s", serving.http)


if __name__ == "__main__":
    sys.exit(main())
