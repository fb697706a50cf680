"""Going from ONNX needs no framework: none is imported, not even where one is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.converter.conftest import MAIN
from tests.converter.networks import classifier, images, save_samples

FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "tf2onnx", "jax2onnx")


@pytest.mark.parametrize(
    ("targets", "precision"),
    [
        (("onnx", "openvino", "tflite", "tensorrt"), "float"),
        # NNCF looks for frameworks; eight recipes take half a minute on a busy machine.
        pytest.param(("openvino",), "auto", marks=pytest.mark.long),
    ],
)
def test_onnx_becomes_a_bundle_where_no_framework_can_be_imported(
    tmp_path: Path, targets: tuple[str, ...], precision: str
) -> None:
    traps = tmp_path / "traps"
    traps.mkdir()
    for name in FRAMEWORKS:
        (traps / f"{name}.py").write_text(f"raise ImportError({name!r})\n")
    model = classifier(tmp_path / "m.onnx")
    samples = save_samples(tmp_path / "s.npz", x=images(16))
    command = [sys.executable, "-c", MAIN, "convert", str(model), "--calibration", str(samples)]
    command += ["--out", str(tmp_path / "m.bundle")]
    command += ["--precision", precision]
    command += [word for name in targets for word in ("--target", name)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(traps), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.bundle" / "oci-layout").is_file()
    # A library that looks for a framework finds the trap and goes on without; a real import of
    # one of them in our own code would have ended the conversion.
    assert "Traceback" not in done.stderr
