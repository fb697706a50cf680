import shutil
from pathlib import Path

import pytest
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import Keyring, add_signature, init_keys, rotate
from edgewright_manifests.metadata.keys import read_root, read_roots
from edgewright_manifests.metadata.rotation import ROTATED, RotatedRole

from tests.manifests.fleet_keys import MANIFEST, PATH, Fleet
from tests.manifests.making import image_custom
from tests.manifests.power import power_cut


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_private_keys_are_for_their_owner_only(fleet: Fleet) -> None:
    private = sorted(fleet.keys.rglob("*.pem"))
    assert [str(path.relative_to(fleet.keys)) for path in private] == [
        "offline/root-1.pem",
        "offline/root-2.pem",
        "offline/root-3.pem",
        "offline/targets.pem",
        "online/director.pem",
        "online/snapshot.pem",
        "online/timestamp.pem",
    ]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in private} == {0o700}


def test_keys_are_never_overwritten_and_thresholds_must_be_possible(fleet: Fleet) -> None:
    with pytest.raises(TrustError, match="exists already; its keys are not overwritten"):
        init_keys(fleet.keys)
    with pytest.raises(TrustError, match="threshold of 3 with 2 root keys cannot be"):
        init_keys(fleet.folder / "more", root_keys=2, root_threshold=3)


@pytest.mark.parametrize("role", ROTATED)
def test_a_device_follows_the_rotation_of_any_role(fleet: Fleet, role: RotatedRole) -> None:
    fleet.publish()
    fleet.assign()
    image, director = fleet.image_device(), fleet.director_device()
    image.refresh(fleet.clock())
    director.refresh(fleet.clock())
    before = _key_ids(fleet, role)
    for root in rotate(fleet.keys, role, clock=fleet.clock):
        assert root.missing == 0
    assert not before & _key_ids(fleet, role)
    fleet.restart()
    fleet.director.refresh()
    # In between, nothing breaks, also for the targets key, whose root waits.
    assert image.target(fleet.clock(), PATH) is not None
    fleet.publish("1.1.0", 2)
    fleet.assign(version="1.1.0")
    later = "detector/1.1.0/onnx-int8.json"
    assert image.target(fleet.clock(), later) is not None
    assert director.target(fleet.clock(), later) is not None
    repository = fleet.director if role == "director" else fleet.image
    assert repository.root_version == 2


def test_a_device_that_slept_through_many_rotations_walks_them_all(fleet: Fleet) -> None:
    fleet.publish()
    image, director = fleet.image_device(), fleet.director_device()
    for role in (*ROTATED, "root", "root"):
        rotate(fleet.keys, role, clock=fleet.clock)
    fleet.restart()
    fleet.publish("1.1.0", 2)
    fleet.assign(version="1.1.0")
    fleet.clock.pass_days(5)
    fleet.image.refresh()
    fleet.director.refresh()
    later = "detector/1.1.0/onnx-int8.json"
    assert image.target(fleet.clock(), later) is not None
    assert director.target(fleet.clock(), later) is not None
    assert (fleet.image.root_version, fleet.director.root_version) == (7, 5)
    assert len(read_roots(fleet.keys / "public", "image")) == 7


@pytest.mark.parametrize("write", range(7))
def test_a_rotation_cut_short_loses_no_key_and_can_be_repeated(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    """Three new keys, then each root under its version and as the newest: seven writes."""
    fleet.publish()
    fleet.assign()
    with power_cut(monkeypatch, before_write=write):
        rotate(fleet.keys, "root", clock=fleet.clock)
    assert [root.missing for root in rotate(fleet.keys, "root", clock=fleet.clock)] == [0, 0]
    assert [root.missing for root in rotate(fleet.keys, "root", clock=fleet.clock)] == [0, 0]
    fleet.restart()
    fleet.director.refresh()
    assert fleet.image_device().target(fleet.clock(), PATH) is not None
    assert fleet.director_device().target(fleet.clock(), PATH) is not None


def test_a_retired_key_signs_nothing_any_more(fleet: Fleet) -> None:
    fleet.publish()
    stale = fleet.folder / "stale"
    shutil.copytree(fleet.keys, stale)
    rotate(fleet.keys, "targets", clock=fleet.clock)
    fleet.restart()
    fleet.publish("1.1.0", 2)
    fleet.keys, mine = stale, fleet.keys
    with pytest.raises(TrustError, match="the server's targets: its signatures do not hold"):
        fleet.sign(image_custom("1.2.0", 3))
    fleet.keys = mine
    retired = list((fleet.keys / "offline" / "retired").iterdir())
    assert len(retired) == 1


def test_a_new_server_starts_from_rotated_keys(fleet: Fleet) -> None:
    for role in ROTATED:
        rotate(fleet.keys, role, clock=fleet.clock)
    shutil.rmtree(fleet.folder / "image")
    shutil.rmtree(fleet.folder / "director")
    fleet.restart()
    path = fleet.publish()
    assert fleet.image_device().download(fleet.clock(), path) == MANIFEST


def test_several_persons_sign_until_the_threshold_is_met(fleet: Fleet) -> None:
    away = fleet.folder / "away"
    away.mkdir()
    for name in ("root-2", "root-3"):
        (fleet.keys / "offline" / f"{name}.pem").rename(away / f"{name}.pem")
    [pending] = rotate(fleet.keys, "timestamp", clock=fleet.clock)
    assert (pending.missing, pending.path.parent.name) == (1, "pending")
    assert read_root(fleet.keys, "image").signed.version == 1
    with pytest.raises(TrustError, match="waits for signatures; finish it"):
        rotate(fleet.keys, "snapshot", clock=fleet.clock)
    with pytest.raises(TrustError, match=r"is no root key for image\.2\.root\.json"):
        add_signature(fleet.keys, pending.path, fleet.keys / "offline" / "targets.pem")
    again = add_signature(fleet.keys, pending.path, fleet.keys / "offline" / "root-1.pem")
    assert again is not None
    assert again.missing == 1  # the same key twice is one signature
    done = add_signature(fleet.keys, pending.path, away / "root-3.pem")
    assert done is not None
    assert (done.missing, done.version) == (0, 2)
    assert not pending.path.exists()
    fleet.publish()
    fleet.restart()
    device = fleet.image_device()
    assert device.target(fleet.clock(), PATH) is not None


def test_root_keys_kept_apart_retire_only_once_the_new_root_is_in_force(fleet: Fleet) -> None:
    away = fleet.folder / "root-3.pem"
    (fleet.keys / "offline" / "root-3.pem").rename(away)
    (fleet.keys / "offline" / "root-2.pem").rename(fleet.folder / "root-2.pem")
    image, director = rotate(fleet.keys, "root", clock=fleet.clock)
    assert (image.missing, director.missing) == (1, 1)
    assert (fleet.keys / "offline" / "root-1.pem").exists()
    add_signature(fleet.keys, image.path, away)
    assert not (fleet.keys / "offline" / "retired").exists()
    add_signature(fleet.keys, director.path, away)
    retired = (fleet.keys / "offline" / "retired").iterdir()
    assert [path.name[:7] for path in retired] == ["root-1-"]
    assert not list(fleet.keys.rglob("*.new.pem"))
    assert rotate(fleet.keys, "root", clock=fleet.clock)[0].missing == 0


def test_targets_may_get_a_second_signature(fleet: Fleet) -> None:
    signed, _ = fleet.sign(image_custom())
    file = fleet.folder / "next.json"
    file.write_bytes(signed)
    assert add_signature(fleet.keys, file, fleet.keys / "offline" / "targets.pem") is None
    with pytest.raises(TrustError, match=r"is no targets key for next\.json"):
        add_signature(fleet.keys, file, fleet.keys / "offline" / "root-1.pem")


def test_a_root_signed_by_strangers_is_refused(fleet: Fleet) -> None:
    stranger = fleet.folder / "stranger"
    init_keys(stranger, clock=fleet.clock)
    rotate(stranger, "root", clock=fleet.clock)
    forged = (stranger / "public" / "image.2.root.json").read_bytes()
    with pytest.raises(TrustError, match="threshold not met, 2 more"):
        fleet.image.accept_root(forged)
    with pytest.raises(TrustError, match="is root version 1, expected 2"):
        fleet.image.accept_root(fleet.first_roots["image"])
    (fleet.keys / "public" / "image.2.root.json").write_bytes(forged)
    with pytest.raises(TrustError, match=r"image\.2\.root\.json: threshold not met"):
        fleet.restart()


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="no such folder; make keys with"):
        Keyring(tmp_path / "none")
    (tmp_path / "x.pem").write_text("not a key")
    with pytest.raises(TrustError, match=r"x\.pem: is no private key in PEM"):
        Keyring(tmp_path)


def _key_ids(fleet: Fleet, role: RotatedRole) -> set[str]:
    root = read_root(fleet.keys, "director" if role == "director" else "image").signed
    return set(root.roles["targets" if role == "director" else role].keyids)
