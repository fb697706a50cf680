import datetime
import threading
from pathlib import Path

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from edgewright_fleet.errors import ConflictError, StartError, UnknownName
from edgewright_fleet.rollouts.model import Phase, Restore, Rollout, RolloutDevice, RolloutState
from edgewright_fleet.store import (
    AssignedTarget,
    AssignmentRecord,
    Assignments,
    Blobs,
    Database,
    DeviceRecord,
    Devices,
    Events,
    Groups,
    ReleaseRecord,
    Releases,
    Rollouts,
    Tokens,
    VariantRecord,
    open_database,
)
from edgewright_fleet.store.schema import metadata
from edgewright_manifests.digest import digest_of
from edgewright_manifests.messages import Event, UpdateState, VersionReport
from edgewright_manifests.release import DirectorCustom, ImageCustom
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import Quality, Target, Tolerance, Variant

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)


def device(name: str = "pi-1", profile: str = "generic") -> DeviceRecord:
    return DeviceRecord(
        id=name,
        tenant="default",
        profile=profile,
        hardware_id="generic",
        certificate="PEM",
        fingerprint=digest_of(name.encode()),
        serial="abc",
        enrolled=NOW,
    )


def report(name: str, sequence: int, targets: tuple[str, ...] = ("onnx",)) -> VersionReport:
    return VersionReport(
        device=name,
        sequence=sequence,
        time=NOW,
        profile="generic",
        hardware_id="generic",
        targets=targets,
        agent="0",
        state=UpdateState.IDLE,
        assignment=0,
    )


def event(name: str, number: str, assignment: int = 1) -> Event:
    return Event(
        device=name,
        id=number,
        time=NOW,
        assignment=assignment,
        state=UpdateState.DOWNLOAD,
        outcome="done",
    )


def image(target: Target = "onnx", version: str = "1") -> ImageCustom:
    return ImageCustom(
        kind="model",
        model="detector",
        version=version,
        release_counter=1,
        bundle=digest_of(b"bundle"),
        target=target,
        precision="int8",
    )


def release(version: str = "1", *targets: Target) -> ReleaseRecord:
    return ReleaseRecord(
        model="detector",
        version=version,
        bundle=digest_of(b"bundle"),
        release_counter=1,
        published=NOW,
        published_by="tester",
        variants=tuple(
            VariantRecord(
                manifest=digest_of(f"{version} {target}".encode()),
                manifest_size_bytes=10,
                target_path=f"detector/{version}/{target}-int8.json",
                variant=Variant(
                    model="detector",
                    version=version,
                    target=target,
                    precision="int8",
                    recipe="none",
                    signature=ModelSignature(inputs=(), outputs=()),
                    files=(),
                    quality=Quality(samples=1),
                    tolerance=Tolerance(),
                ),
                image=image(target, version),
            )
            for target in targets or ("onnx",)
        ),
    )


def assignment(name: str, number: int, key: str) -> AssignmentRecord:
    return AssignmentRecord(
        device=name,
        number=number,
        key=key,
        model="detector",
        target=AssignedTarget(
            path="detector/1/onnx-int8.json",
            manifest=digest_of(b"manifest"),
            manifest_size_bytes=10,
            custom=DirectorCustom(
                image=image(), device=name, hardware_id="generic", assignment=number, rollout="r"
            ),
        ),
        created=NOW,
    )


def rollout(revision: int, state: RolloutState = RolloutState.RUNNING, name: str = "r") -> Rollout:
    return Rollout(
        id=name,
        model="detector",
        version="1",
        group="all",
        phases=(Phase(percent=100.0),),
        created_by="tester",
        created_at=NOW,
        state=state,
        revision=revision,
    )


def rollouts(database: Database) -> Rollouts:
    return Rollouts(
        database,
        Devices(database),
        Groups(database),
        Releases(database),
        Assignments(database),
    )


def test_the_migrations_lead_to_the_tables(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_opening_again_keeps_what_is_there(url: str) -> None:
    first = open_database(url)
    Devices(first).add(device())
    first.close()
    second = open_database(url)
    assert Devices(second).get("pi-1") == device()
    second.close()


def test_a_name_is_enrolled_once(database: Database) -> None:
    devices = Devices(database)
    devices.add(device())
    with pytest.raises(ConflictError, match="take another name"):
        devices.add(device())
    with pytest.raises(UnknownName):
        devices.get("pi-2")


def test_a_device_is_found_by_its_certificate(database: Database) -> None:
    devices = Devices(database)
    devices.add(device())
    assert devices.by_fingerprint(device().fingerprint) == device()
    assert devices.by_fingerprint(digest_of(b"other")) is None


def test_only_a_rising_sequence_is_stored(database: Database) -> None:
    devices = Devices(database)
    devices.add(device())
    big = 2**40
    assert [devices.store_report(report("pi-1", n), NOW) for n in (5, 5, 4, 6, big, big)] == [
        True,
        False,
        False,
        True,
        True,
        False,
    ]
    assert devices.get("pi-1").sequence == big
    assert devices.get("pi-1").report == report("pi-1", big)
    assert not devices.store_report(report("nobody", 1), NOW)


def test_revoking_is_for_ever(database: Database) -> None:
    devices = Devices(database)
    devices.add(device())
    devices.set_online("pi-1", True, NOW)
    devices.revoke("pi-1", NOW)
    assert (devices.get("pi-1").revoked, devices.get("pi-1").online) == (NOW, False)
    with pytest.raises(ConflictError, match="revoked already"):
        devices.revoke("pi-1", NOW)


def test_one_use_of_a_token_is_taken_once_however_many_ask(database: Database) -> None:
    tokens = Tokens(database)
    later = NOW + datetime.timedelta(hours=1)
    tokens.add("secret", expires=later, uses=3, now=NOW, created_by="tester")
    taken: list[bool] = []
    threads = [
        threading.Thread(target=lambda: taken.append(tokens.take("secret", now=NOW)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True] * 3
    tokens.give_back("secret")
    assert not tokens.take("secret", now=later)
    assert tokens.take("secret", now=NOW)
    assert not tokens.take("other", now=NOW)


def test_an_event_is_stored_once_for_each_device(database: Database) -> None:
    devices, events = Devices(database), Events(database)
    devices.add(device("a"))
    devices.add(device("b"))
    assert [events.add(event(n, "1"), NOW) for n in ("a", "a", "b")] == [True, False, True]
    assert [e.event.device for e in events.latest(device="b")] == ["b"]
    assert len(events.latest(limit=1)) == 1


def test_groups_hold_devices_that_are_not_revoked(database: Database) -> None:
    devices, groups = Devices(database), Groups(database)
    for name in ("a", "b", "c"):
        devices.add(device(name))
    groups.create("some")
    groups.add("some", "b")
    groups.add("some", "a")
    groups.add("some", "a")
    assert groups.all() == {"some": ["a", "b"]}
    devices.revoke("a", NOW)
    assert groups.members("some") == ["b"]
    assert groups.members("all") == ["b", "c"]
    groups.remove("some", "b")
    assert groups.members("some") == []
    for act in (
        lambda: groups.add("none", "b"),
        lambda: groups.add("some", "nobody"),
        lambda: groups.remove("some", "b"),
        lambda: groups.members("none"),
        lambda: groups.delete("none"),
    ):
        with pytest.raises(UnknownName):
            act()
    for name in ("some", "all"):
        with pytest.raises(ConflictError):
            groups.create(name)
    groups.delete("some")
    assert groups.all() == {}


def test_a_release_is_published_once(database: Database) -> None:
    releases = Releases(database)
    releases.add(release("1", "onnx", "tflite"))
    assert releases.get("detector", "1") == release("1", "onnx", "tflite")
    with pytest.raises(ConflictError):
        releases.add(release("1"))
    with pytest.raises(UnknownName, match="published: detector@1"):
        releases.get("detector", "2")


def test_assignment_numbers_rise_and_a_key_is_used_once(database: Database) -> None:
    Devices(database).add(device())
    assignments = Assignments(database)
    assert assignments.next_number("pi-1") == 1
    assert assignments.add(assignment("pi-1", 1, "k1"))
    assert not assignments.add(assignment("pi-1", 1, "k2"))
    assert not assignments.add(assignment("pi-1", 3, "k3"))
    assert not assignments.add(assignment("pi-1", 2, "k1"))
    assert assignments.add(assignment("pi-1", 2, "k2"))
    withdrawn = msgspec.structs.replace(assignment("pi-1", 3, "k3"), target=None)
    assert assignments.add(withdrawn)
    assignments.set_signed("pi-1", 3, digest_of(b"t"))
    signed = msgspec.structs.replace(withdrawn, director_timestamp=digest_of(b"t"))
    assert assignments.current("pi-1") == signed
    assert assignments.all_current() == {"pi-1": signed}
    assert assignments.by_key("k1") == assignment("pi-1", 1, "k1")
    assert assignments.by_key("none") is None


def test_a_rollout_is_saved_only_over_the_revision_that_was_read(database: Database) -> None:
    Devices(database).add(device())
    store = rollouts(database)
    mine = RolloutDevice(rollout="r", device="pi-1", stratum="generic", position=0)
    store.save(rollout(1), [mine])
    moved = msgspec.structs.replace(mine, wanted=True)
    store.save(rollout(2), [moved])
    with pytest.raises(ConflictError):
        store.save(rollout(2), [mine])
    with pytest.raises(ConflictError):
        store.save(rollout(1), [mine])
    assert store.rollout("r") == rollout(2)
    assert store.devices("r") == [moved]
    with pytest.raises(UnknownName):
        store.rollout("none")


def test_the_driver_is_given_what_it_must_look_at(database: Database) -> None:
    Devices(database).add(device())
    store = rollouts(database)
    for name, state, restore in (
        ("running", RolloutState.RUNNING, Restore.NONE),
        ("paused", RolloutState.PAUSED, Restore.NONE),
        ("complete", RolloutState.COMPLETE, Restore.NONE),
        ("restored", RolloutState.HALTED, Restore.DONE),
        ("restoring", RolloutState.HALTED, Restore.WANTED),
    ):
        row = RolloutDevice(
            rollout=name, device="pi-1", stratum="generic", position=0, restore=restore
        )
        store.save(rollout(1, state, name), [row])
    assert {each.id for each in store.active()} == {"running", "paused", "restoring"}
    assert len(store.rollouts()) == 5


def test_members_say_who_can_run_the_release_and_what_they_have(database: Database) -> None:
    devices, store = Devices(database), rollouts(database)
    Releases(database).add(release("1", "onnx"))
    Groups(database).create("g")
    for name in ("fits", "unfit", "revoked", "left", "outside"):
        devices.add(device(name))
        devices.store_report(report(name, 1, ("tflite",) if name == "unfit" else ("onnx",)), NOW)
    for name in ("fits", "unfit", "revoked"):
        Groups(database).add("g", name)
    Assignments(database).add(assignment("fits", 1, "k"))
    Events(database).add(event("fits", "1", assignment=1), NOW)
    Events(database).add(event("fits", "2", assignment=2), NOW)
    wanted = msgspec.structs.replace(rollout(1), group="g")
    store.save(
        wanted,
        [
            RolloutDevice(rollout="r", device=name, stratum="generic", position=n, assignment=1)
            for n, name in enumerate(("fits", "left", "revoked"))
        ],
    )
    devices.revoke("revoked", NOW)
    members = {member.device: member for member in store.members(wanted)}
    assert sorted(members) == ["fits", "left", "revoked", "unfit"]
    fits = members["fits"]
    assert fits.ineligible is None
    assert fits.assigned is not None
    assert (fits.assigned.version, fits.assigned.variant) == ("1", "onnx-int8")
    assert [e.id for e in fits.events] == ["1"]
    assert members["unfit"].ineligible == (
        "no variant fits: the device runs tflite; the release has onnx-int8"
    )
    assert "revoked" in (members["revoked"].ineligible or "")
    assert "left the group" in (members["left"].ineligible or "")
    with pytest.raises(UnknownName):
        store.members(msgspec.structs.replace(wanted, version="9"))


def test_a_database_that_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be opened"):
        open_database(f"sqlite:///{tmp_path}/none/fleet.sqlite")
    with pytest.raises(StartError, match="use sqlite:/// or postgresql"):
        open_database("nonsense")


def test_a_blob_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = digest_of(b"whole")
    incoming = blobs.receive(digest)
    incoming.write(b"who")
    assert blobs.missing([digest]) == [digest]
    incoming.write(b"le")
    incoming.commit()
    incoming.discard()
    assert blobs.read(digest) == b"whole"
    torn = blobs.receive(digest_of(b"other"))
    torn.write(b"oth")
    torn.discard()
    assert sorted(p.name for p in (tmp_path / "sha256").iterdir()) == [digest[7:]]
    with pytest.raises(UnknownName, match="no digest"):
        blobs.path("../../etc/passwd")
