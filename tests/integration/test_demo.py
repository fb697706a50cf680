"""`make demo` does what it says, on real input, by the public commands alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import running

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def transcript(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo") / "run"
    result = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--run-folder", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-3000:]
    assert running(str(folder)) == [], "the demo left a process running"
    return result.stdout


pytestmark = pytest.mark.timeout(600)


def test_no_request_fails_from_the_first_release_to_the_last_rollback(transcript: str) -> None:
    (total,) = re.findall(r"^ *in all +(\d+) +(\d+) ", transcript, re.MULTILINE)
    assert int(total[0]) > 1000
    assert int(total[1]) == 0


def test_all_three_targets_are_quantized_and_served(transcript: str) -> None:
    for target in ("onnx", "openvino", "tflite"):
        assert re.search(rf"^{target} +int8 ", transcript, re.MULTILINE), target
        assert f"{target}-int8" in transcript


def test_the_canary_refuses_the_release_that_breaks_its_promise(transcript: str) -> None:
    assert re.search(r"fashion@3: halted; \S+ refused it in preflight: .*accuracy", transcript)


def test_the_canary_takes_back_the_release_that_is_too_slow(transcript: str) -> None:
    assert re.search(r"fashion@4: halted; \S+ took it back in probation: median", transcript)


def test_the_better_release_reaches_every_device(transcript: str) -> None:
    assert "fashion@2: complete; 3 of 3 devices committed" in transcript


def test_the_audit_log_is_intact(transcript: str) -> None:
    assert re.search(r"^intact: \d+ records", transcript, re.MULTILINE)
