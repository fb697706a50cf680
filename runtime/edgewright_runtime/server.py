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
from edgewright_runtime.errors import DoorUnavailable, one_line
from edgewright_runtime.lifeline import die_with_parent
from edgewright_runtime.serving.control_door import ControlDoor
from edgewright_runtime.serving.http.application import OpenInference
from edgewright_runtime.serving.http.connection import Limits
from edgewright_runtime.serving.http.door import HttpDoor
from edgewright_runtime.serving.local.connection import LocalLimits
from edgewright_runtime.serving.local.door import LocalDoor
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.tcp_door import TcpDoor

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
    grpc: str | None = None
    """HOST:PORT; off unless given: it imports protobuf and hpack, which others need not."""
    socket: str | None = None
    """Path of the local door's socket; None opens none."""
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
    socket: str | None = None
    grpc: str | None = None


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
    grpc = _grpc_door(config.grpc, config, repository) if config.grpc is not None else None
    local = _local_door(config, repository)
    control: ControlDoor | None = None
    try:
        for name, artifact in models.items():
            await repository.load(name, artifact.version, partial(_same, artifact))
            await repository.switch(name, artifact.version, keep_previous=False)
        for entry in config.unpacked:
            await _load_unpacked(repository, entry)
        if http is not None:
            await http.open()
        if grpc is not None:
            await grpc.open()
        if local is not None:
            local.open()
        address = http.address if http is not None else None
        grpc_address = grpc.address if grpc is not None else None
        if config.control is not None:
            control = ControlDoor(Path(config.control), repository, http=address, grpc=grpc_address)
            await control.open()
        ready(Serving(repository, address, config.socket, grpc=grpc_address))
        await stopped.wait()
        _log.info("server stopping")
    finally:
        if http is not None:
            await http.close()
        if grpc is not None:
            await grpc.close()
        if local is not None:
            await local.close()
        if control is not None:
            await control.close()
        await repository.close()


def _grpc_door(address: str, config: ServerConfig, repository: Repository) -> TcpDoor:
    """Imported only when it is wanted. Raises DoorUnavailable."""
    try:
        from edgewright_runtime.serving.grpc.calls import Limits as GrpcLimits
        from edgewright_runtime.serving.grpc.door import GrpcDoor
    except ImportError as error:
        raise DoorUnavailable(
            f"the gRPC door needs protobuf and hpack ({one_line(error)}); "
            "pip install 'edgewright-runtime[grpc]', or leave --grpc out"
        ) from error
    limits = GrpcLimits(message_bytes=config.body_bytes, read_timeout_s=config.read_timeout_s)
    return GrpcDoor(
        address,
        repository,
        limits,
        timeout_s=config.request_timeout_s,
        connections=config.connections,
    )


def _local_door(config: ServerConfig, repository: Repository) -> LocalDoor | None:
    if config.socket is None:
        return None
    limits = LocalLimits(
        tensor_bytes=config.body_bytes,
        timeout_s=config.request_timeout_s,
        frame_s=config.read_timeout_s,
    )
    return LocalDoor(Path(config.socket), repository, limits)


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
    _log.info("server ready http=%s grpc=%s", serving.http, serving.grpc)


if __name__ == "__main__":
    sys.exit(main())
