"""What a person sees while a conversion runs, in a pipe and on a terminal."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from edgewright_converter.progress import Progress
from edgewright_converter.time_left import TimeLeft

from tests.converter.conftest import MAIN
from tests.converter.networks import classifier


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_there_is_no_estimate_before_anything_has_ended() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    left.expect(["a: 1", "a: 2", "b: 1"], together=1)
    left.began("a: 1")
    clock.now = 10.0
    assert left.seconds() is None
    assert left.told() == "0 of 3 done"


def test_jobs_of_a_target_are_expected_to_take_what_its_others_took() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    left.expect(["a: 1", "b: 1", "a: 2", "b: 2", "b: 3"], together=1)
    for name, moment in (("a: 1", 10.0), ("b: 1", 12.0)):
        left.began(name)
        clock.now = moment
        left.ended(name)
    assert left.seconds() == 10 + 2 + 2
    assert left.told() == "2 of 5 done, about 15 s left"
    left.began("a: 2")
    clock.now += 7
    assert left.seconds() == 3 + 2 + 2


def test_two_at_a_time_take_half_but_never_less_than_the_longest() -> None:
    clock = Clock()
    left = TimeLeft(clock)
    left.expect(["a: 1"], together=2)
    left.began("a: 1")
    clock.now = 8.0
    left.ended("a: 1")
    left.expect(["a: 2", "a: 3", "a: 4", "a: 5"], together=2)
    assert left.seconds() == 16
    left.expect(["a: 6"], together=2)
    assert left.seconds() == 8


def test_a_pipe_gets_whole_lines_only() -> None:
    stream = io.StringIO()
    progress = Progress(2, stream)
    progress.stage("reading")
    progress.expect(["onnx: float", "tflite: float"], together=2)
    progress.told("onnx: float", "")
    progress.tick()
    progress.ended("onnx: float")
    progress.told("tflite: float", "")
    progress.reused("openvino: float")
    lines = stream.getvalue().splitlines()
    assert [re.sub(r"^ *[\d.]+ s ", "", line) for line in lines] == [
        "[1/2] reading",
        "      onnx: float (0 of 2 done)",
        "      tflite: float (1 of 2 done, about 1 s left)",
        "      openvino: float (from the cache)",
    ]
    assert "\r" not in stream.getvalue()


def test_a_terminal_gets_one_line_that_lives_and_is_gone_at_the_end(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", MAIN, "convert", str(classifier(tmp_path / "m.onnx"))]
    command += ["--target", "onnx", "--out", str(tmp_path / "m.bundle"), "--no-cache"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as conversion:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65_536):
                said += piece
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(ours)
    assert conversion.returncode == 0
    text = said.decode()
    assert re.search(r"\r\x1b\[K *[\d.]+ s \[2/5\] the float model", text)
    # Whatever lived is wiped: after the last wipe there is nothing.
    assert text.rpartition("\r\x1b[K")[2].strip() == ""
    assert "[5/5] writing" in text
