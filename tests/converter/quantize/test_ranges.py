"""Ranges against their definitions, on distributions whose answer is known."""

from collections.abc import Mapping

import numpy as np
import pytest
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.probes import Layer
from edgewright_converter.quantize.ranges import Method, collect_ranges
from edgewright_converter.samples import Samples, Tensor


class Passing:
    """A model of one layer that passes its input on."""

    layers: tuple[Layer, ...] = ()

    def read(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"x": sample["x"]}


def ranges_of(
    values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", method: Method
) -> tuple[float, float]:
    feed = CalibrationFeed(Samples({"x": values}, None, "here"))
    found = collect_ranges(Passing(), feed, method)["x"]
    feed.require_consumed(method)
    return found


@pytest.fixture
def outliers() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """A bell of width 1, and one value in a hundred thousand at 50."""
    values = np.random.default_rng(1).standard_normal((20, 5000)).astype(np.float32)
    values[7, 11] = 50
    return values


def test_minmax_keeps_the_one_outlier(
    outliers: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    low, high = ranges_of(outliers, "minmax")
    assert (low, high) == (outliers.min(), 50)


def test_a_moving_average_takes_a_tenth_of_it(
    outliers: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    _, high = ranges_of(outliers, "moving average")
    tops = outliers.max(axis=1)
    wanted = float(tops[0])
    for top in tops[1:]:
        wanted = 0.9 * wanted + 0.1 * float(top)
    assert high == pytest.approx(wanted)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_the_clipping_methods_drop_it(
    method: Method, outliers: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"
) -> None:
    low, high = ranges_of(outliers, method)
    assert low >= outliers.min() - 0.1
    assert 2 < high < 48


def test_mse_is_the_least_square_error_of_all_shares(
    outliers: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        levels = np.clip(np.rint((outliers - low) / step), 0, 255) * step + low
        return float(np.mean((levels - outliers) ** 2))

    found = error(*ranges_of(outliers, "mse"))
    assert found < error(float(outliers.min()), 50.0)
    # Within 10 % of the best of a finer search: the histogram has 2048 bins.
    best = min(error(float(outliers.min()), high) for high in np.linspace(15, 50, 141))
    assert found < 1.1 * best


def test_a_constant_tensor_keeps_its_value() -> None:
    assert ranges_of(np.full((3, 4), 2.5, np.float32), "mse") == (2.5, 2.5)


@pytest.mark.parametrize("shape", ["normal", "laplace"])
def test_entropy_finds_the_threshold_that_onnxruntimes_own_calibrator_finds(shape: str) -> None:
    """On both signs alike, 255 levels of theirs as of ours; ours tries every fiftieth threshold."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    draw = np.random.default_rng(1)
    values = getattr(draw, shape)(size=(20, 5000)).astype(np.float32)
    collector = HistogramCollector(
        method="entropy", symmetric=True, num_bins=2049, num_quantized_bins=255,
        percentile=99.99, scenario="same",
    )  # fmt: skip  # how, then what it does not use
    collector.collect({"x": list(values)})
    theirs = collector.compute_collection_result()["x"]
    low, high = ranges_of(values, "entropy")
    step = 0.02 * float(np.abs(values).max())
    assert low == pytest.approx(float(theirs[0]), abs=step)
    assert high == pytest.approx(float(theirs[1]), abs=step)


def test_entropy_is_not_misled_by_the_zeros_of_a_relu() -> None:
    """Half of the values are 0: spread over one level they made the shortest range the best one,
    and EfficientNet-Lite0 with it answered 15 % right.
    """
    values = np.maximum(np.random.default_rng(1).standard_normal((20, 5000)), 0)
    low, high = ranges_of(values.astype(np.float32), "entropy")
    assert low == 0
    assert float(np.mean(values > high)) < 1e-3
