"""What must not be installed is refused with one line, and the slot in use is not touched."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from edgewright_manifests.bundle import Bundle
from edgewright_manifests.messages import VersionReport
from edgewright_manifests.metadata import DirectorRepository, Keyring, init_keys

from tests.simulators.device import Device, infer
from tests.simulators.fleet import FleetSimulator
from tests.simulators.releases import Kind, make_release
from tests.simulators.waiting import wait_until


class Site:
    """A fleet with a clock that can be set back, and one device on v5."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days_back = 0
        self.fleet = FleetSimulator(folder / "fleet", clock=self._now)
        self.device = Device("dev", folder, baseline_s=0)
        kinds: dict[str, Kind] = {"v1": "good", "v5": "good", "v6": "wrong", "v7": "good"}
        self.releases = {
            version: make_release(folder, version, kind) for version, kind in kinds.items()
        }

    def start(self) -> None:
        self.fleet.start()
        for bundle in self.releases.values():
            self.fleet.publish(bundle)
        self.device.enrol(self.fleet.token())
        self.device.start()
        number = self.fleet.assign("dev", self.releases["v5"])
        self.fleet.wait_for("dev", "idle", number)

    def wait_refused(self, words: str) -> VersionReport:
        def look() -> VersionReport | None:
            report = self.fleet.last("dev")
            refused = report and report.state == "failed" and words in (report.reason or "")
            return report if refused else None

        try:
            return wait_until(look, 20, words)
        except AssertionError:
            raise AssertionError(f"no refusal with {words!r}: {self.fleet.last('dev')}") from None

    def assign(self, version: str, **how: object) -> int:
        return self.fleet.assign("dev", self.releases[version], **how)  # type: ignore[arg-type]  # its own keywords

    def _now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=self.days_back)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("refusals"))
    try:
        made.start()
        yield made
        assert "Traceback" not in made.device.log.read_text()
    finally:
        if made.device.log.exists():
            print(made.device.tail())
        if made.device.is_running():
            made.device.kill()
        made.fleet.stop()


@pytest.fixture(autouse=True)
def untouched(site: Site) -> Iterator[None]:
    """Whatever was refused, the slot in use is byte for byte and inode for inode as before."""
    before = _active_slot(site.device)
    assert infer(site.device.url())
    yield
    assert _active_slot(site.device) == before
    assert infer(site.device.url())
    report = site.fleet.last("dev")
    assert report is not None
    assert report.active is not None
    assert report.active.version == "v5"


def _active_slot(device: Device) -> object:
    link = device.state / "active"
    files = {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in (device.state / link.readlink()).iterdir()
    }
    active = device.active()
    return link.readlink(), files, active.generation if active else None


def _one_line(report: VersionReport) -> None:
    assert report.reason is not None
    assert "\n" not in report.reason
    assert len(report.reason) < 500


def test_a_release_that_is_not_what_it_promises_is_refused_by_preflight(site: Site) -> None:
    number = site.assign("v6")
    report = site.fleet.wait_for("dev", "failed", number)
    _one_line(report)
    assert report.reason is not None
    assert "preflight refused linear v6 (onnx-float): top-1 agreement 0.00" in report.reason
    wait_until(
        lambda: f"dev-{number}-preflight-refused" in site.fleet.events["dev"], 10, "its event"
    )


def _flip_a_bit(site: Site, bundle: Bundle) -> Callable[[], None]:
    digest = bundle.entries[0].variant.files[0].digest
    whole = site.fleet.blobs[digest]
    site.fleet.blobs[digest] = whole[:-1] + bytes([whole[-1] ^ 1])
    return lambda: site.fleet.blobs.update({digest: whole})


def test_a_tampered_blob_is_refused(site: Site) -> None:
    restore = _flip_a_bit(site, site.releases["v7"])
    number = site.assign("v7")
    report = site.fleet.wait_for("dev", "failed", number)
    restore()
    _one_line(report)
    assert report.reason is not None
    assert "the bytes received have another digest" in report.reason


def test_a_blob_that_the_server_does_not_have_is_asked_for_once(site: Site) -> None:
    digest = site.releases["v7"].entries[0].variant.files[0].digest
    whole = site.fleet.blobs.pop(digest)
    before = site.fleet.requests[digest]
    report = site.fleet.wait_for("dev", "failed", site.assign("v7"))
    site.fleet.blobs[digest] = whole
    _one_line(report)
    assert report.reason is not None
    assert "there is no such blob (status 404)" in report.reason
    assert site.fleet.requests[digest] == before + 1


def test_an_older_release_that_is_no_rollback_is_refused(site: Site) -> None:
    report = site.fleet.wait_for("dev", "failed", site.assign("v1"))
    _one_line(report)
    assert report.reason is not None
    assert "release counter 1 is lower than the installed v5's 2" in report.reason


def test_a_release_for_other_hardware_is_refused(site: Site) -> None:
    number = site.assign("v7", hardware_id="raspberrypi,5-model-b")
    report = site.fleet.wait_for("dev", "failed", number)
    _one_line(report)
    assert report.reason is not None
    assert "hardware 'raspberrypi,5-model-b', this is 'generic'" in report.reason


def test_metadata_by_the_wrong_key_is_refused(site: Site, tmp_path: Path) -> None:
    init_keys(tmp_path / "keys", root_keys=1, root_threshold=1)
    stranger = DirectorRepository.open(
        tmp_path / "director", tmp_path / "keys" / "public", Keyring(tmp_path / "keys" / "online")
    )
    stranger.assign("dev", {})

    def spoil(repository: str, name: str, data: bytes) -> bytes:
        if repository == "director" and name == "timestamp.json":
            return stranger.read("dev", name) or b""
        return data

    site.fleet.spoil_metadata = spoil
    site.assign("v7")
    report = site.wait_refused("director repository: timestamp was signed by 0/1 keys")
    site.fleet.spoil_metadata = lambda *what: what[2]
    _one_line(report)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"signed": {}}', b"\xff\xfe", b"[" * 5000], ids=repr
)
def test_metadata_that_is_none_is_refused(site: Site, data: bytes) -> None:
    site.fleet.spoil_metadata = lambda repository, name, good: (
        data if (repository, name) == ("director", "timestamp.json") else good
    )
    before = site.fleet.requests["director/timestamp.json"]
    site.assign("v7")
    wait_until(
        lambda: site.fleet.requests["director/timestamp.json"] > before, 20, "it was asked for"
    )
    site.fleet.spoil_metadata = lambda *what: what[2]
    report = site.wait_refused("director repository: ")
    _one_line(report)


def test_expired_metadata_is_refused_and_what_is_signed_anew_is_not(site: Site) -> None:
    site.days_back = 60
    site.assign("v6")
    report = site.wait_refused("director repository: timestamp.json is expired")
    _one_line(report)
    site.days_back = 0
    report = site.fleet.wait_for("dev", "failed", site.assign("v6"))
    assert report.reason is not None
    assert "preflight refused" in report.reason


def test_another_devices_assignment_is_refused(site: Site) -> None:
    # As many times as this device's, so that the versions do not give it away.
    for _ in range(40):
        site.fleet.assign("other", site.releases["v7"], ring=False)
    site.fleet.director_of["dev"] = "other"
    current = site.fleet.director.current("other")
    assert current is not None
    site.fleet.ring("dev", 1000, current.timestamp_digest)
    report = site.wait_refused("it is assigned to device 'other', this is 'dev'")
    _one_line(report)
