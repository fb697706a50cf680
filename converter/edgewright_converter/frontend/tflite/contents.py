"""The contents of constant tensors, decoded when an operator asks for them."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright_converter.frontend.tflite.file import FileTensor, TfliteFile
from edgewright_converter.frontend.tflite.refusal import damaged
from edgewright_converter.frontend.tflite.sparsity import densify
from edgewright_converter.graph.model import Array

_EXPANSION = 16
_FLOOR_BYTES = 64 << 20
"""int4 weights as float32 are 8 times the file; what is sparse or shared may be more."""


class Contents:
    """Which tensors are known beforehand, and what they hold."""

    def __init__(self, file: TfliteFile) -> None:
        self._file = file
        self._known: dict[int, Array] = {}
        self._budget = _EXPANSION * file.size_bytes + _FLOOR_BYTES

    def __contains__(self, index: int) -> bool:
        return index in self._known or (index >= 0 and self._file.tensors[index].is_constant)

    def charge(self, size_bytes: int) -> None:
        """Accounts for constants that are about to be made. Raises Refusal past all reason."""
        self._budget -= size_bytes
        if self._budget < 0:
            raise damaged("its constants are far larger than the file")

    def fold(self, index: int, array: Array) -> None:
        """Says what a tensor holds that the file computes from constants.

        Raises Refusal where its shape is not the tensor's.
        """
        tensor = self._file.tensors[index]
        if array.shape != tensor.sizes:
            raise damaged(
                f"tensor {index} {tensor.name!r} has the shape {tensor.sizes}, and holds "
                f"{array.shape}"
            )
        self._known[index] = array

    def stored(self, index: int) -> Array:
        """The elements as they are stored, dense, in the tensor's shape."""
        if index not in self._known:
            tensor = self._file.tensors[index]
            self._known[index] = self._decode(tensor)
        return self._known[index]

    def real(self, index: int) -> Array:
        """The elements with their quantization undone (float32), or as they are stored."""
        quantization = self._file.tensors[index].quantization
        stored = self.stored(index)
        if quantization is None or stored.dtype.kind not in "iu":
            return stored
        shape = [1] * stored.ndim
        if quantization.scale.size > 1:
            shape[quantization.axis] = quantization.scale.size
        self.charge(4 * stored.size)
        offset = stored.astype(np.float64) - quantization.zero_point.reshape(shape)
        with np.errstate(over="ignore"):  # of a file that makes no sense; infinite, not wrong
            real: Array = (offset * quantization.scale.reshape(shape)).astype(np.float32)
        return real

    def _decode(self, tensor: FileTensor) -> Array:
        assert tensor.buffer is not None
        dtype, elements = tensor.dtype, tensor.elements
        if tensor.sparsity is not None:
            self.charge(dtype.itemsize * elements)
            whole = len(tensor.buffer) // dtype.itemsize
            values = np.frombuffer(tensor.buffer, dtype, whole)
            return densify(values, tensor.sizes, tensor.sparsity)
        if tensor.type == schema.TensorType.INT4:
            self.charge(elements)
            return self._unpacked(tensor, elements)
        if len(tensor.buffer) != elements * dtype.itemsize:
            raise damaged(
                f"tensor {tensor.index} {tensor.name!r} has {len(tensor.buffer)} bytes, "
                f"its shape {tensor.sizes} needs {elements * dtype.itemsize}"
            )
        return np.frombuffer(tensor.buffer, dtype).reshape(tensor.sizes)

    def _unpacked(self, tensor: FileTensor, elements: int) -> Array:
        """Two signed elements a byte, the low half first."""
        assert tensor.buffer is not None
        if len(tensor.buffer) != (elements + 1) // 2:
            raise damaged(
                f"tensor {tensor.index} {tensor.name!r} has {len(tensor.buffer)} bytes, "
                f"{elements} elements of 4 bits need {(elements + 1) // 2}"
            )
        packed = np.frombuffer(tensor.buffer, np.int8)
        halves = np.stack([(packed << 4) >> 4, packed >> 4], axis=-1)
        return halves.reshape(-1)[:elements].reshape(tensor.sizes)
