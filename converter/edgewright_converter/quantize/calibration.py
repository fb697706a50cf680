"""Hands calibration samples to a library and knows afterwards which ones it really read."""

from collections.abc import Iterator

from edgewright_converter.errors import ConverterError
from edgewright_converter.samples import Samples, Tensor


class CalibrationFeed:
    """The samples as a sequence of `{input name: array [1, ...]}` that counts what is read.

    A library that quietly uses less than it was given (a default subset, a wrong signature
    key) gives plausible and wrong ranges; `require_consumed` turns that into an error.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._read: set[int] = set()

    def __len__(self) -> int:
        return self._samples.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        self._read.add(index)
        return self._samples.sample(index)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[index] for index in range(len(self)))

    @property
    def untouched(self) -> bool:
        """Whether nobody looked at any sample."""
        return not self._read

    def require_consumed(self, recipe: str) -> None:
        """Raise ConverterError unless every sample was read."""
        if len(self._read) != len(self):
            raise ConverterError(
                f"{recipe}: read {len(self._read)} of {len(self)} calibration samples, so its "
                "ranges cannot be trusted; report this with the library's version"
            )
