"""Answers to what a device asks over MQTT: its metadata, and byte ranges of blobs."""

import logging
from collections.abc import Callable
from typing import Protocol

from edgewright_manifests import documents
from edgewright_manifests.errors import ManifestError
from edgewright_manifests.messages import RPC_CHUNK_BYTES, RpcRequest
from edgewright_manifests.topics import DeviceTopics, parse_upward

from edgewright_fleet.errors import FleetError, UnknownName
from edgewright_fleet.store import Blobs, Devices

log = logging.getLogger(__name__)

_OK, _PARTIAL, _BAD, _MISSING, _RANGE = 200, 206, 400, 404, 416  # HTTP's codes (RFC 9110)


class MetadataSource(Protocol):
    """The two repositories, as one device may see them."""

    def read(self, repository: str, name: str, device: str) -> bytes:
        """A metadata file of `image`, or of this device's `director`. Raises UnknownName."""


SendChunk = Callable[[str, bytes, bytes, list[tuple[str, str]]], None]


class RpcDesk:
    """Answers on the asking device's own topic, whatever Response Topic it names."""

    def __init__(self, devices: Devices, metadata: MetadataSource, blobs: Blobs) -> None:
        self._devices = devices
        self._metadata = metadata
        self._blobs = blobs

    def answer(self, topic: str, payload: bytes, correlation: bytes, send: SendChunk) -> None:
        """Send the answer in chunks of at most RPC_CHUNK_BYTES. Blocks (disk)."""
        where = parse_upward(topic)
        device = self._devices.find(where.device)
        if device is None or device.revoked:
            log.warning("request refused, not enrolled or revoked device=%s", where.device)
            return
        status, body = self._look_up(device.id, payload)
        chunks = [
            body[at : at + RPC_CHUNK_BYTES] for at in range(0, len(body), RPC_CHUNK_BYTES)
        ] or [b""]
        to = DeviceTopics(where.tenant, where.device).rpc_response
        for index, chunk in enumerate(chunks):
            fields = [
                ("status", str(status)),
                ("index", str(index)),
                ("count", str(len(chunks))),
                ("length", str(len(body))),
            ]
            send(to, chunk, correlation, fields)

    def _look_up(self, device: str, payload: bytes) -> tuple[int, bytes]:
        try:
            request = documents.decode(payload, RpcRequest, source="rpc")
            if request.operation == "metadata":
                repository, _, name = request.path.partition("/")
                return _OK, self._metadata.read(repository, name, device)
            return self._range(request)
        except UnknownName as error:
            return _MISSING, str(error).encode()
        except (ManifestError, FleetError) as error:
            return _BAD, str(error).encode()

    def _range(self, request: RpcRequest) -> tuple[int, bytes]:
        path = self._blobs.path(request.path)
        size = path.stat().st_size
        if not 0 < request.length <= RPC_CHUNK_BYTES or not 0 <= request.offset < size:
            return _RANGE, f"the blob has {size} bytes".encode()
        with path.open("rb") as file:
            file.seek(request.offset)
            return _PARTIAL, file.read(request.length)
