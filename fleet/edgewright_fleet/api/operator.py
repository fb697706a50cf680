"""The operators' listener: /api/v1 and /enrol/v1. The console hangs its pages on the same app."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from edgewright_manifests.messages import Telemetry

from edgewright_fleet import __version__
from edgewright_fleet.api import audit, devices, groups, releases, rollouts, stream
from edgewright_fleet.api.audit import AuditReader
from edgewright_fleet.api.auth import Gatekeeper, authentication
from edgewright_fleet.api.changes import Changes
from edgewright_fleet.api.replies import errors_as_json, reply
from edgewright_fleet.devices import Enrolment, Revocation
from edgewright_fleet.journal import Journal
from edgewright_fleet.releases import ReleaseIntake, Signing
from edgewright_fleet.rollouts.operations import RolloutOperations
from edgewright_fleet.store import Assignments, Blobs, Devices, Events, Groups, Releases

_MAX_BODY_BYTES = 16 * 1024 * 1024
"""A targets.json of thousands of releases; blobs come as streams and are not held to it."""
_OPEN_PATHS = ("/enrol/", "/healthz", "/login", "/static/")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Services:
    """What the routes work on; the composition root fills it."""

    tenant: str
    devices: Devices
    assignments: Assignments
    events: Events
    telemetry: Mapping[str, Telemetry]
    groups: Groups
    releases: Releases
    blobs: Blobs
    enrolment: Enrolment
    revocation: Revocation
    intake: ReleaseIntake
    signing: Signing
    rollouts: RolloutOperations
    journal: Journal
    audit: AuditReader


def operator_application(
    services: Services, gatekeeper: Gatekeeper, changes: Changes, operator_url: str
) -> web.Application:
    """The application; what is not open to everybody needs the admin token or a session."""
    s = services
    application = web.Application(
        middlewares=[errors_as_json, authentication(gatekeeper, _OPEN_PATHS)],
        client_max_size=_MAX_BODY_BYTES,
    )

    async def healthz(_request: web.Request) -> web.Response:
        return reply({"alive": True})

    async def status(_request: web.Request) -> web.Response:
        return reply({"version": __version__, "tenant": s.tenant})

    async def console_link(_request: web.Request) -> web.Response:
        return reply({"url": f"{operator_url}/login?token={gatekeeper.new_link()}"}, 201)

    async def harden(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)

    routes = application.router
    routes.add_get("/healthz", healthz)
    routes.add_get("/api/v1/status", status)
    routes.add_post("/api/v1/console-links", console_link)
    devices.add_routes(
        application,
        s.devices,
        s.assignments,
        s.events,
        s.telemetry,
        s.enrolment,
        s.revocation,
        s.journal,
        changes,
    )
    groups.add_routes(application, s.groups, s.journal, changes)
    releases.add_routes(application, s.releases, s.blobs, s.intake, s.signing, s.journal, changes)
    rollouts.add_routes(application, s.rollouts, changes)
    audit.add_routes(application, s.audit)
    stream.add_routes(application, changes)
    application.on_response_prepare.append(harden)
    return application
