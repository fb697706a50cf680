"""Trusted time: a lower bound that survives restarts and broken clocks."""

import datetime
import logging
from pathlib import Path

import pytest
from edgewright_runtime.update.clock import BUILT, TrustedClock

NOW = BUILT + datetime.timedelta(days=100)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def test_a_right_clock_is_believed(tmp_path: Path) -> None:
    clock = TrustedClock(tmp_path / "time.json", system=lambda: NOW)
    assert clock.now() == NOW
    assert not clock.is_behind()


def test_a_clock_that_starts_in_1970_is_told_of_and_the_noted_time_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    TrustedClock(tmp_path / "time.json", system=lambda: NOW).now()
    with caplog.at_level(logging.WARNING):
        clock = TrustedClock(tmp_path / "time.json", system=lambda: EPOCH)
    assert clock.is_behind()
    assert clock.now() == NOW
    assert "1970-01-01" in caplog.text
    assert NOW.date().isoformat() in caplog.text


def test_without_a_note_the_build_and_the_certificate_give_the_bound(tmp_path: Path) -> None:
    assert TrustedClock(tmp_path / "time.json", system=lambda: EPOCH).now() == BUILT
    signed = (BUILT + datetime.timedelta(days=3),)
    clock = TrustedClock(tmp_path / "time.json", signed=signed, system=lambda: EPOCH)
    assert clock.now() == signed[0]


def test_it_never_goes_backwards(tmp_path: Path) -> None:
    times = iter([NOW, NOW, NOW - datetime.timedelta(days=1), NOW])
    clock = TrustedClock(tmp_path / "time.json", system=lambda: next(times))
    assert [clock.now() for _ in range(3)] == [NOW] * 3


def test_a_damaged_note_is_no_time(tmp_path: Path) -> None:
    (tmp_path / "time.json").write_text("{")
    assert TrustedClock(tmp_path / "time.json", system=lambda: NOW).now() == NOW
