"""Writing: what stands in the records, and that crashes and threads lose nothing."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from edgewright_fleet.audit.heads import AuditKey
from edgewright_fleet.audit.log import AuditLog
from edgewright_fleet.audit.opening import CHECKPOINT, HISTORY, PUBLIC_KEY
from edgewright_fleet.audit.records import ModelMetadata
from edgewright_fleet.audit.segments import segment_paths
from edgewright_fleet.errors import AuditError

from tests.fleet.audit.logs import (
    KEY,
    OTHER_KEY,
    START,
    copy_log,
    open_log,
    records,
    verify,
    write_log,
)


def test_an_operation_leaves_a_record_before_and_one_after(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    with log.operation(
        "release.publish",
        user="ann",
        command="edgewright fleet publish",
        resources=("release:fashion/2",),
        change_ticket="CHG-7",
        rollback_available=True,
        model=ModelMetadata(name="fashion", version="2", release_counter=2),
    ) as under_way:
        under_way.add_resources("blob:sha256:00")
        assert [record.phase for record in records(tmp_path / "log")] == ["before"]
    log.close()
    before, after = records(tmp_path / "log")
    assert (before.sequence, after.sequence) == (0, 1)
    assert before.id == after.id
    assert (before.outcome, after.outcome) == ("started", "done")
    assert before.duration_s is None
    assert after.duration_s is not None
    assert before.timestamp == START
    assert (after.user, after.command, after.environment, after.change_ticket) == (
        "ann",
        "edgewright fleet publish",
        "test",
        "CHG-7",
    )
    assert after.resources == ("release:fashion/2", "blob:sha256:00")
    assert after.rollback_available
    assert after.model == ModelMetadata(name="fashion", version="2", release_counter=2)


def test_an_operation_that_fails_is_recorded_with_its_error_and_fails(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    with pytest.raises(ZeroDivisionError), log.operation("key.rotate", user="ann"):
        print(1 / 0)
    after = records(tmp_path / "log")[-1]
    assert (after.phase, after.outcome) == ("after", "failed")
    assert after.error == "ZeroDivisionError: division by zero"
    log.close()


def test_an_operation_that_cannot_be_recorded_is_not_begun(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.close()
    begun = False
    with pytest.raises(AuditError, match="takes no records"), log.operation("x.y", user="ann"):
        begun = True
    assert not begun


def test_an_operation_in_asyncio_that_is_cancelled_is_recorded_as_failed(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")

    async def operate() -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with log.operation_async("rollout.start", user="ann"):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.wait_for(inside.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with log.operation_async("rollout.start", user="ann"):
            pass

    asyncio.run(operate())
    log.close()
    assert [record.outcome for record in records(tmp_path / "log")] == [
        "started",
        "failed",
        "started",
        "done",
    ]
    assert records(tmp_path / "log")[1].error == "CancelledError"
    assert verify(tmp_path / "log").intact


def test_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log", KEY)

    def work(name: str) -> None:
        for _ in range(25):
            with log.operation("x.y", user=name):
                pass

    threads = [threading.Thread(target=work, args=(f"t-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    written = records(tmp_path / "log")
    assert [record.sequence for record in written] == list(range(400))
    assert len({(record.id, record.phase) for record in written}) == 400
    assert verify(tmp_path / "log").intact


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    write_log(tmp_path / "log", 3)
    write_log(tmp_path / "log", 2)
    assert [record.sequence for record in records(tmp_path / "log")] == list(range(10))
    assert verify(tmp_path / "log").intact


def test_segments_are_started_when_one_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright_fleet.audit.segments.SEGMENT_RECORDS", 4)
    write_log(tmp_path / "log", 5)
    write_log(tmp_path / "log", 1)
    assert [path.name for path in segment_paths(tmp_path / "log")] == [
        "00000000000000000000.jsonl",
        "00000000000000000004.jsonl",
        "00000000000000000008.jsonl",
    ]
    report = verify(tmp_path / "log")
    assert (report.intact, report.records) == (True, 12)
    segment_paths(tmp_path / "log")[1].unlink()
    assert not verify(tmp_path / "log").intact


def test_only_one_process_writes(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    with pytest.raises(AuditError, match="another process writes this audit log"):
        open_log(tmp_path / "log")
    log.close()
    open_log(tmp_path / "log").close()


def test_a_torn_last_record_is_dropped_and_that_is_recorded(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "whole", 2)
    [segment] = segment_paths(whole)
    line = segment.read_bytes().splitlines()[-1].replace(b'"sequence":3', b'"sequence":4')
    for length in range(1, len(line), 37):
        torn = copy_log(whole, tmp_path / "torn")
        with segment_paths(torn)[0].open("ab") as file:
            file.write(line[:length])
        open_log(torn).close()
        after = records(torn)
        assert [record.operation for record in after[4:]] == ["audit.repair", "audit.repair"]
        assert f"dropped the unfinished record 4 ({length} bytes)" in (after[4].detail or "")
        assert verify(torn).intact


def test_whole_records_that_a_crash_left_unsigned_are_signed_and_that_is_recorded(
    tmp_path: Path,
) -> None:
    folder = write_log(tmp_path / "log", 2)
    older = (folder / CHECKPOINT).read_bytes()
    history = (folder / HISTORY).read_bytes()
    write_log(folder, 1)
    (folder / CHECKPOINT).write_bytes(older)
    (folder / HISTORY).write_bytes(history)
    open_log(folder).close()
    after = records(folder)
    assert len(after) == 8
    assert "signed records 4 to 5, which a crash left unsigned" in (after[6].detail or "")
    assert verify(folder).intact


def test_a_checkpoint_history_that_was_cut_short_is_mended(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", 2)
    history = folder / HISTORY
    history.write_bytes(history.read_bytes()[:-40])
    assert verify(folder).intact
    write_log(folder, 1)
    assert verify(folder).intact


def damage_last_record(folder: Path) -> None:
    [segment] = segment_paths(folder)
    segment.write_bytes(segment.read_bytes()[:-1])


def damage_a_record(folder: Path) -> None:
    [segment] = segment_paths(folder)
    segment.write_bytes(segment.read_bytes().replace(b"admin", b"nimda", 1))


def remove_a_record(folder: Path) -> None:
    [segment] = segment_paths(folder)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-1]))


def remove_the_checkpoint(folder: Path) -> None:
    (folder / CHECKPOINT).unlink()


def append_nonsense(folder: Path) -> None:
    with segment_paths(folder)[0].open("ab") as file:
        file.write(b"nonsense\n")


def append_a_forged_number(folder: Path) -> None:
    [segment] = segment_paths(folder)
    with segment.open("ab") as file:
        file.write(segment.read_bytes().splitlines(keepends=True)[0])


@pytest.mark.parametrize(
    "damage",
    [
        damage_last_record,
        damage_a_record,
        remove_a_record,
        remove_the_checkpoint,
        append_nonsense,
        append_a_forged_number,
    ],
)
def test_a_damaged_log_is_not_written_on(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = write_log(tmp_path / "log", 2)
    damage(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(AuditError) as error:
        open_log(folder)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_log_of_another_key_is_not_written_on(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", 1)
    with pytest.raises(AuditError, match="no signature by"):
        AuditLog(folder, OTHER_KEY)


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = AuditKey.open(tmp_path / "key.pem")
    assert AuditKey.open(tmp_path / "key.pem").public == key.public
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(AuditError, match="no usable audit key"):
        AuditKey.open(tmp_path / "key.pem")


def test_the_public_key_lies_beside_the_log(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", 1)
    assert (folder / PUBLIC_KEY).read_text().strip() == KEY.public


def test_a_record_that_does_not_reach_the_disk_is_taken_away_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path / "log")
    with monkeypatch.context() as full:
        full.setattr("edgewright_fleet.audit.segments.os.fdatasync", fail_with_a_full_disk)
        with pytest.raises(AuditError, match="No space left"), log.operation("x.y", user="ann"):
            pytest.fail("begun without a record")
    with log.operation("x.y", user="ben"):
        pass
    log.close()
    assert [record.user for record in records(tmp_path / "log")] == ["ben", "ben"]
    assert verify(tmp_path / "log").intact


def test_a_checkpoint_that_does_not_reach_the_disk_stops_the_log_until_it_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path / "log")
    with monkeypatch.context() as full:
        full.setattr("edgewright_fleet.audit.opening.write_atomically", fail_with_a_full_disk)
        with pytest.raises(AuditError, match="start the server again"):
            log.operation("x.y", user="ann").__enter__()
    with pytest.raises(AuditError, match="takes no records"):
        log.operation("x.y", user="ben").__enter__()
    log.close()
    open_log(tmp_path / "log").close()
    assert [record.operation for record in records(tmp_path / "log")] == [
        "x.y",
        "audit.repair",
        "audit.repair",
    ]
    assert verify(tmp_path / "log").intact


def fail_with_a_full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


WRITER = """
import os, sys, threading
from pathlib import Path
from tests.fleet.audit.logs import KEY
from edgewright_fleet.audit.log import AuditLog
log = AuditLog(Path(sys.argv[1]), KEY)
def work(name):
    while True:
        with log.operation("x.y", user=name, resources=("r" * 200,) * 5):
            pass
        os.write(1, b"%d\\n" % log.head.size)
for n in range(3):
    threading.Thread(target=work, args=(f"t-{n}",), daemon=True).start()
threading.Event().wait()
"""


def test_kill_9_while_appending_leaves_a_log_that_opens_and_verifies(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    promised = 0
    for round_ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert writer.stdout is not None
        for _ in range(5 + 7 * round_):
            promised = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split(b"\n")[:-1]
        promised = max([promised, *map(int, rest)])
        writer.wait()
        writer.stdout.close()
        # Before the repair: at worst the unsigned end of what was being written.
        assert {problem.kind for problem in verify(folder).problems} <= {"unsigned"}
        open_log(folder).close()
        report = verify(folder)
        assert report.intact, report.problems
        assert report.signed >= promised
