"""What an operator file sees while its node is written: inputs as MIL values, and where results
go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from edgewright_converter.emit.coreml.availability import TARGET
from edgewright_converter.errors import UnsupportedOperator
from edgewright_converter.graph.model import Array, Graph, Node, TensorType

# Any: coremltools ships no types. A value is one of its variables, or a constant as an array.
Value = Any

_INT32 = np.iinfo(np.int32)
REFUSALS = (ValueError, TypeError, NotImplementedError, RuntimeError, IndexError, AssertionError)
"""What coremltools raises for what MIL cannot do; its classes share no base but Exception. Caught
around calls of it only, so that an error in our own operator files is no refusal."""
MAX_RANK = 5
"""Core ML's own limit on the rank of a tensor."""


# MIL's own words, which coremltools would rename behind our back.
_RESERVED = frozenset(
    ("any", "bool", "program", "func", "tensor", "list", "dict", "tuple", "true", "false", "string",
     "bf16", "fp16", "fp32", "fp64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
     "uint64", "state")
)  # fmt: skip


def told(error: BaseException) -> str:
    """A library's error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


class Names:
    """MIL identifiers made from ONNX names, each given once."""

    def __init__(self) -> None:
        self._taken = set(_RESERVED)

    def unique(self, wanted: str) -> str:
        """An identifier ([A-Za-z_][A-Za-z0-9_]*) like `wanted` that nobody has."""
        plain = re.sub(r"[^A-Za-z0-9_]", "_", wanted) or "_"
        if not re.match(r"[A-Za-z_]", plain):
            plain = f"_{plain}"
        found, number = plain, 1
        while found in self._taken:
            found, number = f"{plain}_{number}", number + 1
        self._taken.add(found)
        return found


class Values:
    """The MIL variables that hold the graph's values."""

    def __init__(self, graph: Graph, builder: Any, names: Names) -> None:  # builder: mb's Builder
        self.graph = graph
        self.builder = builder
        self.names = names
        self._variables: dict[str, Value] = {}

    def bind(self, name: str, variable: Value) -> None:
        """Says which variable holds a value."""
        self._variables[name] = variable

    def find(self, name: str) -> Value | None:
        """The variable that holds a computed value; None for constants."""
        return self._variables.get(name)


class Emission:
    """One node being written."""

    def __init__(self, node: Node, values: Values) -> None:
        self.node = node
        self.graph = values.graph
        self.values = values

    def refuse(self, reason: str) -> NoReturn:
        """Raises the refusal of this node."""
        raise self.refusal(reason)

    def refusal(self, reason: str) -> UnsupportedOperator:
        """The refusal of this node, where the raise must stand in the operator file."""
        return self.node.refusal(TARGET, reason)

    def has(self, position: int) -> bool:
        """Whether an optional input is given."""
        return position < len(self.node.inputs) and bool(self.node.inputs[position])

    def wants(self, position: int) -> bool:
        """Whether an optional output is read by anybody."""
        outputs = self.node.outputs
        return position < len(outputs) and self.graph.uses(outputs[position]) > 0

    def type(self, position: int = 0) -> TensorType:
        """Type of an input."""
        return self.graph.types[self.node.inputs[position]]

    def shape(self, position: int = 0) -> tuple[int, ...]:
        """Shape of an input; all sizes are known, as a package takes one sample."""
        return self.type(position).sample

    def result(self, position: int = 0) -> TensorType:
        """Type of an output."""
        return self.graph.types[self.node.outputs[position]]

    def constant(self, position: int) -> Array | None:
        """The contents of an input known beforehand; None where it is absent or computed."""
        return self.graph.constants.get(self.node.inputs[position]) if self.has(position) else None

    def known(self, position: int, what: str) -> Array:
        """The contents of an input that must be known beforehand."""
        found = self.constant(position)
        if found is None:
            self.refuse(f"its {what} must be constant for this target")
        return found

    def integers(self, name: str, position: int) -> tuple[int, ...] | None:
        """A list of integers that is an attribute in old opsets and a constant input in
        newer ones.
        """
        value = self.node.integers(name)
        if value is None and self.has(position):
            value = tuple(int(element) for element in self.known(position, name).reshape(-1))
        return value

    def value(self, position: int = 0) -> Value:
        """An input as MIL takes it: a variable, or an array of an element type that MIL has."""
        name = self.node.inputs[position]
        found = self.values.find(name)
        if found is not None:
            return found
        return self.narrowed(self.graph.constants[name])

    def variable(self, position: int = 0) -> Value:
        """An input as a variable, for operators that do not take a constant there."""
        found = self.value(position)
        return self.op("const", val=found) if isinstance(found, np.ndarray) else found

    def narrowed(self, array: Array) -> Array:
        """A constant in float32, int32 or bool."""
        if array.dtype.kind in "iu" and array.dtype != np.int32:
            if array.size and (array.max() > _INT32.max or array.min() < _INT32.min):
                self.refuse("it reads a constant beyond 32 bits, which Core ML lacks")
            return array.astype(np.int32)
        if array.dtype.kind == "f" and array.dtype != np.float32:
            return array.astype(np.float32)
        return array

    def op(self, kind: str, **inputs: Any) -> Value:
        """Appends a MIL operation and gives its result (a list where it has several)."""
        name = self.values.names.unique(f"{self.node.key}_{kind}")
        try:
            return getattr(self.values.builder, kind)(name=name, **inputs)
        except REFUSALS as error:
            self.refuse(f"coremltools refuses it ({told(error)})")

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """The same elements under another shape; scalars come and go as MIL wants it."""
        now, wanted = tuple(value.shape), tuple(int(size) for size in shape)
        if now == wanted:
            return value
        if not wanted:
            return self.op("squeeze", x=value, axes=list(range(len(now))))
        if not now:
            return self.op("expand_dims", x=value, axes=list(range(len(wanted))))
        if len(wanted) > MAX_RANK:
            self.refuse(f"it makes a tensor of {len(wanted)} axes, and Core ML has {MAX_RANK}")
        return self.op("reshape", x=value, shape=np.asarray(wanted, np.int32))

    def filled(self, value: float) -> Array:
        """A scalar of the node's first input's element type."""
        return self.narrowed(np.asarray(value, self.type().dtype))

    def give(self, value: Value, position: int = 0) -> None:
        """Says which variable holds an output."""
        name = self.node.outputs[position]
        found, expected = tuple(value.shape), self.graph.types[name].sample
        if found != expected:
            self.refuse(f"{name!r} would be {list(found)}, not {list(expected)}")
        self.values.bind(name, value)
