"""What the doors' protocols say of an input alike: its shape, its place in shared memory."""

import math
from collections.abc import Mapping, Sequence

from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.raw_tensor import ELEMENT_BYTES, RawTensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.inference.binary_tensors import read_binary_tensor
from edgewright_runtime.serving.inference.shared_memory import SharedMemory, read_place

_MAX_RANK = 32
_MAX_COUNT = 1 << 40


def check_shape(name: str, shape: Sequence[int]) -> None:
    """Raise InvalidInput for what no tensor's shape can be."""
    if (
        len(shape) > _MAX_RANK
        or any(not 0 <= size <= _MAX_COUNT for size in shape)
        or math.prod(shape) > _MAX_COUNT
    ):
        raise no_shape(name)


def no_shape(name: str) -> InvalidInput:
    """The error for an input whose shape is none."""
    return InvalidInput(f"input '{name}': shape must be an array of sizes")


def read_shared(
    name: str,
    datatype: DataType,
    shape: tuple[int, ...],
    parameters: Mapping[str, object],
    memory: SharedMemory,
) -> RawTensor:
    """An input whose `parameters` say where it lies. Raises InvalidInput, RegionUnknown."""
    place = read_place(parameters, f"input '{name}'")
    if place is None:
        raise InvalidInput(f"input '{name}': 'shared_memory_region' must be a name")
    if datatype != "BYTES":
        # Told before anything is read: a place may be as large as the caller's memory.
        expected = math.prod(shape) * ELEMENT_BYTES[datatype]
        if place.size_bytes != expected:
            memory.check(place)
            raise InvalidInput(
                f"input '{name}' has {place.size_bytes} bytes in shared memory, {datatype} "
                f"{list(shape)} needs {expected}"
            )
    return read_binary_tensor(name, datatype, shape, memory.read(place))
