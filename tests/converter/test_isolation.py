"""What a hostile model does to its child ends as one line of ours; nothing else notices."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.converter.command import Convert
from tests.converter.conftest import MAIN
from tests.converter.hostile import endless, huge, running_with
from tests.converter.networks import classifier


def test_a_model_that_never_answers_is_ended(convert: Convert, tmp_path: Path) -> None:
    line = convert.must_refuse(endless(tmp_path / "m.onnx"), "--step-limit", "2")
    assert "it gave no sign of life for 2 s and was ended" in line
    assert "--step-limit" in line


@pytest.mark.parametrize("elements", [2**28, 2**40, 2**60])
def test_a_model_that_wants_all_memory_gets_none(
    convert: Convert, tmp_path: Path, elements: int
) -> None:
    model = huge(tmp_path / "m.onnx", elements)
    line = convert.must_refuse(model, "--memory-limit", "600M", "--target", "onnx")
    assert "m.onnx" in line


@contextmanager
def stuck(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A conversion that waits for a child which never answers, and its scratch folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", MAIN, "convert", str(endless(tmp_path / "m.onnx"))]
    command += ["--out", str(tmp_path / "m.bundle"), "--no-cache"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(scratch)}
    ) as conversion:
        try:
            deadline = time.monotonic() + 60
            while not workers(scratch):
                assert time.monotonic() < deadline, "no child came up"
                time.sleep(0.05)
            yield conversion, scratch
        finally:
            conversion.kill()


def workers(scratch: Path) -> list[int]:
    """Those that have computed for half a second, each in a process group of its own."""
    found = []
    for pid in running_with(str(scratch)):
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        group, session, ticks = int(told[2]), int(told[3]), int(told[11])
        if pid == group != session and ticks > os.sysconf("SC_CLK_TCK") // 2:
            found.append(pid)
    return found


def test_a_child_that_crashes_is_told_by_its_signal(tmp_path: Path) -> None:
    with stuck(tmp_path) as (conversion, scratch):
        os.kill(workers(scratch)[0], signal.SIGSEGV)
        _, errors = conversion.communicate(timeout=60)
    assert conversion.returncode == 1
    assert "m.onnx: reading it failed: it crashed (SIGSEGV)" in errors.splitlines()[-1]
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "m.bundle").exists()


def test_a_conversion_that_is_killed_takes_its_children_along(tmp_path: Path) -> None:
    with stuck(tmp_path) as (conversion, scratch):
        conversion.kill()
        conversion.wait()
        must_vanish(scratch)


def test_a_conversion_that_is_interrupted_takes_its_children_along(tmp_path: Path) -> None:
    with stuck(tmp_path) as (conversion, scratch):
        conversion.send_signal(signal.SIGTERM)
        _, errors = conversion.communicate(timeout=60)
        assert conversion.returncode == 130
        assert errors.splitlines()[-1] == "edgewright convert: interrupted"
        must_vanish(scratch)
        assert list(scratch.iterdir()) == []


def must_vanish(scratch: Path) -> None:
    deadline = time.monotonic() + 20
    while running_with(str(scratch)):
        assert time.monotonic() < deadline, running_with(str(scratch))
        time.sleep(0.05)


def test_no_code_is_taken_from_the_folder_that_a_person_stands_in(tmp_path: Path) -> None:
    model = classifier(tmp_path / "m.onnx")
    for name in ("onnx", "numpy", "json", "onnxsim", "edgewright_converter"):
        (tmp_path / f"{name}.py").write_text("open('stolen', 'w').close()\nraise SystemExit(9)\n")
    command = [sys.executable, "-P", "-c", MAIN, "convert", model.name, "--target", "onnx"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--jobs", "0"], "--jobs 0: expected 1 to 256"),
        (["--memory-limit", "much"], "--memory-limit much: expected a size such as 800M or 3G"),
        (["--memory-limit", "1M"], "expected 256M or more"),
        (["--step-limit", "0"], "expected more than 0 seconds"),
        (["--no-cache", "--cache-dir", "x"], "--no-cache and --cache-dir: give one of them"),
        (["--cache-size", "-1"], "expected"),
    ],
)
def test_means_that_make_no_sense_are_wrong_usage(
    convert: Convert, tmp_path: Path, options: list[str], told: str
) -> None:
    outcome = convert(tmp_path / "m.onnx", *options)
    assert outcome.status == 2
    assert any(told in line for line in outcome.errors) or options[1] == "-1"
