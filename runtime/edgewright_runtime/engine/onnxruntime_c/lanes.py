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


class _BatchLanes:
    """The lanes of one batch size: those that are free, and how many there are in all."""

    def __init__(self) -> None:
        self.free: deque[Lane] = deque()
        self.made = 0


class Lanes:
    """The lanes of one session, made when they are wanted. Any thread may ask."""

    def __init__(self, signature: ModelSignature, bind: Bind) -> None:
        self._signature = signature
        self._bind = bind
        self._rooms: dict[int, _BatchLanes] = {}
        self._usable = all(_only_batch_is_free(spec) for spec in _all(signature))
        self._largest = _largest_batch(signature) if self._usable else 0
        self._batched = [
            spec.name for spec in signature.inputs if spec.shape and spec.shape[0] == DYNAMIC
        ]

    def infer(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor] | None:
        """Outputs by name for checked inputs; None where no lane serves them.

        Raises InferenceFailed, also where the outputs have another batch size than the inputs:
        a run with values of its own tells which.
        """
        if not self._usable:
            return None
        batch = self._batch(inputs)
        room = self._rooms.get(batch)
        if room is None:
            room = self._open(batch)
        try:
            lane = room.free.popleft()
        except IndexError:
            if room.made >= _MAX_LANES:
                return None
            room.made += 1
            lane = Lane(self._signature, batch, self._bind)
        try:
            return lane(inputs)
        finally:
            room.free.append(lane)

    def close(self) -> None:
        """Let go of all memory, and serve nobody any more."""
        self._usable = False
        self._rooms.clear()

    def _batch(self, inputs: Mapping[str, RawTensor]) -> int:
        """The first size of the inputs, or -1 where they do not agree."""
        if not self._batched:
            return 1
        first = inputs[self._batched[0]].shape[0]
        return first if all(inputs[name].shape[0] == first for name in self._batched) else -1

    def _open(self, batch: int) -> _BatchLanes:
        room = _BatchLanes()
        if not 0 < batch <= self._largest or len(self._rooms) >= _MAX_SHAPES:
            room.made = _MAX_LANES
            return room  # of none, and not remembered: callers choose how many sizes there are
        return self._rooms.setdefault(batch, room)


def _all(signature: ModelSignature) -> tuple[TensorSpec, ...]:
    return (*signature.inputs, *signature.outputs)


def _largest_batch(signature: ModelSignature) -> int:
    """Up to which all tensors together have no more than MAX_BYTES; 0 for none."""
    one, two = (sum(_nbytes(spec, batch) for spec in _all(signature)) for batch in (1, 2))
    if one > MAX_BYTES:
        return 0
    return 1 + (MAX_BYTES - one) // (two - one) if two > one else 1


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
