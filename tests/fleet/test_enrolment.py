import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from edgewright_manifests.digest import digest_of

from tests.fleet.running import FleetProcess
from tests.fleet.simulated_device import SimulatedDevice, make_csr, read_token

Enrol = Callable[..., SimulatedDevice]


def ask(fleet: FleetProcess, **fields: object) -> tuple[int, str]:
    values = {"profile": "generic", "hardware_id": "generic", **fields}
    status, _, body = fleet.request("POST", "/enrol/v1", json.dumps(values).encode())
    return status, body.decode()


def new_csr() -> str:
    return make_csr(ec.generate_private_key(ec.SECP256R1()))


def test_the_certificate_names_the_device_whatever_the_request_asked_for(enrol: Enrol) -> None:
    device = enrol()
    certificate = x509.load_pem_x509_certificate(device.reply.certificate.encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == [device.name]
    assert certificate.public_key() == device.key.public_key()


def test_the_authority_can_be_fetched_and_held_against_the_token(fleet: FleetProcess) -> None:
    status, _, body = fleet.request("GET", "/enrol/v1/ca")
    certificate = x509.load_pem_x509_certificate(body)
    digest = digest_of(certificate.public_bytes(serialization.Encoding.DER))
    assert (status, digest) == (200, read_token(fleet.token()).ca)


def test_a_wrong_token_enrols_nobody(fleet: FleetProcess) -> None:
    status, text = ask(fleet, secret="guessed", csr=new_csr(), device="intruder")
    assert status == 403
    assert "enrolment token is wrong, expired or used up" in text
    assert fleet.api("GET", "/api/v1/devices/intruder")[0] == 404


def test_a_token_enrols_as_many_devices_as_it_says(fleet: FleetProcess, tmp_path: Path) -> None:
    token = fleet.token(uses=2)
    SimulatedDevice(fleet, "pair-1", tmp_path / "1", token=token)
    SimulatedDevice(fleet, "pair-2", tmp_path / "2", token=token)
    with pytest.raises(PermissionError, match="used up"):
        SimulatedDevice(fleet, "pair-3", tmp_path / "3", token=token)


def test_an_expired_token_enrols_nobody(fleet: FleetProcess, tmp_path: Path) -> None:
    status, reply = fleet.api("POST", "/api/v1/tokens", {"ttl_s": 1e-6})
    assert status == 201
    with pytest.raises(PermissionError, match="expired"):
        SimulatedDevice(fleet, "late", tmp_path, token=reply["token"])


def test_the_database_keeps_no_secret(fleet: FleetProcess) -> None:
    secret = read_token(fleet.token()).secret
    with sqlite3.connect(fleet.data / "fleet.sqlite") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert secret not in dump


def test_a_device_whose_answer_got_lost_gets_the_same_certificate_again(
    fleet: FleetProcess, tmp_path: Path
) -> None:
    token = fleet.token()
    device = SimulatedDevice(fleet, "unlucky", tmp_path, token=token)
    status, text = ask(
        fleet, secret=read_token(token).secret, csr=make_csr(device.key), device="unlucky"
    )
    assert status == 201
    assert json.loads(text)["certificate"] == device.reply.certificate


def test_a_taken_name_is_refused_and_the_token_is_not_used_up(
    fleet: FleetProcess, enrol: Enrol, tmp_path: Path
) -> None:
    device, token = enrol(), fleet.token()
    with pytest.raises(PermissionError, match="is enrolled already"):
        SimulatedDevice(fleet, device.name, tmp_path / "x", token=token)
    SimulatedDevice(fleet, "after-all", tmp_path / "y", token=token)


@pytest.mark.parametrize("name", ["_fleet-server", "a/b", "+", "#", "", "x" * 64, "ü"])
def test_a_name_that_could_reach_beyond_its_topics_is_refused(
    fleet: FleetProcess, name: str
) -> None:
    secret = read_token(fleet.token()).secret
    status, text = ask(fleet, secret=secret, csr=new_csr(), device=name)
    assert status == 422
    assert "is no valid name" in text


@pytest.mark.parametrize(
    ("csr", "reason"),
    [
        ("nonsense", "is no certificate signing request"),
        (make_csr(ec.generate_private_key(ec.SECP384R1())), "is not on curve P-256"),
    ],
)
def test_a_bad_request_is_refused(fleet: FleetProcess, csr: str, reason: str) -> None:
    secret = read_token(fleet.token()).secret
    status, text = ask(fleet, secret=secret, csr=csr, device="bad-csr")
    assert status == 422
    assert reason in text


def test_enrolments_and_refusals_are_in_the_audit_log(fleet: FleetProcess, enrol: Enrol) -> None:
    device = enrol()
    _, entries = fleet.api("GET", "/api/v1/audit/entries?limit=10")
    mine = [e for e in entries if e["user"] == f"device:{device.name}"]
    assert [(e["operation"], e["phase"], e["outcome"]) for e in mine] == [
        ("device.enrol", "after", "done"),
        ("device.enrol", "before", "started"),
    ]
