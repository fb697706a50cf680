"""Ranges of activations from calibration samples, one sample in memory at a time.

Two passes: extremes first, then a histogram between them, from which the clipping methods
choose. The libraries' own calibrators hold every activation of every sample at once.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.probes.layer import Probe
from edgewright_converter.samples import Tensor

Method = Literal["minmax", "moving average", "percentile", "entropy", "mse"]
Floats = NDArray[np.float64]
Ranges = Mapping[str, tuple[float, float]]

_BINS = 2048
_MOST_VALUES = 16_384
"""Per tensor and sample for the histogram, evenly spaced; the extremes are of all values."""
_PERCENTILE = 99.99
"""Keeps all but one value in ten thousand; 99.999 is min-max on small sets."""
_MEMORY = 0.9
"""Of the moving average; ai-edge-quantizer's default is 0.95, which forgets 14 samples ago."""
_SHARES = tuple(1 - 0.02 * step for step in range(45))
"""Parts of the full range that MSE and entropy try."""
_STEPS = 255
_LEAST_WIDTH = 1e-30


@dataclass(slots=True)
class _Seen:
    low: float = math.inf
    high: float = -math.inf
    mean_low: float = math.nan
    mean_high: float = math.nan

    def add(self, value: Tensor) -> None:
        low, high = float(value.min()), float(value.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        first = math.isnan(self.mean_low)
        self.mean_low = low if first else _MEMORY * self.mean_low + (1 - _MEMORY) * low
        self.mean_high = high if first else _MEMORY * self.mean_high + (1 - _MEMORY) * high


def collect_ranges(
    probe: Probe, feed: CalibrationFeed, method: Method
) -> dict[str, tuple[float, float]]:
    """Lowest and highest value per FP32 tensor that quantization should keep.

    `entropy` is TensorRT's (Migacz, GTC 2017: least Kullback-Leibler divergence), with one
    threshold for both signs; `mse` has the least expected square error of 255 equal steps, each
    end by itself; `percentile` drops one value in 10,000, half of them at each end.
    """
    seen: dict[str, _Seen] = {}
    for sample in feed:
        for name, value in probe.read(sample).items():
            if value.size:
                seen.setdefault(name, _Seen()).add(value)
    if method == "minmax":
        return {name: (s.low, s.high) for name, s in seen.items()}
    if method == "moving average":
        return {name: (s.mean_low, s.mean_high) for name, s in seen.items()}
    counts = {name: np.zeros(_BINS, np.int64) for name in seen}
    for sample in feed:
        for name, value in probe.read(sample).items():
            if value.size:
                counts[name] += _histogram(value, seen[name])
    clip = _CLIPS[method]
    ranges = {}
    for name, s in seen.items():
        low, high = (s.low, s.high) if s.low == s.high else clip(counts[name], s.low, s.high)
        ranges[name] = (float(low), float(high))
    return ranges


def _histogram(value: Tensor, seen: _Seen) -> NDArray[np.int64]:
    flat = value.reshape(-1)
    # A stride without small factors: an even one would see every second channel only.
    stride = max(1, flat.size // _MOST_VALUES) | 1
    scale = _BINS / max(seen.high - seen.low, _LEAST_WIDTH)
    place = ((flat[::stride].astype(np.float64) - seen.low) * scale).astype(np.int64)
    return np.bincount(np.clip(place, 0, _BINS - 1), minlength=_BINS)


def _by_percentile(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    reached = np.cumsum(counts) / counts.sum()
    tail = (1 - _PERCENTILE / 100) / 2
    first = int(np.searchsorted(reached, tail, side="right"))
    last = int(np.searchsorted(reached, 1 - tail))
    width = (high - low) / _BINS
    return low + first * width, min(high, low + (last + 1) * width)


def _centers(low: float, high: float) -> Floats:
    return np.asarray(low + (np.arange(_BINS) + 0.5) * ((high - low) / _BINS), np.float64)


def _by_mse(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    centers = _centers(low, high)
    best = (low, high)
    for _ in range(2):  # One end, the other, and again: each depends on the step of both.
        for end in (0, 1):
            tried = [
                (best[0] * share, best[1]) if end == 0 else (best[0], best[1] * share)
                for share in _SHARES
            ]
            best = min(tried, key=lambda ends: _square_error(counts, centers, ends))
    return best


def _square_error(counts: NDArray[np.int64], centers: Floats, ends: tuple[float, float]) -> float:
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    rounding = ((high - low) / _STEPS) ** 2 / 12
    outside = np.maximum(low - centers, 0) + np.maximum(centers - high, 0)
    return float(np.sum(counts * np.where(outside > 0, outside**2, rounding)))


def _by_entropy(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    centers = _centers(low, high)
    smooth = _without_zeros(counts, centers)
    widest = max(abs(low), abs(high))
    return min(
        ((max(low, -widest * share), min(high, widest * share)) for share in _SHARES),
        key=lambda ends: _divergence(smooth, centers, ends),
    )


def _without_zeros(counts: NDArray[np.int64], centers: Floats) -> NDArray[np.int64]:
    """Zero's bin no higher than those beside it, as in NVIDIA's pytorch-quantization.

    Zero is always a level of its own. Spread over the bins of one level, the half of a ReLU's
    output that is zero would make every range look bad but the shortest.
    """
    zero = int(np.abs(centers).argmin())
    beside = max(counts[max(0, zero - 1) : zero].sum(), counts[zero + 1 : zero + 2].sum())
    smooth = counts.copy()
    smooth[zero] = min(counts[zero], beside)
    return smooth


def _divergence(counts: NDArray[np.int64], centers: Floats, ends: tuple[float, float]) -> float:
    """Of the distribution from what 255 levels between `ends` leave of it."""
    inside = (centers >= ends[0]) & (centers <= ends[1])
    if inside.sum() < _STEPS:
        return math.inf
    kept = counts[inside].astype(np.float64)
    clipped = kept.copy()  # What lies outside counts at the ends, as saturation puts it there.
    first = int(np.argmax(inside))
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[first + len(kept) :].sum()
    edges = np.linspace(0, len(kept), _STEPS + 1).astype(np.int64)[:-1]
    filled = np.maximum(np.add.reduceat((clipped > 0).astype(np.float64), edges), 1)
    sizes = np.diff([*edges, len(kept)])
    rough = np.repeat(np.add.reduceat(kept, edges) / filled, sizes) * (clipped > 0)
    p, q = clipped / max(clipped.sum(), 1.0), rough / max(rough.sum(), 1.0)
    both = (p > 0) & (q > 0)
    lost = p[(p > 0) & (q == 0)].sum()
    # A bin that has no level left costs as if it were a millionth.
    return float(np.sum(p[both] * np.log(p[both] / q[both])) + lost * math.log(1e6))


_CLIPS: Mapping[Method, Callable[[NDArray[np.int64], float, float], tuple[float, float]]] = {
    "percentile": _by_percentile,
    "mse": _by_mse,
    "entropy": _by_entropy,
}
