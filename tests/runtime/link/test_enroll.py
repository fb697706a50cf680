"""Joining a fleet: the secret goes to nobody but the fleet that the token names."""

import base64
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from edgewright_manifests import documents
from edgewright_manifests.digest import digest_of
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import EnrolmentToken
from edgewright_runtime.link.enroll import EnrolmentFailed, enroll, parse_token
from edgewright_runtime.link.https import HttpsSource
from edgewright_runtime.link.identity import NotEnrolled, is_enrolled, read_identity
from edgewright_runtime.source import SourceRefused, SourceUnreachable, Span

from tests.simulators.fleet import FleetSimulator


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetSimulator]:
    made = FleetSimulator(tmp_path_factory.mktemp("fleet") / "fleet", mqtt=False)
    made.start()
    yield made
    made.stop()


def changed(token: str, **fields: str) -> str:
    parsed = msgspec.structs.replace(parse_token(token), **fields)
    return "ew1." + base64.urlsafe_b64encode(documents.encode(parsed)).decode()


def test_a_device_gets_an_identity_of_its_own_key(fleet: FleetSimulator, tmp_path: Path) -> None:
    enroll(fleet.token(), tmp_path / "state", "cam-1", "x86-gateway")
    identity = read_identity(tmp_path / "state")
    record = identity.record
    assert (record.device, record.hardware_id) == ("cam-1", "x86-gateway")
    assert record.targets == ("openvino", "onnx", "tflite")
    key = tmp_path / "state" / "identity" / "device.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate((key.parent / "device.crt").read_bytes())
    assert certificate.public_key() == identity.key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=cam-1"
    assert identity.issued == certificate.not_valid_before_utc
    assert not (tmp_path / "state" / ".identity.new").exists()


def test_the_identity_opens_the_devices_door(fleet: FleetSimulator, tmp_path: Path) -> None:
    enroll(fleet.token(), tmp_path, "cam-2", "generic")
    identity = read_identity(tmp_path)
    data = bytes(range(200)) * 1000
    fleet.blobs[digest_of(data)] = data
    source = HttpsSource(identity.record.device_url, lambda: identity.tls(clock_is_behind=False))
    assert source.metadata("image", "1.root.json", 10**6) == fleet.image.read("1.root.json")
    with pytest.raises(SourceRefused, match="status 404"):
        source.metadata("image", "99.root.json", 10**6)
    with pytest.raises(SourceRefused, match="larger than 10 bytes"):
        source.metadata("image", "1.root.json", 10)
    found = bytearray(len(data))
    for offset, piece in source.spans(digest_of(data), [Span(100, 1000), Span(150_000, 50_000)]):
        found[offset : offset + len(piece)] = piece
    assert found[100:1100] == data[100:1100]
    assert found[150_000:] == data[150_000:]
    assert not any(found[1100:150_000])
    source.close()
    blind = HttpsSource(identity.record.device_url, lambda: identity.tls(clock_is_behind=True))
    assert blind.metadata("image", "1.root.json", 10**6)
    blind.close()


def test_a_door_that_is_shut_is_unreachable(fleet: FleetSimulator, tmp_path: Path) -> None:
    enroll(fleet.token(), tmp_path, "cam-3", "generic")
    identity = read_identity(tmp_path)
    source = HttpsSource("https://127.0.0.1:9", lambda: identity.tls(clock_is_behind=False))
    with pytest.raises(SourceUnreachable, match="refused"):
        source.metadata("image", "1.root.json", 10**6)
    with pytest.raises(SourceUnreachable, match="refused"):
        list(source.spans(f"sha256:{'0' * 64}", [Span(0, 1)]))


def test_a_server_with_another_ca_gets_no_secret(fleet: FleetSimulator, tmp_path: Path) -> None:
    token = changed(fleet.token(), ca=digest_of(b"another ca"))
    with pytest.raises(EnrolmentFailed, match=r"the token expects sha256:.*Nothing was sent"):
        enroll(token, tmp_path, "cam-4", "generic")
    assert not is_enrolled(tmp_path)
    enroll(fleet.token(), tmp_path, "cam-4", "generic")


def test_the_fleets_refusals_are_told_in_its_words(fleet: FleetSimulator, tmp_path: Path) -> None:
    with pytest.raises(EnrolmentFailed, match=r"token is wrong or used up \(status 403\)"):
        enroll(changed(fleet.token(), secret="guessed"), tmp_path / "a", "cam-5", "generic")
    enroll(fleet.token(), tmp_path / "b", "cam-5", "generic")
    with pytest.raises(EnrolmentFailed, match=r"'cam-5' is enrolled \(status 409\)"):
        enroll(fleet.token(), tmp_path / "c", "cam-5", "generic")
    with pytest.raises(EnrolmentFailed, match="use another state folder to join another fleet"):
        enroll(fleet.token(), tmp_path / "b", "cam-6", "generic")


def test_what_another_fleet_left_does_not_count(fleet: FleetSimulator, tmp_path: Path) -> None:
    (tmp_path / "tuf" / "director").mkdir(parents=True)
    (tmp_path / "update.json").write_text('{"settled": 40}')
    (tmp_path / "outbox.sqlite").touch()
    (tmp_path / "slots").mkdir()
    enroll(fleet.token(), tmp_path, "cam-10", "generic")
    assert {path.name for path in tmp_path.iterdir()} == {"identity", "slots"}


def test_a_fleet_that_is_away_is_told(fleet: FleetSimulator, tmp_path: Path) -> None:
    with pytest.raises(EnrolmentFailed, match=r"cannot be reached.*check address, network"):
        enroll(changed(fleet.token(), url="https://127.0.0.1:9"), tmp_path, "cam-7", "generic")


@pytest.mark.parametrize("word", ["", "ew1.", "ew2.abc", "ew1.@@@@", "ew1.e30", "hello"])
def test_what_is_no_token_is_told(word: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="copy the whole token"):
        enroll(word, tmp_path, "cam-8", "generic")


def test_a_token_for_an_open_line_is_refused() -> None:
    token = EnrolmentToken(url="http://127.0.0.1:1", ca=digest_of(b"ca"), secret="s")
    text = "ew1." + base64.urlsafe_b64encode(documents.encode(token)).decode()
    with pytest.raises(DocumentError, match="no https address"):
        parse_token(text)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "#", "x" * 64, "../x"])
def test_a_name_that_cannot_stand_in_a_topic_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="is no valid name"):
        enroll("ew1.x", tmp_path, name, "generic")


def test_an_unknown_profile_names_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="profiles that ship: generic"):
        enroll("ew1.x", tmp_path, "cam-9", "toaster")


@pytest.mark.parametrize("file", ["device.json", "device.key", "device.crt"])
def test_a_damaged_identity_says_what_to_do(
    fleet: FleetSimulator, tmp_path: Path, file: str
) -> None:
    with pytest.raises(NotEnrolled, match="run `edgewright runtime enroll`"):
        read_identity(tmp_path)
    enroll(fleet.token(), tmp_path, f"cam-{file.replace('.', '-')}", "generic")
    (tmp_path / "identity" / file).write_bytes(b"damaged")
    with pytest.raises(NotEnrolled, match="is damaged"):
        read_identity(tmp_path)
