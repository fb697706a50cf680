"""Real inputs of a model: to calibrate with, to measure on, to become golden vectors."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from edgewright_manifests.digest import Digest
from edgewright_manifests.signature import DYNAMIC
from edgewright_manifests.tensors import Array as Tensor
from numpy.typing import NDArray

__all__ = ["Labels", "Samples", "Slices", "Tensor", "Tensors", "shape_words"]

Tensors = Mapping[str, Tensor]
Labels = NDArray[np.int64]
Slices = Mapping[str, NDArray[np.str_]]
"""By facet (`slices`, or the name after `slice.`): which group each sample is in, [count]."""


def shape_words(shape: Sequence[int]) -> str:
    """Sizes as people read them: `[any, 3, 224, 224]`."""
    return "[" + ", ".join("any" if size == DYNAMIC else str(size) for size in shape) + "]"


@dataclass(frozen=True, slots=True)
class Samples:
    """`count` samples: per model input an array [count, ...] of the input's own dtype.

    Sample i is `x[i:i+1]`, a batch of one. `labels` is int64 [count], the index of the right
    class, or None. `origin` says in a few words where they came from; `digest` is over the
    values, so equal samples have equal digests wherever they were stored.
    """

    inputs: Tensors
    labels: Labels | None
    origin: str
    truth: Tensor | None = None
    """[count, ...]: what is right, in the form of the metric that asks for it."""
    slices: Slices = field(default_factory=dict)
    raw: Tensors = field(default_factory=dict)
    """By input name [count, ...]: the samples before the recorded pre-processing."""

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.inputs.values())))

    @property
    def digest(self) -> Digest:
        """Over names, dtypes, shapes and values of everything, labels included."""
        whole = hashlib.sha256()
        arrays: dict[str, Tensor] = dict(self.inputs)
        if self.labels is not None:
            arrays["labels"] = self.labels
        if self.truth is not None:
            arrays["truth"] = self.truth
        arrays |= {f"slice.{facet}": words for facet, words in self.slices.items()}
        arrays |= {f"raw.{name}": value for name, value in self.raw.items()}
        for name in sorted(arrays):
            value = np.ascontiguousarray(arrays[name])
            whole.update(f"{name}:{value.dtype.str}:{value.shape}\n".encode())
            whole.update(value.tobytes())
        return "sha256:" + whole.hexdigest()

    def sample(self, index: int) -> dict[str, Tensor]:
        """Sample `index` as a batch of one."""
        return {name: value[index : index + 1] for name, value in self.inputs.items()}

    def take(self, indices: Sequence[int], origin: str) -> "Samples":
        """These samples, in this order."""
        rows = np.asarray(indices, dtype=np.intp)
        return Samples(
            {name: value[rows] for name, value in self.inputs.items()},
            None if self.labels is None else self.labels[rows],
            origin,
            None if self.truth is None else self.truth[rows],
            {facet: words[rows] for facet, words in self.slices.items()},
            {name: value[rows] for name, value in self.raw.items()},
        )

    def row_digests(self) -> list[bytes]:
        """One digest a sample, over its inputs: equal samples have equal digests."""
        return [
            hashlib.sha256(
                b"".join(value[i].tobytes() for _, value in sorted(self.inputs.items()))
            ).digest()
            for i in range(self.count)
        ]

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self.sample(index) for index in range(self.count))
