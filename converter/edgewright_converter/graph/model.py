"""The graph that writers read: nodes in order, the type of every value, and the values known
beforehand.

Dimensions that follow the dynamic batch are None; `sample` has the same shape at batch 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.errors import UnsupportedOperator

# Any: a constant's element type is data, not a matter of static typing.
Array = NDArray[Any]
Shape = tuple[int | None, ...]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a value; None is a dimension that follows the batch."""

    shape: Shape
    sample: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @staticmethod
    def static(shape: Sequence[int], dtype: np.dtype[np.generic]) -> TensorType:
        """The type of a value whose shape is known whole."""
        sizes = tuple(int(size) for size in shape)
        return TensorType(sizes, sizes, dtype)

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """How many elements it has at batch 1."""
        return prod(self.sample)

    @property
    def is_static(self) -> bool:
        """Whether no dimension follows the batch."""
        return None not in self.shape

    def permuted(self, order: Sequence[int]) -> TensorType:
        """With its dimensions in another order: the new axis i is the old axis order[i]."""
        return TensorType(
            tuple(self.shape[axis] for axis in order),
            tuple(self.sample[axis] for axis in order),
            self.dtype,
        )

    def sized(self, sizes: Mapping[int, int]) -> TensorType:
        """With the named axes of other (static) sizes."""
        return TensorType(
            tuple(sizes.get(axis, size) for axis, size in enumerate(self.shape)),
            tuple(sizes.get(axis, size) for axis, size in enumerate(self.sample)),
            self.dtype,
        )

    def inserted(self, axis: int, size: int = 1) -> TensorType:
        """With one more dimension of this size in front of `axis`."""
        return TensorType(
            (*self.shape[:axis], size, *self.shape[axis:]),
            (*self.sample[:axis], size, *self.sample[axis:]),
            self.dtype,
        )

    def without(self, axes: Sequence[int]) -> TensorType:
        """With these axes (not negative) left out."""
        kept = [axis for axis in range(self.rank) if axis not in axes]
        return self.permuted(kept)

    def flattened(self, axis: int) -> TensorType:
        """As a matrix: the axes before `axis` are rows, the others columns."""
        sizes, sample = [], []
        for part, concrete in (
            (self.shape[:axis], self.sample[:axis]),
            (self.shape[axis:], self.sample[axis:]),
        ):
            known = [size for size in part if size is not None]
            sizes.append(prod(known) if len(known) == len(part) else None)
            sample.append(prod(concrete))
        return TensorType(tuple(sizes), tuple(sample), self.dtype)

    def is_whole_row(self, flat: TensorType) -> bool:
        """Whether `flat` is this value with all axes but the first made one."""
        return self.rank >= 3 and flat.rank == 2 and flat.shape == self.flattened(1).shape

    def typed(self, dtype: np.dtype[np.generic]) -> TensorType:
        """With another element type."""
        return replace(self, dtype=dtype)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator call; `version` is the opset in which this form of the operator appeared."""

    name: str
    operator: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The first value that it really computes, which names it uniquely."""
        return next(name for name in self.outputs if name)

    def refusal(self, target: str, reason: str) -> UnsupportedOperator:
        """The error that says why a target cannot express this node."""
        return UnsupportedOperator(
            target=target, operator=self.operator, node=self.name, reason=reason
        )

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        assert isinstance(value, int)
        return value

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        value = self.attributes.get(name, default)
        assert isinstance(value, int | float)
        return float(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        assert isinstance(value, str)
        return value

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of integers; None where it is absent."""
        value = self.attributes.get(name)
        if value is None:
            return None
        assert isinstance(value, tuple)
        return tuple(int(element) for element in value)


@dataclass(frozen=True)
class Graph:
    """A model's nodes in topological order with everything known about their values.

    `constants` are values that hold for every batch size; `shape_vectors` are integer values of
    which some elements (None) follow the batch; `batch_dependent` names values that are computed
    from the batch size in another way.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, TensorType]
    constants: Mapping[str, Array]
    shape_vectors: Mapping[str, tuple[int | None, ...]]
    batch_dependent: frozenset[str]

    @cached_property
    def _uses(self) -> Counter[str]:
        counts = Counter(name for node in self.nodes for name in node.inputs if name)
        counts.update(self.outputs)
        return counts

    @cached_property
    def _consumers(self) -> dict[str, list[Node]]:
        consumers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                consumers.setdefault(name, []).append(node)
        return consumers

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs if name}

    def uses(self, name: str) -> int:
        """How often a value is consumed; being an output of the model is one use."""
        return self._uses[name]

    def consumers(self, name: str) -> list[Node]:
        """The nodes that read a value."""
        return self._consumers.get(name, [])

    def producer(self, name: str) -> Node | None:
        """The node that computes a value; None for inputs and constants."""
        return self._producers.get(name)
