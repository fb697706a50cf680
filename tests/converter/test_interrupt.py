import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.converter.conftest import FASHION, MAIN
from tests.converter.hostile import running_with


@pytest.mark.parametrize(
    ("moment", "jobs"),
    [
        ("[1/5]", 1),
        ("[2/5]", 2),
        ("tflite: float", 2),
        ("tflite: ai-edge-quantizer", 1),
        ("tflite: ai-edge-quantizer dynamic", 2),
        ("latency of", 2),
    ],
)
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, moment: str, jobs: int) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", MAIN, "convert", str(FASHION / "models" / "v1.onnx")]
    command += ["--calibration", str(FASHION / "data" / "calibration.npz"), "--target", "tflite"]
    command += ["--out", str(tmp_path / "v1.bundle"), "--jobs", str(jobs)]
    command += ["--cache-dir", str(tmp_path / "cache")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(scratch)}
    ) as child:
        assert child.stderr is not None
        said = ""
        while moment not in said:
            said = child.stderr.readline()
            assert said, "it ended before that moment came"
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
    assert child.returncode == 130
    assert rest.splitlines()[-1] == "edgewright convert: interrupted"
    assert "Traceback" not in rest
    assert list(scratch.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"scratch", "cache"}
    assert list((tmp_path / "cache").rglob(".new-*")) == []
    deadline = time.monotonic() + 20
    while running_with(str(scratch)):
        assert time.monotonic() < deadline, "a child is still alive"
        time.sleep(0.05)
