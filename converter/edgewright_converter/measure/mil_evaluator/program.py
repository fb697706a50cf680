"""Reads a package's protobuf into operations with constants resolved."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_converter.graph.model import Array
from edgewright_converter.measure.mil_evaluator.errors import OperationUnknown, PackageDamaged
from edgewright_converter.measure.mil_evaluator.weight_file import read_blob

# MIL.proto, enum DataType.
_DTYPES = {1: "bool", 10: "float16", 11: "float32", 21: "int8", 23: "int32", 31: "uint8"}
_STRING = 2
_BLOBS = "@model_path/weights/weight.bin"

# A constant argument: an array, or a string.
Constant = Array | str


@dataclass(frozen=True, slots=True)
class Argument:
    """An input of an operation: the names of computed values, or constants (several where the
    parameter is variadic).
    """

    names: tuple[str | None, ...]
    constants: tuple[Constant | None, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `dtypes` are the declared element types of its results."""

    kind: str
    inputs: dict[str, Argument]
    outputs: tuple[str, ...]
    dtypes: tuple[np.dtype[np.generic], ...]


@dataclass(frozen=True, slots=True)
class MilProgram:
    """The function `main`, and the model's description."""

    operations: tuple[Operation, ...]
    constants: dict[str, Constant]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    description: Any  # the protobuf message ModelDescription


def read_package(path: Path) -> MilProgram:
    """The program in an .mlpackage, a folder or zipped as ours are. Raises PackageDamaged."""
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs

    files = _from_folder(path) if path.is_dir() else _from_zip(path)
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(files["model.mlmodel"])
    except (KeyError, DecodeError) as error:
        raise PackageDamaged("it holds no readable model.mlmodel") from error
    if spec.WhichOneof("Type") != "mlProgram" or "main" not in spec.mlProgram.functions:
        raise PackageDamaged("it is no ML Program with a function main")
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    reader = _Reader(files.get("weights/weight.bin", b""))
    operations = tuple(
        found for found in map(reader.operation, block.operations) if found is not None
    )
    inputs = tuple(entry.name for entry in function.inputs)
    return MilProgram(operations, reader.constants, inputs, tuple(block.outputs), spec.description)


_ROOT = "Data/com.apple.CoreML/"


def _from_folder(path: Path) -> dict[str, bytes]:
    root = path / _ROOT
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def _from_zip(path: Path) -> dict[str, bytes]:
    root = f"model.mlpackage/{_ROOT}"
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            names = [name for name in archive.namelist() if name.startswith(root)]
            return {name.removeprefix(root): archive.read(name) for name in names}
    except zipfile.BadZipFile as error:
        raise PackageDamaged(f"it is no zip ({error})") from error


class _Reader:
    def __init__(self, blobs: bytes) -> None:
        self.constants: dict[str, Constant] = {}
        self._blobs = blobs

    def operation(self, message: Any) -> Operation | None:
        """The operation, or None for a constant, which is kept by name."""
        if message.type == "const":
            self.constants[message.outputs[0].name] = self._value(message.attributes["val"])
            return None
        inputs = {name: self._argument(argument) for name, argument in message.inputs.items()}
        for name, value in message.attributes.items():
            if name != "name":
                inputs[name] = Argument((None,), (self._value(value),))
        outputs = tuple(output.name for output in message.outputs)
        dtypes = tuple(_dtype(output.type, message.type) for output in message.outputs)
        return Operation(message.type, inputs, outputs, dtypes)

    def _argument(self, message: Any) -> Argument:
        names: list[str | None] = []
        constants: list[Constant | None] = []
        for binding in message.arguments:
            if binding.WhichOneof("binding") == "name":
                names.append(binding.name)
                constants.append(None)
            else:
                names.append(None)
                constants.append(self._value(binding.value))
        return Argument(tuple(names), tuple(constants))

    def _value(self, message: Any) -> Constant:
        tensor = message.type.tensorType
        shape = tuple(int(dim.constant.size) for dim in tensor.dimensions)
        if message.WhichOneof("value") == "blobFileValue":
            if message.blobFileValue.fileName != _BLOBS:
                raise PackageDamaged(f"it reads a foreign file {message.blobFileValue.fileName!r}")
            return read_blob(self._blobs, int(message.blobFileValue.offset), shape)
        immediate = message.immediateValue.tensor
        kind = immediate.WhichOneof("value")
        values = getattr(immediate, kind).values
        if tensor.dataType == _STRING:
            return str(values[0])
        dtype = np.dtype(_DTYPES[tensor.dataType])
        array = np.frombuffer(values, dtype) if kind == "bytes" else np.asarray(values, dtype)
        if array.size != prod(shape):
            raise PackageDamaged(f"a constant has {array.size} elements, not shape {shape}")
        return array.reshape(shape)


def _dtype(message: Any, operation: str) -> np.dtype[np.generic]:
    kind = message.tensorType.dataType
    if kind not in _DTYPES:
        raise OperationUnknown(operation, f"it gives element type {kind}")
    return np.dtype(_DTYPES[kind])
