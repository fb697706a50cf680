"""The director on a real store and real repositories, without a server around it."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright_fleet.errors import UnknownName, UnprocessableError
from edgewright_fleet.releases import FleetDirector, NewRelease, ReleaseIntake, Signing
from edgewright_fleet.releases.signing import roots_to_adopt
from edgewright_fleet.rollouts.model import AssignmentOrder
from edgewright_fleet.store import (
    Assignments,
    Blobs,
    DeviceRecord,
    Devices,
    Releases,
    open_database,
)
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.digest import digest_of
from edgewright_manifests.messages import Desired
from edgewright_manifests.metadata import init_keys, next_release_counter, sign_targets
from edgewright_manifests.release import ImageCustom, ProbationPolicy, target_path
from edgewright_manifests.variant import Target

from tests.fleet.bundles import make_bundle
from tests.fleet.store.test_store import device


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Desk:
    """A director with one published release, `detector@1`, and what it announced."""

    def __init__(self, folder: Path, targets: tuple[Target, ...] = ("onnx", "tflite")) -> None:
        self.folder = folder
        init_keys(folder / "keys")
        self.database = open_database(f"sqlite:///{folder / 'fleet.sqlite'}")
        self.devices, self.releases = Devices(self.database), Releases(self.database)
        self.assignments = Assignments(self.database)
        self.announced: list[tuple[str, Desired]] = []
        self.reopen()
        self.publish(make_bundle(folder / "1.bundle", "1", targets=targets))

    def reopen(self) -> None:
        self.signing = Signing.open(self.folder / "tuf", self.folder / "keys" / "online")
        self.director = FleetDirector(
            self.devices,
            self.releases,
            self.assignments,
            self.signing,
            now,
            lambda device, desired: self.announced.append((device.id, desired)),
        )

    def publish(self, path: Path, hardware_ids: tuple[str, ...] = ("any",)) -> None:
        bundle, current = open_bundle(path), self.signing.image_targets()
        blobs = Blobs(self.folder / "blobs")
        for digest in bundle.blobs:
            incoming = blobs.receive(digest)
            incoming.write(bundle.read_blob(digest))
            incoming.commit()
        counter = next_release_counter(current, bundle.name, bundle.version)
        signed = sign_targets(
            self.folder / "keys" / "offline",
            current,
            {
                target_path(bundle.name, bundle.version, entry.variant.id): (
                    entry.manifest_bytes,
                    ImageCustom(
                        kind="model",
                        model=bundle.name,
                        version=bundle.version,
                        release_counter=counter,
                        bundle=bundle.digest,
                        target=entry.variant.target,
                        precision=entry.variant.precision,
                        hardware_ids=hardware_ids,
                    ),
                )
                for entry in bundle.entries
            },
        )
        intake = ReleaseIntake(self.releases, blobs, self.signing, self.folder / "work", now)
        index = (path / "index.json").read_text()
        new = NewRelease(index=index, blobs=tuple(bundle.blobs), targets=signed.decode())
        intake.accept(new, "tester")

    def add(self, record: DeviceRecord) -> None:
        self.signing.introduce(record.id)
        self.devices.add(record)

    def targets(self, device: str) -> list[str]:
        data = self.signing.read("director", "targets.json", device)
        return list(json.loads(data)["signed"]["targets"])


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.database.close()


def order(device: str, key: str, version: str | None = "1", **fields: object) -> AssignmentOrder:
    values = {
        "key": key,
        "device": device,
        "model": "detector",
        "version": version,
        "variant": None,
        "rollout": "r",
        "rollback": False,
        "probation": ProbationPolicy(),
        "transport": "https",
    }
    return AssignmentOrder(**{**values, **fields})  # type: ignore[arg-type]  # a test's shorthand


def test_each_profile_gets_its_variant(desk: Desk) -> None:
    desk.add(device("gate", "generic"))
    desk.add(device("pi", "raspberry-pi-5"))
    desk.add(device("own", "an-own-profile.toml"))
    desk.director.assign(order("gate", "a"))
    desk.director.assign(order("pi", "b"))
    assert desk.targets("gate") == ["detector/1/onnx-int8.json"]
    assert desk.targets("pi") == ["detector/1/tflite-int8.json"]
    with pytest.raises(UnprocessableError, match="no variant fits"):
        desk.director.assign(order("own", "c"))


def test_the_same_order_twice_is_one_assignment_announced_again(desk: Desk) -> None:
    desk.add(device())
    assert [desk.director.assign(order("pi-1", "k")) for _ in range(3)] == [1, 1, 1]
    bells = [bell for _, bell in desk.announced]
    assert bells == [bells[0]] * 3
    timestamp = desk.signing.read("director", "timestamp.json", "pi-1")
    assert bells[0] == Desired(generation=1, director_timestamp=digest_of(timestamp))


def test_an_old_order_does_not_push_a_newer_one_aside(desk: Desk) -> None:
    desk.add(device())
    desk.director.assign(order("pi-1", "old"))
    desk.director.assign(order("pi-1", "new", variant="tflite-int8"))
    assert desk.director.assign(order("pi-1", "old")) == 1
    assert desk.targets("pi-1") == ["detector/1/tflite-int8.json"]


def test_withdrawing_leaves_nothing_assigned(desk: Desk) -> None:
    desk.add(device())
    desk.director.assign(order("pi-1", "a"))
    assert desk.director.assign(order("pi-1", "b", version=None)) == 2
    assert desk.targets("pi-1") == []


def test_what_a_crash_left_unsigned_is_signed_at_the_next_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add(device())
    desk.director.assign(order("pi-1", "a"))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(desk.signing, "sign", crash)
        with pytest.raises(KeyboardInterrupt):
            desk.director.assign(order("pi-1", "b", variant="tflite-int8"))
    assert desk.targets("pi-1") == ["detector/1/onnx-int8.json"]
    desk.reopen()
    desk.announced.clear()
    desk.director.finish()
    assert desk.targets("pi-1") == ["detector/1/tflite-int8.json"]
    assert [bell.generation for _, bell in desk.announced] == [2]
    desk.director.finish()
    assert len(desk.announced) == 1


def test_a_release_for_other_hardware_is_not_assigned(desk: Desk) -> None:
    desk.add(device())
    desk.publish(make_bundle(desk.folder / "2.bundle", "2"), hardware_ids=("other-board",))
    with pytest.raises(UnprocessableError, match="not for hardware 'generic'"):
        desk.director.assign(order("pi-1", "a", version="2"))


def test_a_release_that_is_not_published_is_not_assigned(desk: Desk) -> None:
    desk.add(device())
    with pytest.raises(UnknownName, match="published: detector@1"):
        desk.director.assign(order("pi-1", "a", version="9"))
    assert desk.assignments.current("pi-1") is None


def test_nobody_else_gets_anything(desk: Desk) -> None:
    desk.add(device())
    desk.devices.revoke("pi-1", now())
    with pytest.raises(UnprocessableError, match="is revoked"):
        desk.director.assign(order("pi-1", "a"))
    with pytest.raises(UnknownName):
        desk.director.assign(order("stranger", "b"))
    desk.director.announce_all()
    assert desk.announced == []


def test_new_roots_are_noticed_once(desk: Desk) -> None:
    assert roots_to_adopt(desk.folder / "tuf", desk.folder / "keys") == []
    assert roots_to_adopt(desk.folder / "none", desk.folder / "keys" / "online") == [
        "image-root:1",
        "director-root:1",
    ]
