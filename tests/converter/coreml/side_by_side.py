"""Runs an ONNX model in onnxruntime and its Core ML package in the evaluator on the same inputs."""

from pathlib import Path

import numpy as np
import onnx
from edgewright_converter.emit.coreml import write_coreml
from edgewright_converter.measure.mil_evaluator import MilSession, open_package

from tests.converter.tflite.side_by_side import Arrays, random_inputs, run_onnx

# Another order of the same float32 sums: under 1e-5 of the largest value (100 dB), while a
# misplaced element differs by about 1.
FP32_TOLERANCE = 1e-5
# Half precision keeps 11 bits of each value (66 dB); issue 3 asks for 40 dB of a whole model.
FP16_SNR_DB = 40.0


def open_written(data: bytes, folder: Path) -> MilSession:
    """The evaluator for a zipped package."""
    path = folder / "model.mlpackage.zip"
    path.write_bytes(data)
    return open_package(path)


def evaluated(model: onnx.ModelProto, inputs: Arrays, folder: Path, *, fp16: bool) -> Arrays:
    """The model's outputs by way of a Core ML package."""
    return open_written(write_coreml(model, fp16=fp16), folder).run(inputs)


def snr_db(reference: np.ndarray, actual: np.ndarray) -> float:
    """Signal to noise; equal arrays give infinity."""
    wanted = reference.astype(np.float64)
    noise = np.square(actual - wanted).sum()
    return float("inf") if noise == 0 else float(10 * np.log10(np.square(wanted).sum() / noise))


def assert_agrees(model: onnx.ModelProto, folder: Path, *, fp16: bool) -> None:
    """One sample gives onnxruntime's outputs, with their names, types and shapes."""
    given = random_inputs(model, 1, seed=1)
    expected, actual = run_onnx(model, given), evaluated(model, given, folder, fp16=fp16)
    assert actual.keys() == expected.keys()
    for name, reference in expected.items():
        found = actual[name]
        assert (found.shape, found.dtype) == (reference.shape, reference.dtype), name
        size = max(1.0, float(np.abs(reference.astype(np.float64)).max()))
        if fp16:
            # Against values of unit size at least: a product of many small numbers is only noise.
            noise = np.square(found.astype(np.float64) - reference).mean() / size**2
            assert noise < 10 ** (-FP16_SNR_DB / 10), name
        else:
            np.testing.assert_allclose(
                found, reference, rtol=0, atol=FP32_TOLERANCE * size, err_msg=name
            )
