"""Every way to tamper with a log is found, and the first bad record is named."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright_fleet.audit.export import export_log, signed_lines
from edgewright_fleet.audit.opening import CHECKPOINT, HISTORY
from edgewright_fleet.audit.segments import segment_paths
from edgewright_fleet.audit.verify import verify_log
from edgewright_fleet.errors import AuditError, ConflictError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fleet.audit.logs import (
    KEY,
    OTHER_KEY,
    copy_log,
    edit_lines,
    only_problem,
    open_log,
    verify,
    write_log,
)

RECORDS = 10


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("audit") / "log", RECORDS // 2)


@pytest.fixture
def log(pristine: Path, tmp_path: Path) -> Iterator[Path]:
    yield copy_log(pristine, tmp_path / "log")


def test_an_untouched_log_is_intact(log: Path) -> None:
    report = verify(log)
    assert (report.intact, report.records, report.signed) == (True, RECORDS, RECORDS)


def test_a_log_that_is_being_written_is_intact(tmp_path: Path) -> None:
    writer = open_log(tmp_path / "log")
    assert verify(tmp_path / "log").intact
    with writer.operation("x.y", user="ann"):
        assert verify(tmp_path / "log").intact
    writer.close()


@pytest.mark.parametrize("name", ["records", CHECKPOINT, HISTORY])
@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(log: Path, name: str, data: st.DataObject) -> None:
    path = segment_paths(log)[0] if name == "records" else log / name
    original = path.read_bytes()
    offset = data.draw(st.integers(0, len(original) - 1))
    damaged = bytearray(original)
    damaged[offset] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    try:
        # A history whose last line feed is gone is what a crash leaves; the rest still counts.
        excused = name == HISTORY and offset == len(original) - 1
        report = verify(log)
        assert report.intact == excused
        if name == "records":
            assert (report.problems[0].kind, report.problems[0].index) == (
                "changed",
                original[:offset].count(b"\n"),
            )
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("index", range(RECORDS))
def test_a_rewritten_record_is_named(log: Path, index: int) -> None:
    def rewrite(lines: list[bytes]) -> list[bytes]:
        lines[index] = lines[index].replace(b"admin", b"nobody")
        return lines

    edit_lines(log, rewrite)
    assert only_problem(verify(log)) == ("changed", index)


def test_a_record_with_another_number_is_changed_and_not_a_sign_of_removed_ones(log: Path) -> None:
    edit_lines(log, lambda lines: [x.replace(b'"sequence":3', b'"sequence":7') for x in lines])
    assert only_problem(verify(log)) == ("changed", 3)


@pytest.mark.parametrize("index", range(RECORDS))
def test_a_removed_record_is_named(log: Path, index: int) -> None:
    edit_lines(log, lambda lines: lines[:index] + lines[index + 1 :])
    kind = "truncated" if index == RECORDS - 1 else "removed"
    assert only_problem(verify(log)) == (kind, index)


@pytest.mark.parametrize("size", range(RECORDS))
def test_a_log_that_was_cut_is_found_at_every_length(log: Path, size: int) -> None:
    edit_lines(log, lambda lines: lines[:size])
    assert only_problem(verify(log)) == ("truncated", size)


@pytest.mark.parametrize("cut", [1, 2, 50])
def test_a_log_that_was_cut_inside_its_last_record_is_found(log: Path, cut: int) -> None:
    [segment] = segment_paths(log)
    os.truncate(segment, segment.stat().st_size - cut)
    assert only_problem(verify(log)) == ("changed", RECORDS - 1)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 7), (8, 9)])
def test_reordered_records_are_named(log: Path, one: int, other: int) -> None:
    def swap(lines: list[bytes]) -> list[bytes]:
        lines[one], lines[other] = lines[other], lines[one]
        return lines

    edit_lines(log, swap)
    assert only_problem(verify(log)) == ("reordered", one)


@pytest.mark.parametrize("index", [0, 4, RECORDS - 1])
def test_an_inserted_record_is_named(log: Path, index: int) -> None:
    def insert(lines: list[bytes]) -> list[bytes]:
        return [*lines[:index], lines[index].replace(b"admin", b"ghost"), *lines[index:]]

    edit_lines(log, insert)
    assert only_problem(verify(log)) == ("inserted", index)


@pytest.mark.parametrize("index", [0, 4, 8])
def test_a_repeated_record_is_named(log: Path, index: int) -> None:
    edit_lines(log, lambda lines: lines[: index + 1] + lines[index:])
    assert only_problem(verify(log)) == ("inserted", index + 1)


def test_an_appended_record_is_under_no_checkpoint(log: Path) -> None:
    edit_lines(log, lambda lines: [*lines, lines[-1].replace(b":9,", b":10,", 1)])
    assert only_problem(verify(log)) == ("unsigned", RECORDS)


def test_an_appended_record_is_found_while_a_server_runs(log: Path) -> None:
    writer = open_log(log)
    edit_lines(log, lambda lines: [*lines, lines[-1].replace(b":9,", b":10,", 1)])
    assert only_problem(verify(log)) == ("unsigned", RECORDS)
    writer.close()


def test_without_the_history_tampering_is_still_found(log: Path) -> None:
    (log / HISTORY).unlink()
    assert verify(log).intact
    edit_lines(log, lambda lines: [line.replace(b"pi-3", b"pi-4") for line in lines])
    assert only_problem(verify(log)) == ("changed", 0)
    edit_lines(log, lambda lines: lines[:3] + lines[4:])
    assert only_problem(verify(log)) == ("removed", 3)


def test_a_missing_checkpoint_is_found(log: Path) -> None:
    (log / CHECKPOINT).unlink()
    assert only_problem(verify(log)) == ("checkpoint", None)


def test_an_older_checkpoint_beside_a_shortened_log_is_found(
    pristine: Path, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log", 2)
    old = (log / CHECKPOINT).read_bytes()
    write_log(log, 3)
    newer = (log / CHECKPOINT).read_bytes()
    (log / CHECKPOINT).write_bytes(old)
    edit_lines(log, lambda lines: lines[:4])
    # The history still knows.
    kinds = {problem.kind for problem in verify(log).problems}
    assert kinds == {"checkpoint", "truncated"}
    # Without it only a checkpoint that was kept elsewhere does.
    (log / HISTORY).unlink()
    assert verify(log).intact
    assert verify(log, kept=old).kept == (4,)
    assert only_problem(verify(log, kept=newer)) == ("truncated", 4)


def test_a_log_written_anew_with_the_right_key_is_of_another_history(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", 2)
    early = (log / CHECKPOINT).read_bytes()
    write_log(log, 2)
    late = (log / CHECKPOINT).read_bytes()
    forged = write_log(tmp_path / "forged", 6)
    assert verify(forged).intact
    assert only_problem(verify(forged, early=early, late=late)) == ("kept-checkpoint", 0)
    assert verify(log, early=early, late=late).kept == (4, 8)


def test_a_log_signed_by_another_key_does_not_pass_for_it(log: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="public key: "):
        verify_log(log, "no key", {})
    report = verify_log(log, OTHER_KEY.public, {})
    assert not report.intact
    assert {problem.kind for problem in report.problems} == {"checkpoint", "history", "unsigned"}


def test_a_kept_checkpoint_of_another_key_is_refused(log: Path) -> None:
    note = OTHER_KEY.sign(3, bytes(32)).note.encode()
    assert only_problem(verify(log, stranger=note)) == ("kept-checkpoint", None)


def test_there_must_be_a_log(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="there is no audit log here"):
        verify(tmp_path / "nowhere")


def test_an_export_verifies_like_the_log(log: Path, tmp_path: Path) -> None:
    report = export_log(log, KEY.public, tmp_path / "out")
    assert report.records == RECORDS
    exported = verify(tmp_path / "out")
    assert exported == verify(log)
    with pytest.raises(ConflictError, match="exists already"):
        export_log(log, KEY.public, tmp_path / "out")
    lines = list(signed_lines(log, KEY.public))
    assert b"".join(lines[:-1]) == segment_paths(log)[0].read_bytes()
    edit_lines(tmp_path / "out", lambda lines: lines[1:])
    assert only_problem(verify(tmp_path / "out")) == ("removed", 0)
