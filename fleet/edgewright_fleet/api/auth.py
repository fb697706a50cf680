"""Who may use the operators' listener: a bearer token, or a console session's cookie."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from edgewright_fleet.errors import ForbiddenError

COOKIE = "edgewright_session"
SESSION_S = 12 * 3600
LINK_S = 15 * 60
USER_HEADER = "X-Edgewright-User"
COMMAND_HEADER = "X-Edgewright-Command"
TICKET_HEADER = "X-Edgewright-Change-Ticket"

_SAFE_METHODS = ("GET", "HEAD")
_PLAIN = re.compile(r"[^\x20-\x7e]")
_MAX_HEADER = 300


@dataclass(frozen=True)
class Caller:
    """Who asks, as the audit log will name them."""

    user: str
    command: str
    change_ticket: str | None


CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


class Gatekeeper:
    """Knows the admin token, the sessions and the one-time links. Sessions end with the server."""

    def __init__(self, admin_token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._admin_hash = _hashed(admin_token)
        self._clock = clock
        self._links: dict[str, float] = {}
        self._sessions: dict[str, float] = {}

    def is_admin(self, token: str) -> bool:
        """Whether this is the admin token."""
        return hmac.compare_digest(_hashed(token), self._admin_hash)

    def new_link(self) -> str:
        """A secret that logs one console in, once, within LINK_S."""
        secret = secrets.token_urlsafe(24)
        self._links[_hashed(secret)] = self._clock() + LINK_S
        return secret

    def log_in(self, token: str) -> str | None:
        """A session for the admin token; None for anything else."""
        return self._new_session() if self.is_admin(token) else None

    def use_link(self, secret: str) -> str | None:
        """A session for a one-time secret, which is then spent; None for anything else."""
        expires = self._links.pop(_hashed(secret), 0.0)
        return self._new_session() if expires > self._clock() else None

    def _new_session(self) -> str:
        now = self._clock()
        self._sessions = {s: end for s, end in self._sessions.items() if end > now}
        session = secrets.token_urlsafe(32)
        self._sessions[_hashed(session)] = now + SESSION_S
        return session

    def log_out(self, session: str) -> None:
        """Forget a session."""
        self._sessions.pop(_hashed(session), None)

    def has_session(self, session: str) -> bool:
        """Whether the cookie is one of ours and not too old."""
        return self._sessions.get(_hashed(session), 0.0) > self._clock()

    def caller(self, request: web.Request) -> Caller | None:
        """Who asks; None when nobody that is known.

        Raises ForbiddenError for a changing request that rides on a cookie from elsewhere.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not self.is_admin(token.strip()):
                return None
            user = _clean(request.headers.get(USER_HEADER)) or "admin"
        elif self.has_session(request.cookies.get(COOKIE, "")):
            _refuse_cross_site(request)
            user = "console"
        else:
            return None
        command = _clean(request.headers.get(COMMAND_HEADER))
        return Caller(
            user=user,
            command=command or f"{request.method} {request.path}",
            change_ticket=_clean(request.headers.get(TICKET_HEADER)) or None,
        )


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def authentication(gatekeeper: Gatekeeper, open_paths: tuple[str, ...]) -> Middleware:
    """The middleware: what is not under one of `open_paths` needs a caller."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(open_paths):
            return await handler(request)
        caller = gatekeeper.caller(request)
        if caller is None:
            if request.path.startswith("/api/"):
                raise web.HTTPUnauthorized(
                    headers={"WWW-Authenticate": "Bearer"},
                    text="the admin token is missing or wrong; it is in data/admin-token",
                )
            raise web.HTTPSeeOther("/login")
        request[CALLER] = caller
        return await handler(request)

    return authenticate


def _refuse_cross_site(request: web.Request) -> None:
    # SameSite=Strict keeps the cookie at home already; this holds where a browser does not.
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        raise ForbiddenError(f"the request comes from another site ({origin})")
    if request.content_type != "application/json":
        raise ForbiddenError("a console's request must be application/json")


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _clean(text: str | None) -> str:
    return _PLAIN.sub("?", text or "")[:_MAX_HEADER]
