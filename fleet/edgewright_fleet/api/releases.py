"""Publishing: which blobs are missing, the blobs, then the release with its signed targets."""

import asyncio

from aiohttp import web
from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document

from edgewright_fleet.api.calls import caller_of, perform
from edgewright_fleet.api.changes import Changes
from edgewright_fleet.api.replies import read, reply
from edgewright_fleet.api.views import view_release
from edgewright_fleet.journal import Journal
from edgewright_fleet.releases import NewRelease, ReleaseIntake, Signing
from edgewright_fleet.store import Blobs, Releases

_PIECE_BYTES = 1024 * 1024


class WantedBlobs(Document, frozen=True):
    """POST /api/v1/blobs/missing."""

    blobs: tuple[Digest, ...]


def add_routes(
    application: web.Application,
    releases: Releases,
    blobs: Blobs,
    intake: ReleaseIntake,
    signing: Signing,
    journal: Journal,
    changes: Changes,
) -> None:
    """Hang the routes of this module on the application."""

    async def list_releases(_request: web.Request) -> web.Response:
        found = await asyncio.to_thread(releases.all)
        return reply([view_release(release) for release in found])

    async def image_targets(_request: web.Request) -> web.Response:
        data = await asyncio.to_thread(signing.image_targets)
        return web.Response(body=data, content_type="application/json")

    async def missing_blobs(request: web.Request) -> web.Response:
        wanted = await read(request, WantedBlobs)
        return reply({"missing": await asyncio.to_thread(blobs.missing, wanted.blobs)})

    async def put_blob(request: web.Request) -> web.Response:
        incoming = await asyncio.to_thread(blobs.receive, request.match_info["digest"])
        try:
            async for piece in request.content.iter_chunked(_PIECE_BYTES):
                await asyncio.to_thread(incoming.write, piece)
            await asyncio.to_thread(incoming.commit)
        finally:
            await asyncio.to_thread(incoming.discard)
        return reply({}, 201)

    async def publish(request: web.Request) -> web.Response:
        new = await read(request, NewRelease)
        user = caller_of(request).user
        model, version = await asyncio.to_thread(intake.name_of, new)
        release = await perform(
            request,
            journal,
            "release.publish",
            lambda: intake.accept(new, user),
            resources=(f"release:{model}/{version}",),
            model=(model, version),
            rollback_available=False,
        )
        changes.notify("releases", "audit")
        return reply(view_release(release), 201)

    routes = application.router
    routes.add_get("/api/v1/releases", list_releases)
    routes.add_post("/api/v1/releases", publish)
    routes.add_get("/api/v1/image/targets", image_targets)
    routes.add_post("/api/v1/blobs/missing", missing_blobs)
    routes.add_put("/api/v1/blobs/{digest}", put_blob)
