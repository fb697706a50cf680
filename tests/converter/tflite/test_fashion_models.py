"""The example models, end to end: written, run, quantized with float inputs and outputs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.utils import qsv_utils
from edgewright_converter.emit.tflite import write_tflite
from numpy.typing import NDArray

from tests.converter.tflite.side_by_side import operators, run_onnx, run_tflite

FASHION = Path(__file__).parents[3] / "examples" / "fashion"
MODELS = sorted((FASHION / "models").glob("*.onnx"))


def _images(name: str, count: int) -> NDArray[np.float32]:
    with np.load(FASHION / "data" / name) as file:
        return np.asarray(file["image"][:count], np.float32)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_fashion_model_agrees_with_100_db(path: Path) -> None:
    model = onnx.load(path)
    data = write_tflite(model)
    images = {"image": _images("evaluation.npz", 64)}
    expected, actual = run_onnx(model, images)["logits"], run_tflite(data, images)["logits"]
    noise = np.square(actual - expected).sum() / np.square(expected).sum()
    assert noise < 1e-10
    assert "TRANSPOSE" not in operators(data)
    assert "RELU" not in operators(data)


# The calibrator keeps all tensors on purpose, and LiteRT warns that this takes memory.
@pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_fashion_model_quantizes_with_float_inputs_and_outputs(path: Path) -> None:
    """NO_QUANTIZE for INPUT and OUTPUT keeps them float: QUANTIZE and DEQUANTIZE stand inside."""
    data = write_tflite(onnx.load(path))
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
    )
    for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        recipe.add_quantization_config(
            regex=".*", operation_name=edge, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    calibrator = Calibrator(data, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    images = _images("calibration.npz", 32)
    samples = [{"image": image[np.newaxis]} for image in images]
    calibrator.calibrate({"serving_default": samples}, recipe)
    work = quantizer.Quantizer(bytearray(data), recipe.get_quantization_recipe())
    ranges = calibrator.get_model_qsvs()
    quantized = bytes(work.quantize(ranges, enable_progress_report=False).quantized_model)

    details = Interpreter(model_content=quantized)
    assert details.get_input_details()[0]["dtype"] == np.float32
    assert details.get_input_details()[0]["shape_signature"].tolist() == [-1, 1, 28, 28]
    assert details.get_output_details()[0]["dtype"] == np.float32
    assert operators(quantized).count("QUANTIZE") == 1
    assert operators(quantized).count("DEQUANTIZE") == 1
    held_out = {"image": _images("evaluation.npz", 200)}
    float_top = run_tflite(data, held_out)["logits"].argmax(axis=1)
    int8_top = run_tflite(quantized, held_out)["logits"].argmax(axis=1)
    # Fewer than one image in twenty may change sides; a mistake of scale or layout changes most.
    assert np.mean(float_top == int8_top) >= 0.95
