"""`python -m edgewright_runtime.server`: the serving process. Wires repository and doors.

It imports no MQTT, TUF, cryptography or SQL: it serves when everything else is dead.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import uvloop
from edgewright_manifests import documents
from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime.engine.artifact import Artifact, unpacked_artifact
from edgewright_runtime.errors import DoorUnavailable, one_line
from edgewright_runtime.health.watchdog import ServiceManager
from edgewright_runtime.lifeline import die_with_parent
from edgewright_runtime.logs import FORMATS, configure
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.control_door import ControlDoor
from edgewright_runtime.serving.descriptors import connection_limit
from edgewright_runtime.serving.http.application import OpenInference
from edgewright_runtime.serving.http.connection import Limits
from edgewright_runtime.serving.http.door import HttpDoor
from edgewright_runtime.serving.inference.extensions import Extensions
from edgewright_runtime.serving.inference.loading import Loading
from edgewright_runtime.serving.inference.log_settings import LogSettings
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from edgewright_runtime.serving.inference.trace_settings import TraceSettings
from edgewright_runtime.serving.inference.tracing import Tracing
from edgewright_runtime.serving.local.connection import LocalLimits
from edgewright_runtime.serving.local.door import LocalDoor
from edgewright_runtime.serving.models.absent import Absent
from edgewright_runtime.serving.models.footprints import Footprints
from edgewright_runtime.serving.models.loader import settle
from edgewright_runtime.serving.models.policy import MemoryPolicy
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.security import Security
from edgewright_runtime.serving.tcp_door import TcpDoor, is_loopback
from edgewright_runtime.serving.tls import Tls

_log = logging.getLogger(__name__)
_CLOSE_S = 3.0
"""For engines to end what they run after every door has closed; the supervisor waits 15 s."""


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
    memory_budget: int | None = None
    """Bytes for all models together: beyond it the least recently used are unloaded, and come
    back when they are asked for. None: no limit but the machine's."""
    footprints: str | None = None
    """File that remembers what loading each model took; None forgets at the end."""
    request_timeout_s: float = 30.0
    """How long a request may wait for its turn when it does not say."""
    read_timeout_s: float = 30.0
    """For a request's head as a whole, and for each pause within its body."""
    body_bytes: int = 64 << 20
    connections: int = 10_000
    """Of each TCP door; the next is told 503 and hung up on. An idle one costs about 10 KB."""
    tls: Tls | None = None
    """Of both TCP doors; their files are read again at SIGHUP."""
    token_file: str | None = None
    """Tokens, one of which callers of the TCP doors must show; read again at SIGHUP."""
    traces: str | None = None
    """URL of an OpenTelemetry collector (OTLP over HTTP); None traces nothing."""
    trace_rate: int = 100
    """One of so many requests is traced, and every one whose caller traces it; 0: none."""
    models: Mapping[str, ModelSettings] = msgspec.field(default_factory=dict)
    """Settings by model, and under "*" those of models without their own."""
    model_control: Literal["none", "explicit"] = "none"
    """Whether clients load and unload the models that the server was started with: not unless it
    is said, since whoever reaches the port could then stop a model."""
    model_files: Literal["refuse", "accept"] = "refuse"
    """Whether a client that loads a model may send its file: it would run in this process."""
    shared_memory: Literal["local", "on", "off"] = "local"
    """Whether clients name POSIX shared memory: `local` while every address is the loopback's,
    since memory can be shared on one machine only and a key from elsewhere reads what is not
    the caller's."""


class Serving(msgspec.Struct, frozen=True):
    """What has been opened, for the one who waits for it."""

    repository: Repository
    http: str | None
    socket: str | None = None
    grpc: str | None = None
    has_tls: bool = False


async def serve(
    config: ServerConfig,
    models: Mapping[str, Artifact],
    *,
    ready: Callable[[Serving], None],
    stop: asyncio.Event | None = None,
    manager: ServiceManager | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then answer what was asked, and return.

    The doors open first: while models load, health says not ready and requests are told to come
    again. `manager` is told when they have loaded, and then that the loop turns.

    `models` (bare files, bundles) must load, else this raises; a folder of
    `config.unpacked` that does not is logged, since the agent can repair it over the
    control socket. Raises DoorUnavailable, ModelRejected, BackendUnavailable.
    """
    security = Security(config.tls, config.token_file)
    stopped = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    repository = Repository(
        threads=config.threads,
        queue_limit=config.queue_limit,
        workers=config.workers,
        settings=config.models,
        memory=MemoryPolicy(
            config.memory_budget, Footprints(Path(config.footprints) if config.footprints else None)
        ),
    )
    extensions = _extensions(config, repository, models)
    application = OpenInference(
        repository,
        extensions,
        timeout_s=config.request_timeout_s,
        body_bytes=config.body_bytes,
    )
    limits = Limits(
        body_bytes=config.body_bytes,
        read_timeout_s=config.read_timeout_s,
        connections=connection_limit(config.connections),
        access=security.access,
    )
    http = (
        HttpDoor(config.http, application, limits, security.context("http/1.1"))
        if config.http is not None
        else None
    )
    grpc = _grpc_door(config, repository, extensions, limits, security)
    security.watch(signal.SIGHUP, [door for door in (http, grpc) if door is not None])
    local = _local_door(config, repository)
    control = ControlDoor(Path(config.control), repository) if config.control else None
    doors = [door for door in (http, grpc, local) if door is not None]
    beating: asyncio.Task[None] | None = None
    try:
        if control is not None:
            await control.open()
        for name in (*models, *(entry.model for entry in config.unpacked)):
            repository.expect(name, Absent("is being loaded", time.monotonic()))
        for door in doors:
            await door.open()
        address = http.address if http is not None else None
        grpc_address = grpc.address if grpc is not None else None
        if control is not None:
            control.http, control.grpc = address, grpc_address
        loading = asyncio.ensure_future(_load_first(repository, models, config.unpacked))
        if not await _ended_first(loading, stopped):
            return
        settle()
        if control is not None:
            control.state = "serving"
        has_tls = config.tls is not None
        ready(Serving(repository, address, config.socket, grpc=grpc_address, has_tls=has_tls))
        if manager is not None:
            manager.ready()
            beating = asyncio.create_task(_beat(manager), name="watchdog")
        await stopped.wait()
        _log.info("server stopping")
    finally:
        if control is not None:
            control.state = "stopping"
        if manager is not None:
            manager.stopping()
        # Together: one client that takes its time does not shorten another's.
        await asyncio.gather(*(door.close() for door in doors))
        if beating is not None:
            beating.cancel()
        if control is not None:
            await control.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(repository.close(), _CLOSE_S)
        extensions.close()


async def _load_first(
    repository: Repository, models: Mapping[str, Artifact], unpacked: Sequence[Unpacked]
) -> None:
    for name, artifact in models.items():
        await repository.load(name, artifact.version, partial(_same, artifact))
        await repository.switch(name, artifact.version, keep_previous=False)
    for entry in unpacked:
        await _load_unpacked(repository, entry)


async def _ended_first(loading: "asyncio.Future[None]", stopped: asyncio.Event) -> bool:
    """Whether the models were loaded before the stop was asked for. Raises what loading does."""
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not loading.done():
        loading.cancel()
        return False
    loading.result()
    return True


async def _beat(manager: ServiceManager) -> None:
    """Tell that this loop turns, while it does; twice within the time that the manager gives."""
    while manager.watchdog_s is not None:
        manager.alive()
        await asyncio.sleep(manager.watchdog_s / 2)


def _extensions(
    config: ServerConfig, repository: Repository, models: Mapping[str, Artifact]
) -> Extensions:
    addresses = [address for address in (config.http, config.grpc) if address is not None]
    is_local = all(is_loopback(address) for address in addresses)
    traces = TraceSettings(trace_file=config.traces or "", trace_rate=config.trace_rate)
    return Extensions(
        SharedMemory(
            is_allowed=config.shared_memory == "on"
            or (config.shared_memory == "local" and is_local)
        ),
        Loading(
            repository,
            {
                **{entry.model: _unpacked(entry) for entry in config.unpacked},
                **{name: partial(_same, artifact) for name, artifact in models.items()},
            },
            is_explicit=config.model_control == "explicit",
            takes_files=config.model_files == "accept",
        ),
        LogSettings(),
        traces,
        Tracing(config.traces, traces) if config.traces is not None else None,
    )


def _grpc_door(
    config: ServerConfig,
    repository: Repository,
    extensions: Extensions,
    limits: Limits,
    security: Security,
) -> TcpDoor | None:
    """Imported only when it is wanted. Raises DoorUnavailable."""
    if config.grpc is None:
        return None
    try:
        from edgewright_runtime.serving.grpc.calls import Limits as GrpcLimits
        from edgewright_runtime.serving.grpc.door import GrpcDoor
    except ImportError as error:
        raise DoorUnavailable(
            f"the gRPC door needs protobuf and hpack ({one_line(error)}); "
            "pip install 'edgewright-runtime[grpc]', or leave --grpc out"
        ) from error
    return GrpcDoor(
        config.grpc,
        repository,
        extensions,
        GrpcLimits(
            message_bytes=limits.body_bytes,
            read_timeout_s=limits.read_timeout_s,
            access=limits.access,
        ),
        timeout_s=config.request_timeout_s,
        connections=limits.connections,
        tls=security.context("h2"),
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
        await repository.load(entry.model, entry.generation, _unpacked(entry))
        await repository.switch(entry.model, entry.generation, keep_previous=False)
    except EdgewrightError as error:
        repository.expect_no_more(entry.model)
        _log.error("release does not load model=%s reason=%s", entry.model, error)


def _unpacked(entry: Unpacked) -> Callable[[], Artifact]:
    return partial(unpacked_artifact, Path(entry.folder))


def _same(artifact: Artifact) -> Artifact:
    return artifact


def main(words: Sequence[str] | None = None) -> int:
    """Parse the flags and serve; 0 after SIGTERM, 1 with one line when it cannot start."""
    arguments = _parser().parse_args(words)
    configure(arguments.log_level, arguments.log_format)
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
    parser.add_argument("--log-format", default="text", choices=FORMATS)
    return parser


def _announce(serving: Serving) -> None:
    _log.info("server ready http=%s grpc=%s", serving.http, serving.grpc)


if __name__ == "__main__":
    sys.exit(main())
