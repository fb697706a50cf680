"""Ports that devices and operators remember: chosen once, kept in data/ports.json."""

import contextlib
import socket
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.documents import Document

from edgewright_fleet.config import Listen


class Ports(Document, frozen=True):
    """The three doors' ports."""

    operator: int
    device: int
    mqtt: int


def settle_ports(listen: Listen, file: Path) -> Ports:
    """Configured ports as they are; a 0 becomes the port of last time, else a free one.

    Enrolled devices know the addresses, so a port once taken is kept in `file`.
    """
    last = (
        documents.read_json(file, Ports) if file.exists() else Ports(operator=0, device=0, mqtt=0)
    )
    wanted = (
        listen.operator_port or last.operator,
        listen.device_port or last.device,
        listen.mqtt_port or last.mqtt,
    )
    with contextlib.ExitStack() as held:
        # All are held until all are chosen, so that they differ.
        operator, device, mqtt = (p or _free_port(listen.host, held) for p in wanted)
    ports = Ports(operator=operator, device=device, mqtt=mqtt)
    documents.write_atomically(file, documents.encode(ports))
    return ports


def _free_port(host: str, held: contextlib.ExitStack) -> int:
    chosen = held.enter_context(socket.socket())
    chosen.bind((host, 0))
    return int(chosen.getsockname()[1])
