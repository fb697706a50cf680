import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.converter.conftest import FASHION, MAIN


def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", MAIN, "convert", str(FASHION / "models" / "v1.onnx")]
    command += ["--calibration", str(FASHION / "data" / "calibration.npz")]
    command += ["--out", str(tmp_path / "v1.bundle")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(scratch)}
    ) as child:
        assert child.stderr is not None
        said = ""
        while "onnx: onnxruntime" not in said:
            said = child.stderr.readline()
            assert said, "it ended before it quantized anything"
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
    assert child.returncode == 130
    assert rest.splitlines()[-1] == "edgewright convert: interrupted"
    assert "Traceback" not in rest
    assert list(scratch.iterdir()) == []
    assert list(tmp_path.iterdir()) == [scratch]
