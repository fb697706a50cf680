import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgewright_fleet.ca import CertificateAuthority

from tests.fleet.running import FleetProcess, wait_for
from tests.fleet.simulated_device import SimulatedDevice

Enrol = Callable[..., SimulatedDevice]


def test_without_a_certificate_there_is_no_connection(fleet: FleetProcess) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        fleet.request("GET", "/tuf/image/timestamp.json", url=fleet.addresses["device_url"])


def test_another_authoritys_certificate_is_refused(fleet: FleetProcess, tmp_path: Path) -> None:
    foreign = CertificateAuthority.open(tmp_path)
    foreign.prepare([])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        fleet.request(
            "GET",
            "/tuf/image/timestamp.json",
            url=fleet.addresses["device_url"],
            certificate=foreign.link_files,
        )


def test_a_certificate_that_was_never_enrolled_is_refused(fleet: FleetProcess) -> None:
    authority = CertificateAuthority.open(fleet.data / "ca")
    status, _, body = fleet.request(
        "GET",
        "/tuf/image/timestamp.json",
        url=fleet.addresses["device_url"],
        certificate=authority.link_files,
    )
    assert (status, b"no enrolled device" in body) == (403, True)


def test_director_metadata_is_the_callers_own(
    fleet: FleetProcess, enrol: Enrol, published: dict[str, Any]
) -> None:
    mine, others = enrol(), enrol()
    fleet.command("groups", "create", "only-others", others.name)
    fleet.command("rollout", "start", "detector@v1", "--group", "only-others")
    wait_for(
        "the assignment",
        lambda: others.name.encode() in others.get("/tuf/director/targets.json")[1],
    )
    assert others.name.encode() not in mine.get("/tuf/director/targets.json")[1]
    for path in (
        f"/tuf/director/{others.name}/targets.json",
        f"/tuf/director/../director/devices/{others.name}.json",
        f"/tuf/director/devices%2F{others.name}.json",
        f"/tuf/{others.name}/targets.json",
    ):
        status, body = mine.get(path)
        assert status == 404, path
        assert others.get("/tuf/director/targets.json")[1] not in body


@pytest.mark.parametrize(
    "path",
    [
        "/blobs/sha256/../../admin-token",
        "/blobs/sha256/..%2f..%2fadmin-token",
        "/blobs/sha256/" + "0" * 64,
        "/blobs/sha256/" + "Z" * 64,
        "/tuf/image/..%2f..%2f..%2fadmin-token",
        "/api/v1/devices",
    ],
)
def test_nothing_else_can_be_read(enrol: Enrol, path: str) -> None:
    assert enrol().get(path)[0] == 404


def test_a_blob_can_be_resumed_by_range(
    fleet: FleetProcess, enrol: Enrol, published: dict[str, Any]
) -> None:
    device = enrol()
    path = f"/blobs/sha256/{published['variants'][0]['manifest'][7:]}"
    status, whole = device.get(path)
    assert status == 200
    assert json.loads(whole)["layers"]
    assert device.get(path, {"Range": "bytes=10-19"}) == (206, whole[10:20])
    assert device.get(path, {"Range": f"bytes={len(whole) - 5}-"}) == (206, whole[-5:])
    assert device.get(path, {"Range": f"bytes={len(whole)}-"})[0] == 416


def test_the_image_repository_is_readable(enrol: Enrol, published: dict[str, Any]) -> None:
    device = enrol()
    manifest = published["variants"][0]["manifest"][7:]
    for name in ("1.root.json", "timestamp.json", "snapshot.json", "targets.json"):
        assert device.get(f"/tuf/image/{name}")[0] == 200
    variant = published["variants"][0]["id"]
    status, body = device.get(f"/tuf/image/targets/detector/v1/{manifest}.{variant}.json")
    assert (status, body) == device.get(f"/blobs/sha256/{manifest}")
