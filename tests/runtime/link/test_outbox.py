"""The outbox: nothing lost by a kill, nothing twice, and a counter that only rises."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from edgewright_runtime.link import outbox as module
from edgewright_runtime.link.outbox import Entry, Outbox

_WRITER = """
import sys
from pathlib import Path
from edgewright_runtime.link.outbox import Outbox
box = Outbox(Path(sys.argv[1]))
for number in range(100000):
    box.add(f"event-{number}", b"x" * 200)
    print(number, box.next_sequence(), flush=True)
"""


def test_an_event_waits_until_it_is_acknowledged(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.sqlite")
    box.add("a", b"1")
    box.add("b", b"2")
    box.add("a", b"told again")
    assert box.waiting(10) == [Entry("a", b"1"), Entry("b", b"2")]
    assert box.waiting(1) == [Entry("a", b"1")]
    box.close()
    again = Outbox(tmp_path / "outbox.sqlite")
    again.acknowledge("a")
    again.acknowledge("a")
    assert again.waiting(10) == [Entry("b", b"2")]
    again.close()


def test_what_was_added_before_a_kill_is_there(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(20)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
    told = [line.split() for line in lines if line.endswith("\n")]
    box = Outbox(path)
    kept = {entry.id for entry in box.waiting(10**6)}
    assert {f"event-{number}" for number, _ in told} <= kept
    assert box.next_sequence() > max(int(sequence) for _, sequence in told)
    box.close()


def test_the_sequence_rises_over_a_lost_file(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.sqlite", first_sequence=1000)
    assert [box.next_sequence() for _ in range(3)] == [1001, 1002, 1003]
    box.close()
    same = Outbox(tmp_path / "outbox.sqlite", first_sequence=5000)
    assert same.next_sequence() == 1004
    same.close()
    (tmp_path / "outbox.sqlite").unlink()
    anew = Outbox(tmp_path / "outbox.sqlite", first_sequence=5000)
    assert anew.next_sequence() == 5001
    anew.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"no database at all" * 100)
    box = Outbox(path, first_sequence=7)
    box.add("a", b"1")
    assert box.waiting(1) == [Entry("a", b"1")]
    assert path.with_suffix(".damaged").exists()
    box.close()


def test_a_device_that_is_away_for_years_keeps_the_newest(tmp_path: Path) -> None:
    before, module.MAX_EVENTS = module.MAX_EVENTS, 5
    try:
        box = Outbox(tmp_path / "outbox.sqlite")
        for number in range(12):
            box.add(str(number), b"")
    finally:
        module.MAX_EVENTS = before
    assert [entry.id for entry in box.waiting(100)] == ["7", "8", "9", "10", "11"]
    box.close()
