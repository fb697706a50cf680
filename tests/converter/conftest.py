"""One conversion of a real model, shared by all tests that only read it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import Bundle, open_bundle
from edgewright_manifests.documents import decode

from tests.converter.command import Convert

MAIN = "import sys; from edgewright_manifests.cli import main; sys.exit(main())"
RUN_HERE = ("onnx", "openvino", "tflite")
FASHION = Path(__file__).resolve().parents[2] / "examples" / "fashion"


@dataclass(frozen=True, slots=True)
class Converted:
    """What one run of the command left behind."""

    out: Path
    stdout: str
    stderr: str

    @property
    def bundle(self) -> Bundle:
        return open_bundle(self.out)

    @property
    def report(self) -> Report:
        return decode(self.bundle.entries[0].read_layer("report.json"), Report, source="report")


def convert_fashion(folder: Path, *options: str, hash_seed: str) -> Converted:
    """Run the command in a process of its own, with its own home and scratch folder."""
    home, scratch = folder / "home", folder / "scratch"
    home.mkdir(parents=True)
    scratch.mkdir()
    command = [sys.executable, "-c", MAIN, "convert"]
    command += [str(FASHION / "models" / "v1.onnx"), "--out", str(folder / "v1.bundle"), *options]
    # The ones that this machine runs and times; the others have tests of their own.
    command += [word for name in RUN_HERE for word in ("--target", name)]
    command += ["--calibration", str(FASHION / "data" / "calibration.npz")]
    command += ["--evaluate", str(FASHION / "data" / "evaluation.npz"), "--no-cache"]
    done = subprocess.run(
        command,
        env=os.environ | {"HOME": str(home), "TMPDIR": str(scratch), "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Converted(folder / "v1.bundle", done.stdout, done.stderr)


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """v1 of the Fashion-MNIST models, for all targets, with the table."""
    return convert_fashion(tmp_path_factory.mktemp("first"), hash_seed="1")


@pytest.fixture(scope="session")
def converted_again(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """The same once more, with JSON, and one candidate after the other."""
    options = ("--json", "--jobs", "1")
    again = convert_fashion(tmp_path_factory.mktemp("second"), *options, hash_seed="2")
    json.loads(again.stdout)
    return again


@pytest.fixture
def convert(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Convert:
    """The command, with a bundle folder of its own."""
    return Convert(capsys, tmp_path / "out.bundle")
