"""Integer models: within one step of LiteRT, and weights that are packed are unpacked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_quantizer import recipe
from ai_edge_quantizer.quantizer import Quantizer
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.frontend.tflite import computes_in_integers
from edgewright_manifests.golden import snr_db

from tests.converter.doors_tflite.networks import small_network
from tests.converter.doors_tflite.one_operator import (
    Array,
    Single,
    options,
    read,
    run_litert,
    run_read,
)


def _pictures(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 3, 12, 12)).astype(np.float32)


def _quantized(chosen: object) -> bytes:
    quantizer = Quantizer(write_tflite(small_network()), chosen)
    ranges = None
    if quantizer.need_calibration:
        pictures = [{"image": row[None]} for row in _pictures(32, seed=5)]
        ranges = quantizer.calibrate({"serving_default": pictures})
    made = quantizer.quantize(ranges).quantized_model
    assert made is not None
    return bytes(made)


@pytest.mark.filterwarnings("ignore:Warning. Enabling .experimental_preserve_all:UserWarning")
def test_an_integer_model_answers_within_a_step_of_its_scale() -> None:
    data = _quantized(recipe.static_wi8_ai8())
    model = read(data)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") >= 6
    expected, actual = [], []
    for row in _pictures(40):
        stored = np.clip(np.round(row[None] * 30), -128, 127).astype(np.int8)
        expected.append(run_litert(data, [stored])[0])
        actual.append(run_read(model, [stored])[0])
    want, got = np.concatenate(expected).astype(int), np.concatenate(actual).astype(int)
    assert np.ptp(want) > 50
    assert np.abs(got - want).max() <= 1
    assert np.mean(got == want) > 0.7


@pytest.mark.parametrize("chosen", [recipe.weight_only_wi8_afp32, recipe.weight_only_wi4_afp32])
def test_packed_weights_become_plain_constants(chosen: Callable[[], object]) -> None:
    data = _quantized(chosen())
    model = read(data)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {n.op_type for n in model.graph.node}
    row = _pictures(1)
    expected, actual = run_litert(data, [row])[0], run_read(model, [row])[0]
    assert snr_db({"y": expected}, {"y": actual}) > 100


def test_weights_that_litert_quantizes_inputs_for_are_read_as_real_numbers() -> None:
    """LiteRT rounds the inputs to 8 bits while it runs; here they are not rounded."""
    data = _quantized(recipe.dynamic_wi8_afp32())
    row = _pictures(1)
    expected, actual = run_litert(data, [row])[0], run_read(read(data), [row])[0]
    assert snr_db({"y": expected}, {"y": actual}) > 25


@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", 3), ("uint8", 130), ("int16", 0)])
def test_quantizing_and_back_rounds_as_litert_does(dtype: str, zero_point: int) -> None:
    x = np.linspace(-4, 4, 101, dtype=np.float32)[None]
    scale = {"y0": (0.05 if dtype != "int16" else 1e-4, zero_point)}
    single = Single("QUANTIZE", ["x"], {"x": x}, [((1, 101), dtype)], quantization=scale)
    expected, actual = run_litert(single.pack(), [x])[0], run_read(read(single.pack()), [x])[0]
    assert actual.dtype == expected.dtype
    # Halves go to even in ONNX and away from zero in LiteRT.
    assert np.abs(actual.astype(np.int64) - expected).max() <= 1
    assert np.mean(actual == expected) > 0.9


def test_a_sum_of_integers_keeps_to_its_scales() -> None:
    random = np.random.default_rng(3)
    x, y = (random.integers(-128, 128, (4, 6)).astype(np.int8) for _ in range(2))
    scales = {"x": (0.02, 3), "y": (0.05, -7), "y0": (0.06, 1)}
    single = Single("ADD", ["x", "y"], {"x": x, "y": y}, [((4, 6), "int8")], options("Add"),
                    version=2, quantization=scales)  # fmt: skip  # one call
    expected = run_litert(single.pack(), [x, y])[0].astype(int)
    actual = run_read(read(single.pack()), [x, y])[0].astype(int)
    assert np.abs(actual - expected).max() <= 1


@pytest.mark.filterwarnings("ignore:Warning. Enabling .experimental_preserve_all:UserWarning")
@pytest.mark.parametrize(
    ("chosen", "rounds"),
    [
        (recipe.static_wi8_ai8, True),
        (recipe.dynamic_wi8_afp32, True),
        (recipe.weight_only_wi8_afp32, False),
    ],
)
def test_it_is_known_whether_litert_rounds_on_the_way(
    chosen: Callable[[], object], rounds: bool
) -> None:
    assert computes_in_integers(_quantized(chosen()), Path("model.tflite")) is rounds
