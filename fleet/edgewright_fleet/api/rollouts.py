"""Rollouts: start, look, pause, resume, abort. Their own module records them."""

import asyncio

from aiohttp import web
from edgewright_manifests.documents import Document
from edgewright_manifests.release import ProbationPolicy

from edgewright_fleet.api.calls import caller_of
from edgewright_fleet.api.changes import Changes
from edgewright_fleet.api.replies import read, reply
from edgewright_fleet.errors import UnprocessableError
from edgewright_fleet.rollouts.model import NewRollout, RolloutStatus
from edgewright_fleet.rollouts.operations import RolloutOperations


class AbortRequest(Document, frozen=True):
    """POST /api/v1/rollouts/{rollout}/abort."""

    rollback: bool = False
    """Take back the devices that committed in this rollout, too."""


def add_routes(application: web.Application, rollouts: RolloutOperations, changes: Changes) -> None:
    """Hang the routes of this module on the application."""

    async def list_rollouts(_request: web.Request) -> web.Response:
        return reply(await asyncio.to_thread(rollouts.all))

    async def show(request: web.Request) -> web.Response:
        return reply(await asyncio.to_thread(rollouts.status, request.match_info["rollout"]))

    async def start(request: web.Request) -> web.Response:
        wanted = await read(request, NewRollout)
        _check(wanted.policy.probation)
        caller = caller_of(request)
        status = await asyncio.to_thread(
            lambda: rollouts.start(wanted, user=caller.user, command=caller.command)
        )
        changes.notify("rollouts", "audit")
        return reply(status, 201)

    async def move(request: web.Request) -> web.Response:
        name, verb = request.match_info["rollout"], request.match_info["verb"]
        caller = caller_of(request)
        asked = await read(request, AbortRequest)

        def act() -> RolloutStatus:
            if verb == "abort":
                return rollouts.abort(
                    name,
                    user=caller.user,
                    command=caller.command,
                    change_ticket=caller.change_ticket,
                    rollback=asked.rollback,
                )
            change = rollouts.pause if verb == "pause" else rollouts.resume
            return change(
                name,
                user=caller.user,
                command=caller.command,
                change_ticket=caller.change_ticket,
            )

        status = await asyncio.to_thread(act)
        changes.notify("rollouts", "audit")
        return reply(status)

    routes = application.router
    routes.add_get("/api/v1/rollouts", list_rollouts)
    routes.add_post("/api/v1/rollouts", start)
    routes.add_get("/api/v1/rollouts/{rollout}", show)
    routes.add_post("/api/v1/rollouts/{rollout}/{verb:pause|resume|abort}", move)


def _check(probation: ProbationPolicy) -> None:
    if not 0 <= probation.max_error_rate <= 1:
        raise UnprocessableError("probation: max_error_rate is a share, from 0 to 1")
    if probation.duration_s <= 0 or probation.min_requests < 0 or probation.max_latency_ratio <= 0:
        raise UnprocessableError(
            "probation: duration_s and max_latency_ratio must be above 0, min_requests at least 0"
        )
