"""Reading the audit log: entries, verification, export, proofs."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from aiohttp import web
from edgewright_manifests.documents import Document

from edgewright_fleet.api.replies import read, reply, whole_number

_MOST_ENTRIES = 1000


class AuditReader(Protocol):
    """The audit log, as far as the API reads it. Calls block (disk)."""

    def verify(self, checkpoint: str | None) -> object:
        """A document that says whether the log is whole; `checkpoint` is a copy kept elsewhere."""

    def latest(self, limit: int) -> Sequence[object]:
        """The newest records, the newest first."""

    def export(self) -> Iterator[bytes]:
        """The whole log as JSON lines, and at its end the checkpoint."""

    def prove(self, index: int) -> object:
        """The record at `index` with its inclusion proof. Raises UnknownName."""


class VerifyRequest(Document, frozen=True):
    """POST /api/v1/audit/verify."""

    checkpoint: str | None = None


def add_routes(application: web.Application, audit: AuditReader) -> None:
    """Hang the routes of this module on the application."""

    async def verify(request: web.Request) -> web.Response:
        wanted = await read(request, VerifyRequest)
        return reply(await asyncio.to_thread(audit.verify, wanted.checkpoint))

    async def entries(request: web.Request) -> web.Response:
        limit = whole_number(request, "limit", 100, _MOST_ENTRIES)
        return reply(await asyncio.to_thread(audit.latest, limit))

    async def prove(request: web.Request) -> web.Response:
        index = whole_number(request, "index", 0, 2**53)
        return reply(await asyncio.to_thread(audit.prove, index))

    async def export(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        pieces = audit.export()
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            await response.write(piece)
        await response.write_eof()
        return response

    routes = application.router
    routes.add_post("/api/v1/audit/verify", verify)
    routes.add_get("/api/v1/audit/entries", entries)
    routes.add_get("/api/v1/audit/prove", prove)
    routes.add_get("/api/v1/audit/export", export)
