"""Devices, tokens and enrolment."""

import asyncio
from collections.abc import Mapping

from aiohttp import web
from edgewright_manifests.documents import Document
from edgewright_manifests.messages import EnrolmentRequest, Telemetry

from edgewright_fleet.api.calls import caller_of, perform
from edgewright_fleet.api.changes import Changes
from edgewright_fleet.api.replies import read, reply, whole_number
from edgewright_fleet.api.views import DeviceView, view_device
from edgewright_fleet.devices import Enrolment, Revocation
from edgewright_fleet.journal import Journal
from edgewright_fleet.store import Assignments, Devices, Events

_DAY_S = 86_400.0
_MOST_EVENTS = 1000


class NewToken(Document, frozen=True):
    """POST /api/v1/tokens."""

    uses: int = 1
    ttl_s: float = _DAY_S


def add_routes(
    application: web.Application,
    devices: Devices,
    assignments: Assignments,
    events: Events,
    telemetry: Mapping[str, Telemetry],
    enrolment: Enrolment,
    revocation: Revocation,
    journal: Journal,
    changes: Changes,
) -> None:
    """Hang the routes of this module on the application."""

    def views() -> list[DeviceView]:
        assigned = assignments.all_current()
        return [
            view_device(device, assigned.get(device.id), telemetry.get(device.id))
            for device in devices.all()
        ]

    def view(device: str) -> DeviceView:
        return view_device(devices.get(device), assignments.current(device), telemetry.get(device))

    async def list_devices(_request: web.Request) -> web.Response:
        return reply(await asyncio.to_thread(views))

    async def show_device(request: web.Request) -> web.Response:
        return reply(await asyncio.to_thread(view, request.match_info["device"]))

    async def list_events(request: web.Request) -> web.Response:
        device = request.query.get("device")
        limit = whole_number(request, "limit", 100, _MOST_EVENTS)
        found = await asyncio.to_thread(lambda: events.latest(device=device, limit=limit))
        return reply(found)

    async def revoke(request: web.Request) -> web.Response:
        device = request.match_info["device"]
        await asyncio.to_thread(devices.get, device)
        await perform(
            request,
            journal,
            "device.revoke",
            lambda: revocation.revoke(device),
            resources=(f"device:{device}",),
        )
        changes.notify("devices", "audit")
        return reply(await asyncio.to_thread(view, device))

    async def create_token(request: web.Request) -> web.Response:
        wanted = await read(request, NewToken)
        user = caller_of(request).user
        token = await perform(
            request,
            journal,
            "token.create",
            lambda: enrolment.create_token(uses=wanted.uses, ttl_s=wanted.ttl_s, user=user),
            resources=(f"uses:{wanted.uses}",),
        )
        changes.notify("audit")
        return reply({"token": token, "uses": wanted.uses, "ttl_s": wanted.ttl_s}, 201)

    async def authority(_request: web.Request) -> web.Response:
        # Anybody may have it: a device holds it against the digest in its token.
        return web.Response(
            text=enrolment.authority_certificate, content_type="application/x-pem-file"
        )

    async def enrol(request: web.Request) -> web.Response:
        wanted = await read(request, EnrolmentRequest)

        def recorded() -> object:
            # Strangers without a token do not get to write into the audit log.
            enrolment.check_secret(wanted.secret)
            enrolment.check_name(wanted.device)
            with journal.operation(
                "device.enrol",
                user=f"device:{wanted.device}",
                command="POST /enrol/v1",
                resources=(f"device:{wanted.device}",),
            ):
                return enrolment.enrol(wanted)

        answer = await asyncio.to_thread(recorded)
        changes.notify("devices", "audit")
        return reply(answer, 201)

    routes = application.router
    routes.add_get("/api/v1/devices", list_devices)
    routes.add_get("/api/v1/devices/{device}", show_device)
    routes.add_post("/api/v1/devices/{device}/revoke", revoke)
    routes.add_get("/api/v1/events", list_events)
    routes.add_post("/api/v1/tokens", create_token)
    routes.add_get("/enrol/v1/ca", authority)
    routes.add_post("/enrol/v1", enrol)
