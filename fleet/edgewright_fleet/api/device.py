"""The devices' listener: mutual TLS; each device sees its own metadata, and blobs by range."""

import asyncio
import re
from typing import Protocol

from aiohttp import web
from edgewright_manifests.digest import digest_of

from edgewright_fleet.api.replies import Handler, errors_as_json
from edgewright_fleet.errors import ForbiddenError, UnknownName
from edgewright_fleet.store import Blobs, Devices

DEVICE: web.RequestKey[str] = web.RequestKey("device", str)
_HEX = re.compile(r"[0-9a-f]{64}")


class MetadataSource(Protocol):
    """The two repositories, as one device may see them."""

    def read(self, repository: str, name: str, device: str) -> bytes:
        """A metadata file of `image`, or of this device's `director`. Raises UnknownName."""


def device_application(devices: Devices, metadata: MetadataSource, blobs: Blobs) -> web.Application:
    """GET /tuf/{image,director}/NAME and /blobs/sha256/HEX for enrolled devices."""

    @web.middleware
    async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
        # Asked at every request, so that a revoked device is out on its live connection too.
        request[DEVICE] = await asyncio.to_thread(_caller, devices, _certificate(request))
        return await handler(request)

    async def read_metadata(request: web.Request) -> web.Response:
        data = await asyncio.to_thread(
            metadata.read,
            request.match_info["repository"],
            request.match_info["name"],
            request[DEVICE],
        )
        return web.Response(body=data, content_type="application/json")

    async def read_blob(request: web.Request) -> web.StreamResponse:
        name = request.match_info["hex"]
        if not _HEX.fullmatch(name):
            raise UnknownName("blobs are named by 64 hex digits")
        path = await asyncio.to_thread(blobs.path, f"sha256:{name}")
        return web.FileResponse(
            path,
            headers={
                "Content-Type": "application/octet-stream",
                "Cache-Control": "private, immutable, max-age=31536000",
            },
        )

    application = web.Application(middlewares=[errors_as_json, identify])
    application.router.add_get("/tuf/{repository}/{name:.+}", read_metadata)
    application.router.add_get("/blobs/sha256/{hex}", read_blob)
    return application


def _certificate(request: web.Request) -> bytes:
    tls = request.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    if not certificate:
        raise ForbiddenError("this listener wants a device's certificate")
    return bytes(certificate)


def _caller(devices: Devices, certificate: bytes) -> str:
    device = devices.by_fingerprint(digest_of(certificate))
    if device is None:
        raise ForbiddenError("the certificate is no enrolled device's; enrol again")
    if device.revoked:
        raise ForbiddenError(f"device {device.id!r} is revoked")
    return device.id
