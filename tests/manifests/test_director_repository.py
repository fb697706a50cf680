from pathlib import Path

import pytest
from edgewright_manifests.custom import read_custom
from edgewright_manifests.digest import digest_of
from edgewright_manifests.errors import TrustError
from edgewright_manifests.release import DirectorCustom
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError, RepositoryError

from tests.manifests.fleet_keys import PATH, Fleet
from tests.manifests.making import director_custom, image_custom
from tests.manifests.power import power_cut


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_device_reads_its_own_assignment(fleet: Fleet) -> None:
    assigned = fleet.assign()
    found = fleet.director_device().target(fleet.clock(), PATH)
    assert found is not None
    custom = read_custom(found.custom, DirectorCustom, PATH)
    assert custom == director_custom(image_custom())
    assert custom.probation.max_error_rate == 0.01  # fractions survive canonical JSON
    assert assigned.version == 1
    assert assigned.timestamp_digest == digest_of(
        fleet.director.read("cam-1", "timestamp.json") or b""
    )


def test_the_client_asks_for_the_documented_names(fleet: Fleet) -> None:
    fleet.assign()
    device = fleet.director_device()
    device.refresh(fleet.clock())
    assert device.fetcher.asked == [
        "2.root.json",
        "timestamp.json",
        "snapshot.json",
        "targets.json",
    ]


def test_a_device_without_assignment_has_roots_but_no_metadata(fleet: Fleet) -> None:
    assert fleet.director.read("cam-2", "timestamp.json") is None
    assert fleet.director.current("cam-2") is None
    assert fleet.director.read("cam-2", "1.root.json") == fleet.first_roots["director"]
    assert fleet.director.read("cam-2", "root.json") == fleet.first_roots["director"]
    assert fleet.director.read("cam-2", "2.root.json") is None
    empty = fleet.director.assign("cam-2", {})
    assert set(empty.files) == {"timestamp.json", "snapshot.json", "targets.json"}
    assert fleet.director_device("cam-2").target(fleet.clock(), PATH) is None


@pytest.mark.parametrize("name", ["../image/timestamp.json", "x.json", "", "-1.root.json"])
def test_other_names_give_nothing(fleet: Fleet, name: str) -> None:
    fleet.assign()
    assert fleet.director.read("cam-1", name) is None


def test_a_device_name_cannot_be_a_path(fleet: Fleet) -> None:
    with pytest.raises(TrustError, match="is no valid name"):
        fleet.director.read("../../keys", "timestamp.json")


def test_one_devices_assignment_is_not_anothers(fleet: Fleet) -> None:
    fleet.assign("cam-1")
    with pytest.raises(TrustError, match="its custom is for device 'cam-1', not 'cam-2'"):
        custom = director_custom(image_custom(), device="cam-1")
        fleet.director.assign("cam-2", {PATH: (1, "00" * 32, custom)})


def test_versions_rise_across_restarts_and_old_metadata_is_refused(fleet: Fleet) -> None:
    old = fleet.assign().files
    device = fleet.director_device()
    device.refresh(fleet.clock())
    fleet.restart()
    assert fleet.assign(version="1.1.0").version == 2
    device.refresh(fleet.clock())
    device.fetcher.read = old.get
    with pytest.raises(BadVersionNumberError):
        device.refresh(fleet.clock())


def test_timestamps_of_two_assignments_do_not_mix(fleet: Fleet) -> None:
    """Mix and match: the new timestamp with the old targets."""
    old = fleet.assign().files
    new = fleet.assign(version="1.1.0").files
    device = fleet.director_device()
    device.fetcher.read = (new | {"targets.json": old["targets.json"]}).get
    with pytest.raises(RepositoryError):
        device.refresh(fleet.clock())


def test_refresh_names_the_devices_whose_doorbell_must_ring(fleet: Fleet) -> None:
    fleet.assign("cam-1")
    fleet.clock.pass_days(4.5)
    fleet.assign("cam-2")
    assert fleet.director.refresh() == ["cam-1"]
    assert fleet.director.refresh() == []
    device = fleet.director_device("cam-1")
    assert device.target(fleet.clock(), PATH) is not None
    fleet.clock.pass_days(40)
    with pytest.raises(ExpiredMetadataError):
        device.refresh(fleet.clock())
    assert fleet.director.refresh() == ["cam-1", "cam-2"]
    assert device.target(fleet.clock(), PATH) is not None
    assert list(fleet.director.devices()) == ["cam-1", "cam-2"]


def test_a_crash_while_assigning_leaves_the_old_assignment_whole(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.assign()
    before = fleet.director.current("cam-1")
    with power_cut(monkeypatch, before_write=0):
        fleet.assign(version="1.1.0")
    fleet.restart()
    assert fleet.director.current("cam-1") == before
