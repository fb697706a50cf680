"""Slots: what is served after a start, and what is never written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from edgewright_manifests.messages import Installed
from edgewright_runtime.update import boot
from edgewright_runtime.update.slots import Mark, SlotName, SlotRecord, Slots

FILE = b"weights"


def fill(slots: Slots, slot: SlotName, mark: Mark, version: str = "v1") -> None:
    """An unpacked variant of one file, as small as the rules allow."""
    folder = slots.building(slot)
    (folder / "model.onnx").write_bytes(FILE)
    (folder / "variant.json").write_text(
        json.dumps({"model": "m", "files": [{"name": "model.onnx", "size_bytes": len(FILE)}]})
    )
    installed = Installed(
        model="m",
        version=version,
        variant="onnx-float",
        manifest=f"sha256:{version[-1] * 64}",
        release_counter=int(version[1:]),
    )
    slots.install(
        slot,
        SlotRecord(
            installed=installed,
            assignment=1,
            mark=mark,
            blobs={f"sha256:{'f' * 64}": "model.onnx"},
        ),
    )


def _cut_file(state: Path, slot: str) -> None:
    (state / "slots" / slot / "model.onnx").write_bytes(FILE[:-1])


def _no_record(state: Path, slot: str) -> None:
    (state / "slots" / slot / "slot.json").unlink()


def _broken_record(state: Path, slot: str) -> None:
    (state / "slots" / slot / "slot.json").write_text('["not", "ours"]')


def _broken_variant(state: Path, slot: str) -> None:
    (state / "slots" / slot / "variant.json").write_bytes(b"\xff\x00")


def _no_file(state: Path, slot: str) -> None:
    (state / "slots" / slot / "model.onnx").unlink()


DAMAGES = [_cut_file, _no_record, _broken_record, _broken_variant, _no_file]


@pytest.mark.parametrize(
    ("active", "a", "b", "expected"),
    [
        (None, None, None, None),
        (None, "unproven", None, None),
        (None, "good", None, "a"),
        ("a", "good", None, "a"),
        ("a", "unproven", None, "a"),
        ("a", "unproven", "good", "a"),
        ("a", "bad", "good", "b"),
        ("a", "bad", "unproven", None),
        ("a", None, "good", "b"),
        ("b", "good", "good", "b"),
        ("b", "good", "bad", "a"),
        ("b", "bad", "bad", None),
    ],
)
def test_a_start_serves_the_active_slot_or_else_a_good_one(
    tmp_path: Path, active: SlotName | None, a: Mark | None, b: Mark | None, expected: str | None
) -> None:
    slots = Slots(tmp_path)
    if a is not None:
        fill(slots, "a", a)
    if b is not None:
        fill(slots, "b", b)
    if active is not None:
        slots.activate(active)
    chosen = boot.choose_slot(tmp_path)
    assert (chosen.slot if chosen else None) == expected
    assert slots.repair() == expected
    if expected is not None:
        assert slots.active() == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_active_slot_is_passed_over(
    tmp_path: Path, damage: Callable[[Path, str], None]
) -> None:
    slots = Slots(tmp_path)
    fill(slots, "a", "good")
    fill(slots, "b", "good", "v2")
    slots.activate("b")
    damage(tmp_path, "b")
    chosen = boot.choose_slot(tmp_path)
    assert chosen is not None
    assert chosen.slot == "a"
    assert chosen.generation == f"a-{'1' * 12}"


def test_a_slot_that_the_server_cannot_live_with_is_chosen_last(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    fill(slots, "a", "unproven")
    slots.activate("a")
    alone = boot.choose_slot(tmp_path, shun="a")
    assert alone is not None
    assert alone.slot == "a"
    fill(slots, "b", "good", "v2")
    other = boot.choose_slot(tmp_path, shun="a")
    assert other is not None
    assert other.slot == "b"


def test_the_active_slot_is_never_written(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    fill(slots, "a", "good")
    slots.activate("a")
    with pytest.raises(ValueError, match="slot a is active"):
        fill(slots, "a", "unproven", "v2")
    installed = slots.installed()
    assert installed is not None
    assert installed.version == "v1"
    assert slots.inactive() == "b"


def test_marks_stay_with_their_reason_and_contents_are_found_by_digest(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    fill(slots, "b", "unproven")
    slots.mark("b", "bad", "too slow")
    record = Slots(tmp_path).record("b")
    assert record is not None
    assert (record.mark, record.reason) == ("bad", "too slow")
    slots.mark("a", "good")  # empty: stays empty
    assert slots.record("a") is None
    found = slots.find_blob(f"sha256:{'f' * 64}")
    assert found is not None
    assert found.read_bytes() == FILE
    assert slots.find_blob(f"sha256:{'e' * 64}") is None


def test_a_first_release_that_is_taken_back_leaves_nothing_active(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    fill(slots, "a", "bad")
    slots.activate("a")
    slots.deactivate()
    assert slots.active() is None
    assert slots.installed() is None
    assert boot.choose_slot(tmp_path) is None
    assert slots.inactive() == "a"
