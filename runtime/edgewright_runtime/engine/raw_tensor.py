"""A tensor as it comes over a wire: element type, shape and raw bytes, without numpy.

numpy costs a small device 12 MB and 40 to 90 ms at start; a server that only hands bytes from
a socket to an engine needs none of it.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import final, get_args

from edgewright_manifests.signature import DataType, ModelSignature, TensorSpec

from edgewright_runtime.engine.describing import names
from edgewright_runtime.errors import InvalidInput

ELEMENT_BYTES: Mapping[DataType, int] = MappingProxyType(
    {
        "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8,
        "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
        "FP16": 2, "FP32": 4, "FP64": 8,
    }
)  # fmt: skip  # a table
"""Size of one element; BYTES has none."""

DATATYPES: tuple[DataType, ...] = get_args(DataType)
"""All of the protocol, for messages."""

Buffer = bytes | bytearray | memoryview


@final
class RawTensor:
    """Elements in C order, little-endian; a BYTES tensor has `elements` instead of `data`."""

    __slots__ = ("data", "datatype", "elements", "shape")

    def __init__(
        self,
        datatype: DataType,
        shape: tuple[int, ...],
        data: Buffer = b"",
        elements: list[bytes] | None = None,
    ) -> None:
        self.datatype = datatype
        self.shape = shape
        self.data = data
        self.elements = elements

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; of BYTES the sum of their lengths."""
        if self.elements is not None:
            return sum(map(len, self.elements))
        data = self.data
        return data.nbytes if isinstance(data, memoryview) else len(data)

    def __repr__(self) -> str:
        return f"RawTensor({self.datatype} {list(self.shape)}, {self.nbytes} bytes)"


def check_raw_inputs(signature: ModelSignature, inputs: Mapping[str, RawTensor]) -> None:
    """Raise InvalidInput, naming the tensor, unless there is one fitting tensor per input."""
    for spec in signature.inputs:
        tensor = inputs.get(spec.name)
        if tensor is None:
            given = ", ".join(f"'{name}'" for name in inputs) or "none"
            raise InvalidInput(f"input '{spec.name}' is missing; given: {given}")
        check_fits(spec, tensor.datatype, tensor.shape)
        if tensor.elements is None:
            wanted = math.prod(tensor.shape) * ELEMENT_BYTES[spec.datatype]
            if tensor.nbytes != wanted:
                raise InvalidInput(
                    f"input '{spec.name}' has {tensor.nbytes} bytes, "
                    f"{list(tensor.shape)} of {spec.datatype} are {wanted}"
                )
    if len(inputs) != len(signature.inputs):
        known = {spec.name for spec in signature.inputs}
        stray = ", ".join(f"'{name}'" for name in inputs if name not in known)
        raise InvalidInput(f"the model has no input {stray}; it takes {names(signature.inputs)}")


def check_fits(spec: TensorSpec, datatype: str, shape: tuple[int, ...]) -> None:
    """Raise InvalidInput unless the input takes this type and shape."""
    if datatype != spec.datatype:
        raise InvalidInput(f"input '{spec.name}' is {datatype}, the model takes {spec.datatype}")
    if not spec.accepts(shape):
        raise InvalidInput(
            f"input '{spec.name}' has shape {list(shape)}, the model takes {list(spec.shape)}"
        )


def example_raw_inputs(signature: ModelSignature) -> dict[str, RawTensor]:
    """Zeros (empty strings) for every input, 1 where the caller would choose, to warm up with."""
    return {spec.name: _zeros(spec) for spec in signature.inputs}


def _zeros(spec: TensorSpec) -> RawTensor:
    shape = tuple(max(size, 1) if size < 0 else size for size in spec.shape)
    count = math.prod(shape)
    if spec.datatype == "BYTES":
        return RawTensor(spec.datatype, shape, elements=[b""] * count)
    return RawTensor(spec.datatype, shape, bytes(count * ELEMENT_BYTES[spec.datatype]))
