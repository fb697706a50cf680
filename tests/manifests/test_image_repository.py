from pathlib import Path

import pytest
from edgewright_manifests.custom import read_custom
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import (
    ImageRepository,
    Keyring,
    init_keys,
    next_release_counter,
    sign_targets,
)
from edgewright_manifests.release import ImageCustom
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError, RepositoryError

from tests.manifests.fleet_keys import MANIFEST, PATH, Fleet
from tests.manifests.making import image_custom
from tests.manifests.power import power_cut


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_device_finds_and_downloads_what_was_published(fleet: Fleet) -> None:
    device = fleet.image_device()
    assert device.target(fleet.clock(), PATH) is None
    fleet.publish()
    found = device.target(fleet.clock(), PATH)
    assert found is not None
    assert read_custom(found.custom, ImageCustom, PATH) == image_custom()
    assert device.download(fleet.clock(), PATH) == MANIFEST


def test_the_client_asks_for_the_documented_names(fleet: Fleet) -> None:
    fleet.publish()
    device = fleet.image_device()
    device.download(fleet.clock(), PATH)
    digest = fleet.image.targets()[PATH].hashes["sha256"]
    assert device.fetcher.asked == [
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
        f"targets/detector/1.0.0/{digest}.onnx-int8.json",
    ]
    assert fleet.image.read(f"targets/{PATH}") == MANIFEST
    assert fleet.image.read("root.json") == fleet.first_roots["image"]


@pytest.mark.parametrize(
    "name",
    [
        "../keys/online/timestamp.pem",
        "targets/../../keys/x.json",
        "targets/detector/1.0.0/../x.json",
        "targets/detector/1.0.0/" + "0" * 64 + ".onnx-int8.json",
        "targets/detector/1.0.0/other.json",
        "0.root.json",
        "01.root.json",
        "9.root.json",
        "",
        "/etc/passwd",
        "timestamp.json\n",
    ],
)
def test_names_beyond_the_repository_give_nothing(fleet: Fleet, name: str) -> None:
    fleet.publish()
    assert fleet.image.read(name) is None


def test_versions_rise_across_restarts_and_an_older_server_is_refused(fleet: Fleet) -> None:
    device = fleet.image_device()
    fleet.publish()
    device.refresh(fleet.clock())
    before = {n: fleet.image.read(n) for n in ("timestamp.json", "2.snapshot.json")}
    fleet.restart()
    fleet.publish("1.1.0", 2)
    assert fleet.image.targets_version == 3
    device.refresh(fleet.clock())
    device.fetcher.read = before.get
    with pytest.raises(BadVersionNumberError):
        device.refresh(fleet.clock())


def test_refresh_signs_anew_only_what_expires_soon(fleet: Fleet) -> None:
    fleet.publish()
    assert not fleet.image.refresh()
    device = fleet.image_device()
    fleet.clock.pass_days(8)
    with pytest.raises(ExpiredMetadataError):
        device.refresh(fleet.clock())
    assert fleet.image.refresh()
    assert device.target(fleet.clock(), PATH) is not None
    fleet.clock.pass_days(3.5)
    assert not fleet.image.refresh()
    fleet.clock.pass_days(1)
    assert fleet.image.refresh()


def test_old_snapshots_go_but_roots_stay(fleet: Fleet) -> None:
    for _ in range(15):
        fleet.clock.pass_days(5)
        assert fleet.image.refresh()
    assert fleet.image.read("1.snapshot.json") is None
    assert fleet.image.read("16.snapshot.json") is not None
    assert fleet.image.read("1.root.json") is not None
    assert fleet.image_device().refresh(fleet.clock())


def test_targets_by_the_wrong_key_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    fleet.publish()
    before = fleet.image.read("timestamp.json")
    stranger = tmp_path / "stranger"
    init_keys(stranger, clock=fleet.clock)
    forged = sign_targets(
        stranger / "offline", None, {PATH: (b"evil", image_custom())}, clock=fleet.clock
    )
    with pytest.raises(TrustError, match="its signatures do not hold under root version 1"):
        fleet.image.accept_targets(forged, {PATH: b"evil"})
    assert fleet.image.read("timestamp.json") == before


def test_older_or_equal_targets_are_refused_but_the_same_again_is_fine(fleet: Fleet) -> None:
    one, path = fleet.sign(image_custom("1.0.0", 1))
    other, other_path = fleet.sign(image_custom("1.1.0", 1), b"other")
    fleet.image.accept_targets(one, {path: MANIFEST})
    timestamp = fleet.image.read("timestamp.json")
    fleet.image.accept_targets(one)
    assert fleet.image.read("timestamp.json") == timestamp
    with pytest.raises(TrustError, match="version 2 is published already; fetch it and sign"):
        fleet.image.accept_targets(other, {other_path: b"other"})


def test_a_published_release_never_vanishes(fleet: Fleet) -> None:
    empty = fleet.image.read("targets.json")
    fleet.publish()
    fleet.publish("1.1.0", 2)
    additions = {"detector/9/onnx-int8.json": (MANIFEST, image_custom("9", 9))}
    forgetful = empty
    for _ in range(3):  # versions 2, 3, 4 grown from the empty first one
        forgetful = sign_targets(fleet.keys / "offline", forgetful, additions, clock=fleet.clock)
    assert forgetful is not None
    with pytest.raises(TrustError, match=f"{PATH} would vanish or change"):
        fleet.image.accept_targets(forgetful, {"detector/9/onnx-int8.json": MANIFEST})


def test_a_manifest_must_come_along_and_be_the_signed_one(fleet: Fleet) -> None:
    signed, path = fleet.sign(image_custom())
    with pytest.raises(TrustError, match="its manifest is missing; send it"):
        fleet.image.accept_targets(signed)
    with pytest.raises(TrustError, match="its manifest is not what was signed"):
        fleet.image.accept_targets(signed, {path: MANIFEST + b" "})
    assert fleet.image.targets() == {}


def test_expired_targets_are_refused(fleet: Fleet) -> None:
    signed, path = fleet.sign(image_custom())
    fleet.clock.pass_days(181)
    with pytest.raises(TrustError, match="has expired; sign it again"):
        fleet.image.accept_targets(signed, {path: MANIFEST})


def test_the_operator_does_not_sign_on_top_of_a_strangers_targets(
    fleet: Fleet, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    init_keys(stranger, clock=fleet.clock)
    forged = sign_targets(stranger / "offline", None, {PATH: (b"evil", image_custom())})
    with pytest.raises(TrustError, match="the server's targets: its signatures do not hold"):
        sign_targets(fleet.keys / "offline", forged, {})
    with pytest.raises(TrustError, match="is no TUF metadata"):
        sign_targets(fleet.keys / "offline", b"{}", {})


def test_a_published_path_cannot_get_other_contents(fleet: Fleet) -> None:
    fleet.publish()
    with pytest.raises(TrustError, match="other contents; give the release a new version"):
        fleet.sign(image_custom(), b"changed")


def test_release_counters_rise_with_the_releases_of_a_model(fleet: Fleet) -> None:
    assert next_release_counter(None, "detector", "1.0.0") == 1
    fleet.publish("1.0.0", 1)
    current = fleet.image.read("targets.json")
    assert next_release_counter(current, "detector", "1.0.0") == 1
    assert next_release_counter(current, "detector", "1.1.0") == 2
    assert next_release_counter(current, "other", "1.0.0") == 1
    with pytest.raises(TrustError, match="release counter 1 is not above 1"):
        fleet.sign(image_custom("1.1.0", 1))
    with pytest.raises(TrustError, match=r"detector 1\.0\.0 has 1 already"):
        fleet.sign(image_custom("1.0.0", 7))


def test_a_server_without_the_right_online_keys_says_so(fleet: Fleet, tmp_path: Path) -> None:
    init_keys(tmp_path / "stranger", clock=fleet.clock)
    with pytest.raises(TrustError, match="has 0 of the 1 keys that sign snapshot"):
        ImageRepository.open(
            tmp_path / "new",
            fleet.keys / "public",
            Keyring(tmp_path / "stranger" / "online"),
            clock=fleet.clock,
        )
    with pytest.raises(TrustError, match="was made with other root keys"):
        ImageRepository.open(
            tmp_path / "image",
            tmp_path / "stranger" / "public",
            Keyring(tmp_path / "stranger" / "online"),
            clock=fleet.clock,
        )


def test_damaged_metadata_never_reaches_a_device_as_valid(fleet: Fleet) -> None:
    fleet.publish()
    device = fleet.image_device()
    good = fleet.image.read
    for damaged in ("timestamp.json", "2.snapshot.json", "2.targets.json"):
        data = bytearray(good(damaged) or b"")
        data[data.index(b"expires") + 14] ^= 1
        device.fetcher.read = {damaged: bytes(data)}.get
        device.fetcher.otherwise = good
        with pytest.raises(RepositoryError):
            device.refresh(fleet.clock())


@pytest.mark.parametrize("write", range(4))
def test_a_crash_before_any_write_of_publishing_leaves_what_devices_accept(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    device = fleet.image_device()
    device.refresh(fleet.clock())
    signed, path = fleet.sign(image_custom())
    with power_cut(monkeypatch, before_write=write):
        fleet.image.accept_targets(signed, {path: MANIFEST})
    fleet.restart()
    assert device.target(fleet.clock(), PATH) is None
    fleet.image.accept_targets(signed, {path: MANIFEST})
    assert device.download(fleet.clock(), PATH) == MANIFEST
