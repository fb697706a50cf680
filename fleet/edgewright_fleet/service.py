"""The composition root of `edgewright fleet serve`: what there is, and who knows whom."""

import asyncio
import contextlib
import datetime
import fcntl
import getpass
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.messages import Desired
from edgewright_manifests.topics import DeviceTopics

from edgewright_fleet.api import (
    Changes,
    Gatekeeper,
    Services,
    device_application,
    operator_application,
)
from edgewright_fleet.api.listeners import device_tls, open_listener, operator_tls
from edgewright_fleet.audit.heads import AuditKey
from edgewright_fleet.audit.log import AuditLog
from edgewright_fleet.audit_access import AuditAccess
from edgewright_fleet.broker import Broker
from edgewright_fleet.ca import LINK_NAME, CertificateAuthority
from edgewright_fleet.config import FleetConfig
from edgewright_fleet.console import add_console
from edgewright_fleet.devices import Addresses, Enrolment, Revocation
from edgewright_fleet.errors import BrokerError, StartError
from edgewright_fleet.link import BrokerAddress, Intake, MqttLink, Pump, RpcDesk
from edgewright_fleet.notices import Notices
from edgewright_fleet.ports import settle_ports
from edgewright_fleet.releases import FleetDirector, ReleaseIntake, Signing
from edgewright_fleet.releases.signing import make_keys_where_missing, roots_to_adopt
from edgewright_fleet.rollouts.driver import RolloutDriver
from edgewright_fleet.rollouts.operations import RolloutOperations
from edgewright_fleet.server_file import SERVER_FILE, TOKEN_FILE, ServerFile
from edgewright_fleet.store import (
    Assignments,
    Blobs,
    DeviceRecord,
    Devices,
    Events,
    Groups,
    Releases,
    Rollouts,
    Tokens,
    open_database,
)

log = logging.getLogger(__name__)

_CONNECT_LIMIT_S = 30.0
_WORKERS = 16
_REFRESH_S = 3600.0
"""Timestamps live for days; an hourly look leaves room for an outage."""


@dataclass(frozen=True)
class Started:
    """What a person wants to know once everything answers."""

    data: Path
    server: ServerFile
    console_url: str
    keys_made_in: Path | None


async def serve(config: FleetConfig, ready: Callable[[Started], None]) -> None:
    """Run the fleet server until SIGTERM or SIGINT.

    `ready` is called once every door answers. Raises StartError or BrokerError when
    something is missing, with nothing left running.
    """
    data = _data_folder(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Python's default is five more than there are cores; the link alone keeps that many busy.
    loop.set_default_executor(ThreadPoolExecutor(_WORKERS, thread_name_prefix="worker"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_only_one(data))
        try:
            await _run(config, data, stack, ready, stop)
        except BaseExceptionGroup as group:
            raise _first_of_ours(group) or group from None


def _first_of_ours(group: BaseException) -> EdgewrightError | None:
    """The first error in a task group's that a person can act on."""
    if isinstance(group, BaseExceptionGroup):
        return next(filter(None, map(_first_of_ours, group.exceptions)), None)
    return group if isinstance(group, EdgewrightError) else None


async def _run(
    config: FleetConfig,
    data: Path,
    stack: contextlib.AsyncExitStack,
    ready: Callable[[Started], None],
    stop: asyncio.Event,
) -> None:
    # What is remembered.
    database = open_database(_database_url(config, data))
    stack.callback(database.close)
    devices, groups, releases = Devices(database), Groups(database), Releases(database)
    assignments, events, tokens = Assignments(database), Events(database), Tokens(database)
    rollout_store = Rollouts(database, devices, groups, releases, assignments)
    blobs = Blobs(data / "blobs")
    audit_key = AuditKey.open(data / "audit-key")
    journal = AuditLog(data / "audit", audit_key)
    stack.callback(journal.close)

    # Keys and names.
    keys = Path(config.keys) if config.keys else data / "keys"
    keys_made = not config.keys and make_keys_where_missing(keys)
    signing = _open_signing(data / "tuf", keys, journal)
    authority = CertificateAuthority.open(data / "ca")
    authority.prepare(_names(config))
    documents.write_atomically(data / "ca.crt", authority.certificate_pem.encode())
    ports = settle_ports(config.listen, data / "ports.json")
    host = _public_host(config)
    addresses = Addresses(
        operator_url=f"https://{host}:{ports.operator}",
        device_url=f"https://{host}:{ports.device}",
        mqtt_host=config.broker.host if config.broker else host,
        mqtt_port=config.broker.port if config.broker else ports.mqtt,
    )

    # The link to the devices.
    broker = Broker(
        data / "mqtt",
        authority.folder,
        host=config.listen.host,
        port=ports.mqtt,
        tenant=config.tenant,
    )
    connected = asyncio.Event()
    link = MqttLink(
        _broker_address(config, authority, ports.mqtt),
        LINK_NAME,
        on_connected=connected.set,
    )

    def announce(device: DeviceRecord, desired: Desired) -> None:
        topic = DeviceTopics(device.tenant, device.id).desired
        link.publish_retained(topic, documents.encode(desired))

    # Who does the work.
    director = FleetDirector(devices, releases, assignments, signing, _now, announce)
    driver = RolloutDriver(rollout_store, director, journal, _now)
    operations = RolloutOperations(rollout_store, journal, _now, wake=driver.wake)
    enrolment = Enrolment(
        config.tenant,
        devices,
        tokens,
        authority,
        signing,
        _now,
        addresses,
        director.welcome,
    )
    revocation = Revocation(devices, authority, broker, _now)
    intake = ReleaseIntake(releases, blobs, signing, data / "incoming", _now)
    changes = Changes(asyncio.get_running_loop())
    notices = Notices(changes, driver.wake)
    hearing = Intake(config.tenant, devices, events, _now, notices)
    pump = Pump(link, hearing, RpcDesk(devices, signing, blobs))
    gatekeeper = Gatekeeper(_admin_token(data / TOKEN_FILE))
    operator = operator_application(
        Services(
            tenant=config.tenant,
            devices=devices,
            assignments=assignments,
            events=events,
            telemetry=hearing.telemetry,
            groups=groups,
            releases=releases,
            blobs=blobs,
            enrolment=enrolment,
            revocation=revocation,
            intake=intake,
            signing=signing,
            rollouts=operations,
            journal=journal,
            audit=AuditAccess(journal, audit_key.public),
        ),
        gatekeeper,
        changes,
        addresses.operator_url,
    )
    add_console(operator, gatekeeper, config.tenant)

    # Doors open from the inside out.
    revocation.publish()
    if config.broker is None:
        devices.set_all_offline()
        stack.push_async_callback(broker.stop)
        await broker.start()
    link.start()
    stack.callback(link.stop)
    certificate, key = authority.server_files
    listen = config.listen.host
    runner = await open_listener(
        device_application(devices, signing, blobs),
        listen,
        ports.device,
        device_tls(certificate, key, authority.certificate_file),
    )
    stack.push_async_callback(runner.cleanup)
    runner = await open_listener(operator, listen, ports.operator, operator_tls(certificate, key))
    stack.push_async_callback(runner.cleanup)
    stack.callback(changes.close)

    # Running, until asked to stop or something cannot go on.
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(pump.run(), name="pump"),
            group.create_task(driver.run(), name="rollout driver"),
            group.create_task(_announce_when_connected(connected, director), name="doorbells"),
            group.create_task(_refresh_metadata(director), name="metadata refresh"),
        ]
        if config.broker is None:
            tasks.append(group.create_task(broker.watch(), name="broker watch"))
        await _connect(link, stop)
        server = ServerFile(
            operator_url=addresses.operator_url,
            device_url=addresses.device_url,
            mqtt_host=addresses.mqtt_host,
            mqtt_port=addresses.mqtt_port,
            pid=os.getpid(),
        )
        documents.write_atomically(data / SERVER_FILE, documents.encode(server))
        stack.callback((data / SERVER_FILE).unlink, missing_ok=True)
        link_secret = gatekeeper.new_link()
        ready(
            Started(
                data=data,
                server=server,
                console_url=f"{addresses.operator_url}/login?token={link_secret}",
                keys_made_in=keys if keys_made else None,
            )
        )
        await stop.wait()
        log.info("stopping")
        for task in tasks:
            task.cancel()


def _open_signing(folder: Path, keys: Path, journal: AuditLog) -> Signing:
    """The repositories; new roots are a change of keys, and recorded as one."""
    new = roots_to_adopt(folder, keys)
    if not new:
        return Signing.open(folder, keys)
    with journal.operation(
        "keys.change", user=getpass.getuser(), command="edgewright fleet serve", resources=new
    ):
        return Signing.open(folder, keys)


async def _connect(link: MqttLink, stop: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (link.connected, stop)]
    await asyncio.wait(waits, timeout=_CONNECT_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if not link.connected.is_set() and not stop.is_set():
        raise BrokerError(
            f"the broker at {link.address} gave no connection within {_CONNECT_LIMIT_S:.0f} s; "
            "look at its log, and at [broker] in the configuration"
        )


async def _announce_when_connected(connected: asyncio.Event, director: FleetDirector) -> None:
    """The broker may have lost what was retained: say everything again, from the database."""
    while True:
        await connected.wait()
        connected.clear()
        await asyncio.to_thread(director.finish)
        await asyncio.to_thread(director.announce_all)


async def _refresh_metadata(director: FleetDirector) -> None:
    while True:
        await asyncio.to_thread(director.refresh)
        await asyncio.sleep(_REFRESH_S)


def _data_folder(config: FleetConfig) -> Path:
    data = Path(config.data).resolve()
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StartError(f"{data}: cannot be made: {error.strerror}; choose --data") from error
    return data


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"{data}: another fleet server runs on this folder; stop it, or choose --data"
            ) from error
        yield


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _database_url(config: FleetConfig, data: Path) -> str:
    if config.database_url_file:
        return documents.read_bytes(Path(config.database_url_file)).decode().strip()
    return f"sqlite:///{data / 'fleet.sqlite'}"


def _names(config: FleetConfig) -> list[str]:
    return [*config.listen.names, _public_host(config)]


def _public_host(config: FleetConfig) -> str:
    if config.listen.names:
        return config.listen.names[0]
    anywhere = config.listen.host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    return socket.gethostname() if anywhere else config.listen.host


def _broker_address(
    config: FleetConfig, authority: CertificateAuthority, port: int
) -> BrokerAddress:
    certificate, key = authority.link_files
    if config.broker is None:
        anywhere = config.listen.host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
        host = "127.0.0.1" if anywhere else config.listen.host
        return BrokerAddress(host, port, authority.certificate_file, certificate, key)
    ca = Path(config.broker.ca) if config.broker.ca else authority.certificate_file
    return BrokerAddress(config.broker.host, config.broker.port, ca, certificate, key)


def _admin_token(file: Path) -> str:
    if not file.exists():
        documents.write_atomically(file, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
    token = file.read_text().strip()
    if not token:
        raise StartError(f"{file}: is empty; delete it, and the next start makes a new token")
    return token
