"""Groups of devices."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from edgewright_manifests.documents import Document
from edgewright_manifests.topics import check_name

from edgewright_fleet.api.calls import perform
from edgewright_fleet.api.changes import Changes
from edgewright_fleet.api.replies import read, reply
from edgewright_fleet.journal import Journal
from edgewright_fleet.store import Groups


class NewGroup(Document, frozen=True):
    """POST /api/v1/groups."""

    name: str


def add_routes(
    application: web.Application, groups: Groups, journal: Journal, changes: Changes
) -> None:
    """Hang the routes of this module on the application."""

    async def answer() -> web.Response:
        return reply(await asyncio.to_thread(groups.all))

    async def change(request: web.Request, operation: str, act: Callable[[], None]) -> web.Response:
        names = request.match_info
        resources = [f"{kind}:{names[kind]}" for kind in ("group", "device") if kind in names]
        await perform(request, journal, operation, act, resources=resources)
        changes.notify("groups", "audit")
        return await answer()

    async def list_groups(_request: web.Request) -> web.Response:
        return await answer()

    async def create(request: web.Request) -> web.Response:
        name = check_name("group", (await read(request, NewGroup)).name)
        await perform(
            request,
            journal,
            "group.create",
            lambda: groups.create(name),
            resources=(f"group:{name}",),
        )
        changes.notify("groups", "audit")
        return await answer()

    async def delete(request: web.Request) -> web.Response:
        name = request.match_info["group"]
        return await change(request, "group.delete", lambda: groups.delete(name))

    async def add_device(request: web.Request) -> web.Response:
        name, device = request.match_info["group"], request.match_info["device"]
        return await change(request, "group.add", lambda: groups.add(name, device))

    async def remove_device(request: web.Request) -> web.Response:
        name, device = request.match_info["group"], request.match_info["device"]
        return await change(request, "group.remove", lambda: groups.remove(name, device))

    routes = application.router
    routes.add_get("/api/v1/groups", list_groups)
    routes.add_post("/api/v1/groups", create)
    routes.add_delete("/api/v1/groups/{group}", delete)
    routes.add_put("/api/v1/groups/{group}/devices/{device}", add_device)
    routes.add_delete("/api/v1/groups/{group}/devices/{device}", remove_device)
