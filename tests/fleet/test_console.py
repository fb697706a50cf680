"""The console's door: who gets in, and that no other site can act through a session."""

import json
import re
import urllib.parse

import pytest

from tests.fleet.running import FleetProcess


def link(fleet: FleetProcess) -> str:
    url: str = fleet.api("POST", "/api/v1/console-links", {})[1]["url"]
    return url.removeprefix(fleet.addresses["operator_url"])


def session(fleet: FleetProcess) -> str:
    status, headers, _ = fleet.request("GET", link(fleet))
    assert status == 200
    return headers["Set-Cookie"].split(";")[0]


def test_a_stranger_is_sent_to_the_login(fleet: FleetProcess) -> None:
    for path in ("/", "/devices", "/releases", "/rollouts", "/audit"):
        status, headers, _ = fleet.request("GET", path)
        assert (status, headers["Location"]) == (303, "/login"), path
    assert fleet.request("GET", "/login")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Cookie": "edgewright_session=guessed"},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/devices", "/api/v1/stream", "/api/v1/audit/export"])
def test_the_api_wants_a_token(fleet: FleetProcess, path: str, headers: dict[str, str]) -> None:
    status, _, body = fleet.request("GET", path, headers=headers)
    assert status == 401
    assert "admin token" in json.loads(body)["error"]


def test_a_link_logs_in_once(fleet: FleetProcess) -> None:
    path = link(fleet)
    status, headers, _ = fleet.request("GET", path)
    cookie = headers["Set-Cookie"]
    assert status == 200
    for word in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
        assert word in cookie
    assert fleet.request("GET", path)[0] == 403
    assert fleet.request("GET", "/", headers={"Cookie": cookie.split(";")[0]})[0] == 200


def test_the_pasted_admin_token_logs_in_and_a_wrong_one_does_not(fleet: FleetProcess) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    good = urllib.parse.urlencode({"token": f" {fleet.admin_token}\n"}).encode()
    status, headers, _ = fleet.request("POST", "/login", good, form)
    assert (status, "edgewright_session=" in headers["Set-Cookie"]) == (200, True)
    status, headers, body = fleet.request("POST", "/login", b"token=wrong", form)
    assert (status, "Set-Cookie" in headers) == (403, False)
    assert b"not the admin token" in body


def test_the_admin_token_does_not_work_in_an_address(fleet: FleetProcess) -> None:
    assert fleet.request("GET", f"/login?token={fleet.admin_token}")[0] == 403


def test_another_site_cannot_act_through_a_session(fleet: FleetProcess) -> None:
    cookie = {"Cookie": session(fleet)}
    as_json = {"Content-Type": "application/json"}
    for headers in (
        {**cookie, "Content-Type": "text/plain"},
        {**cookie, "Content-Type": "application/x-www-form-urlencoded"},
        {**cookie, **as_json, "Origin": "https://evil.example"},
        {**cookie, **as_json, "Origin": "null"},
    ):
        status, _, _ = fleet.request("POST", "/api/v1/groups", b'{"name":"evil"}', headers)
        assert status == 403
    assert "evil" not in fleet.api("GET", "/api/v1/groups")[1]
    own = {**cookie, **as_json, "Origin": fleet.addresses["operator_url"]}
    assert fleet.request("POST", "/api/v1/groups", b'{"name":"good"}', own)[0] == 200


def test_logging_out_ends_the_session(fleet: FleetProcess) -> None:
    cookie = session(fleet)
    headers = {"Cookie": cookie, "Content-Type": "application/json"}
    assert fleet.request("POST", "/api/v1/logout", b"{}", headers)[0] == 200
    assert fleet.request("GET", "/api/v1/devices", headers=headers)[0] == 401


def test_pages_load_nothing_from_elsewhere(fleet: FleetProcess) -> None:
    cookie = {"Cookie": session(fleet)}
    for path in ("/", "/devices", "/releases", "/rollouts", "/audit"):
        status, headers, body = fleet.request("GET", path, headers=cookie)
        assert status == 200
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        for target in re.findall(r'(?:src|href)="([^"]+)"', body.decode()):
            assert target.startswith(("/", "#")), target
            if target.startswith("/static/"):
                assert fleet.request("GET", target)[0] == 200


def test_the_stream_says_what_changed(fleet: FleetProcess) -> None:
    import http.client

    host = fleet.addresses["operator_url"].removeprefix("https://")
    connection = http.client.HTTPSConnection(host, context=fleet.tls(), timeout=20)
    connection.request("GET", "/api/v1/stream", headers={"Cookie": session(fleet)})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.readline() == b": here\n"
    fleet.api("POST", "/api/v1/groups", {"name": "streamed"})
    lines = iter(answer.readline, b"")
    event = next(line for line in lines if line.startswith(b"data:"))
    assert "groups" in json.loads(event.removeprefix(b"data:"))
    connection.close()
