"""Between the protocol's element types and numpy's, and the check of a caller's tensors."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from edgewright_manifests import tensors
from edgewright_manifests.signature import DataType, ModelSignature
from edgewright_manifests.tensors import Array as Tensor

from edgewright_runtime.engine.describing import names
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import InvalidInput

__all__ = [
    "DATATYPES",
    "NUMPY_DTYPES",
    "Tensor",
    "all_finite",
    "check_inputs",
    "example_inputs",
    "from_raw",
    "to_raw",
]

NUMPY_DTYPES: Mapping[DataType, np.dtype[Any]] = MappingProxyType(  # Any: differs per entry
    {**tensors.NUMPY_DTYPES, "BYTES": np.dtype(np.object_)}
)
"""BYTES is an object array of `bytes`."""

DATATYPES: Mapping[np.dtype[Any], DataType] = {dtype: name for name, dtype in NUMPY_DTYPES.items()}

_FLOATS = frozenset({"FP16", "FP32", "FP64"})


def check_inputs(signature: ModelSignature, inputs: Mapping[str, Tensor]) -> None:
    """Raise InvalidInput, naming the tensor, unless there is one fitting array per input."""
    for spec in signature.inputs:
        array = inputs.get(spec.name)
        if array is None:
            given = ", ".join(f"'{name}'" for name in inputs) or "none"
            raise InvalidInput(f"input '{spec.name}' is missing; given: {given}")
        if array.dtype != NUMPY_DTYPES[spec.datatype]:
            have = DATATYPES.get(array.dtype, str(array.dtype))
            raise InvalidInput(f"input '{spec.name}' is {have}, the model takes {spec.datatype}")
        if not spec.accepts(array.shape):
            raise InvalidInput(
                f"input '{spec.name}' has shape {list(array.shape)}, "
                f"the model takes {list(spec.shape)}"
            )
    if len(inputs) != len(signature.inputs):
        known = {spec.name for spec in signature.inputs}
        stray = ", ".join(f"'{name}'" for name in inputs if name not in known)
        raise InvalidInput(f"the model has no input {stray}; it takes {names(signature.inputs)}")


def to_raw(array: Tensor, datatype: DataType) -> RawTensor:
    """The array's elements in C order; copied only where they lie otherwise.

    `array` has the numpy dtype of `datatype`.
    """
    if datatype == "BYTES":
        return RawTensor(datatype, array.shape, elements=[bytes(item) for item in array.ravel()])
    flat = np.ascontiguousarray(array).reshape(-1)
    return RawTensor(datatype, array.shape, flat.view(np.uint8).data)


def from_raw(tensor: RawTensor) -> Tensor:
    """An array over the tensor's own memory; it can be written where that can."""
    dtype = NUMPY_DTYPES[tensor.datatype]
    if tensor.elements is None:
        return np.frombuffer(tensor.data, dtype).reshape(tensor.shape)
    flat = np.empty(len(tensor.elements), np.object_)
    flat[:] = tensor.elements
    return flat.reshape(tensor.shape)


def all_finite(signature: ModelSignature, outputs: Mapping[str, Tensor]) -> bool:
    """Whether no floating-point output holds a NaN or an infinity."""
    return all(
        bool(np.isfinite(outputs[spec.name]).all())
        for spec in signature.outputs
        if spec.datatype in _FLOATS
    )


def example_inputs(signature: ModelSignature) -> dict[str, Tensor]:
    """Zeros (empty strings) for every input, 1 where the caller would choose, to warm up with."""
    return {
        spec.name: np.full(
            [max(size, 1) if size < 0 else size for size in spec.shape],
            b"" if spec.datatype == "BYTES" else 0,
            dtype=NUMPY_DTYPES[spec.datatype],
        )
        for spec in signature.inputs
    }
