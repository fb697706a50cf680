"""How much two releases' answers to the same request differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgewright_runtime.engine.elements import numbers
from edgewright_runtime.engine.raw_tensor import RawTensor


@dataclass(slots=True)
class Disagreement:
    """Sums over all compared requests; on one thread only."""

    compared: int = 0
    same_top1: int = 0
    """Requests whose outputs all have their largest elements in the same places."""
    largest_error: float = 0.0
    """Of any element."""
    signal: float = 0.0
    """Sum of squares of the serving release's elements."""
    noise: float = 0.0
    """Sum of squares of the differences."""
    misfits: int = 0
    """Requests that the other failed, or answered with other shapes or with no number."""

    @property
    def top1_agreement(self) -> float | None:
        """Share of the compared requests; None before the first."""
        return self.same_top1 / self.compared if self.compared else None

    @property
    def snr_db(self) -> float | None:
        """Signal to noise ratio over all elements; None while nothing differed."""
        if self.noise <= 0 or self.signal <= 0:
            return None
        return 10 * math.log10(self.signal / self.noise)

    def add(self, mine: Mapping[str, RawTensor], its: Mapping[str, RawTensor]) -> None:
        """Compare one request's outputs."""
        same, largest, signal, noise = True, 0.0, 0.0, 0.0
        for name, tensor in mine.items():
            other = its.get(name)
            if other is None or other.shape != tensor.shape or other.datatype != tensor.datatype:
                self.misfits += 1
                return
            if tensor.elements is not None:
                same = same and tensor.elements == other.elements
                continue
            ours, theirs = numbers(tensor), numbers(other)
            width = tensor.shape[-1] if tensor.shape else 1
            same = same and _tops(ours, width) == _tops(theirs, width)
            for a, b in zip(ours, theirs, strict=True):
                difference = abs(a - b)
                largest = max(largest, difference)
                signal += a * a
                noise += difference * difference
        if not math.isfinite(signal) or not math.isfinite(noise):
            self.misfits += 1
            return
        self.compared += 1
        self.same_top1 += same
        self.largest_error = max(self.largest_error, largest)
        self.signal += signal
        self.noise += noise


def _tops(values: list[float], width: int) -> list[int]:
    """Where each row along the last axis has its largest element."""
    if width < 2:
        return []
    rows = (values[start : start + width] for start in range(0, len(values), width))
    return [row.index(max(row)) for row in rows]
