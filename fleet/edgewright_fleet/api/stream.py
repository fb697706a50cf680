"""Server-sent events for the console: which topics changed (WHATWG HTML, section 9.2)."""

import json

from aiohttp import web

from edgewright_fleet.api.changes import Changes


def add_routes(application: web.Application, changes: Changes) -> None:
    """Hang the routes of this module on the application."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        try:
            async for topics in changes.listen():
                text = f"data: {json.dumps(topics)}\n\n" if topics else ": here\n\n"
                await response.write(text.encode())
        except ConnectionResetError:
            return response  # the console was closed
        return response

    application.router.add_get("/api/v1/stream", stream)
