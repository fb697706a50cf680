"""Kept memory and values for small requests that come again and again with the same shapes.

Making and freeing values costs more than a small model's inference; copying a few kilobytes
into memory that is bound already costs a tenth of it.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec

from edgewright_runtime.engine.onnxruntime_c.values import Place, place_of
from edgewright_runtime.engine.raw_tensor import ELEMENT_BYTES, RawTensor
from edgewright_runtime.errors import InferenceFailed

MAX_BYTES = 64 << 10
"""Of all inputs and outputs together: above it the copy costs more than the values."""
_MAX_SHAPES = 16
_MAX_LANES = 8
"""Of one batch size; more requests at once than that make their values anew."""

Bound = Callable[[], None]
Bind = Callable[[Sequence[Place], Sequence[Place]], Bound]


class Lane:
    """Memory for one request, bound to the session."""

    def __init__(self, signature: ModelSignature, batch: int, bind: Bind) -> None:
        self._inputs = _room(signature.inputs, batch)
        self._outputs = _room(signature.outputs, batch)
        self._bound = bind(
            [place_of(name, tensor) for name, tensor, _ in self._inputs],
            [place_of(name, tensor) for name, tensor, _ in self._outputs],
        )

    def __call__(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
        """Copy in, run, copy out. Raises InferenceFailed."""
        for name, _, memory in self._inputs:
            memory[:] = inputs[name].data
        self._bound()
        return {
            name: RawTensor(tensor.datatype, tensor.shape, bytes(memory))
            for name, tensor, memory in self._outputs
        }


class Lanes:
    """The lanes of one session. Any thread may ask."""

    def __init__(self, signature: ModelSignature, bind: Bind) -> None:
        self._signature = signature
        self._bind = bind
        self._lanes: dict[int, deque[Lane]] = {}
        self._usable = all(_only_batch_is_free(spec) for spec in _all(signature))

    def infer(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor] | None:
        """Outputs by name for checked inputs; None where no lane serves them."""
        if not self._usable:
            return None
        batch = self._batch(inputs)
        lanes = self._lanes.get(batch)
        if lanes is None:
            lanes = self._open(batch)
        try:
            lane = lanes.popleft()
        except IndexError:
            return None
        try:
            return lane(inputs)
        except InferenceFailed:
            # The outputs may have another batch size than the inputs; the caller's own run tells.
            self._usable = False
            return None
        finally:
            lanes.append(lane)

    def close(self) -> None:
        """Let go of all memory."""
        self._usable = False
        self._lanes.clear()

    def _batch(self, inputs: Mapping[str, RawTensor]) -> int:
        """The first size of the inputs, or -1 where they do not agree."""
        found = {
            inputs[spec.name].shape[0]
            for spec in self._signature.inputs
            if spec.shape and spec.shape[0] == DYNAMIC
        }
        return found.pop() if len(found) == 1 else 1 if not found else -1

    def _open(self, batch: int) -> "deque[Lane]":
        lanes: deque[Lane] = deque()
        fits = batch > 0 and len(self._lanes) < _MAX_SHAPES
        if fits and sum(_nbytes(spec, batch) for spec in _all(self._signature)) <= MAX_BYTES:
            lanes.extend(Lane(self._signature, batch, self._bind) for _ in range(_MAX_LANES))
        elif not fits:
            return lanes
        return self._lanes.setdefault(batch, lanes)


def _all(signature: ModelSignature) -> tuple[TensorSpec, ...]:
    return (*signature.inputs, *signature.outputs)


def _room(specs: Sequence[TensorSpec], batch: int) -> tuple[tuple[str, RawTensor, memoryview], ...]:
    made = []
    for spec in specs:
        memory = memoryview(bytearray(_nbytes(spec, batch)))
        made.append((spec.name, RawTensor(spec.datatype, _shape(spec, batch), memory), memory))
    return tuple(made)


def _only_batch_is_free(spec: TensorSpec) -> bool:
    return spec.datatype != "BYTES" and DYNAMIC not in spec.shape[1:]


def _shape(spec: TensorSpec, batch: int) -> tuple[int, ...]:
    return tuple(batch if size == DYNAMIC else size for size in spec.shape)


def _nbytes(spec: TensorSpec, batch: int) -> int:
    return math.prod(_shape(spec, batch)) * ELEMENT_BYTES[spec.datatype]
