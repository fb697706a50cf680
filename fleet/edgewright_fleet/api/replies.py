"""JSON in, JSON out, and errors as {"error": "..."} with the right status."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web
from edgewright_manifests import documents
from edgewright_manifests.errors import EdgewrightError, ManifestError

from edgewright_fleet.errors import ConflictError, ForbiddenError, UnknownName, UnprocessableError

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS: tuple[tuple[type[EdgewrightError], int], ...] = (
    (UnknownName, 404),
    (ConflictError, 409),
    (ForbiddenError, 403),
    (UnprocessableError, 422),
    (ManifestError, 422),
    (EdgewrightError, 400),
)


def reply(value: object, status: int = 200) -> web.Response:
    """A JSON document."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )


def refuse(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as JSON."""
    response = reply({"error": message}, status)
    response.headers.update(headers or {})
    return response


async def read(request: web.Request, kind: type[T]) -> T:
    """The request's JSON body. Raises DocumentError for anything that is no `kind`."""
    return documents.decode(await request.read() or b"{}", kind, source="request body")


def whole_number(request: web.Request, name: str, default: int, highest: int) -> int:
    """A query parameter from 0 to `highest`. Raises UnprocessableError."""
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) > highest:
        raise UnprocessableError(f"{name}: expected a whole number up to {highest}, got {text!r}")
    return int(text)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Our errors by class, HTTP's own by their status; aiohttp logs a fault of ours as 500."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        keep = {k: v for k, v in error.headers.items() if k in ("Allow", "WWW-Authenticate")}
        return refuse(error.status, error.text or error.reason, keep)
    except EdgewrightError as error:
        status = next(code for kind, code in _STATUS if isinstance(error, kind))
        return refuse(status, str(error))
