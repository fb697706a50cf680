"""Pages and login. The pages are frames; app.js fills them from the API and keeps them live."""

from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edgewright_fleet import __version__
from edgewright_fleet.api import Gatekeeper
from edgewright_fleet.api.auth import COOKIE, SESSION_S

_HERE = Path(__file__).parent
_PAGES = {
    "/": ("Fleet", ("rollout", "devices", "releases", "audit")),
    "/devices": ("Devices", ("devices", "groups")),
    "/releases": ("Releases", ("releases",)),
    "/rollouts": ("Rollouts", ("rollouts",)),
    "/audit": ("Audit", ("audit",)),
}
"""By path: title, and the views that app.js puts there."""


def add_console(application: web.Application, gatekeeper: Gatekeeper, tenant: str) -> None:
    """Hang the console on the operators' application."""
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )

    def render(template: str, status: int = 200, **values: object) -> web.Response:
        text = templates.get_template(template).render(
            version=__version__, tenant=tenant, pages=_PAGES, **values
        )
        return web.Response(
            text=text,
            status=status,
            content_type="text/html",
            headers={"Cache-Control": "no-store"},
        )

    async def page(request: web.Request) -> web.Response:
        title, views = _PAGES[request.path]
        return render("page.html", title=title, views=views, path=request.path)

    async def login_page(request: web.Request) -> web.Response:
        secret = request.query.get("token")
        if secret is None:
            return render("login.html", problem="")
        session = gatekeeper.use_link(secret)
        if session is None:
            problem = (
                "This link was used already or is too old. "
                "Print another with `edgewright fleet console`, or paste the admin token."
            )
            return render("login.html", 403, problem=problem)
        # A page that goes on by itself, not a redirect: after a redirect that began on another
        # site a browser would hold the strict cookie back.
        return _with_session(render("welcome.html"), session)

    async def log_in(request: web.Request) -> web.Response:
        token = (await request.post()).get("token", "")
        session = gatekeeper.log_in(token.strip()) if isinstance(token, str) else None
        if session is None:
            return render("login.html", 403, problem="That is not the admin token.")
        return _with_session(render("welcome.html"), session)

    async def log_out(request: web.Request) -> web.Response:
        gatekeeper.log_out(request.cookies.get(COOKIE, ""))
        response = web.json_response({})
        response.del_cookie(COOKIE)
        return response

    routes = application.router
    for path in _PAGES:
        routes.add_get(path, page)
    routes.add_get("/login", login_page)
    routes.add_post("/login", log_in)
    routes.add_post("/api/v1/logout", log_out)
    routes.add_static("/static/", _HERE / "static")


def _with_session(response: web.Response, session: str) -> web.Response:
    response.set_cookie(
        COOKIE, session, max_age=SESSION_S, httponly=True, secure=True, samesite="Strict", path="/"
    )
    return response
