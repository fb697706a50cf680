"""A package as a session, so that it is measured like every other artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from edgewright_manifests.signature import DataType, ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES, datatype_of

from edgewright_converter.measure.mil_evaluator.catalogue import computations
from edgewright_converter.measure.mil_evaluator.errors import OperationUnknown, PackageDamaged
from edgewright_converter.measure.mil_evaluator.program import (
    Argument,
    Constant,
    MilProgram,
    Operation,
    read_package,
)
from edgewright_converter.measure.mil_evaluator.registry import Arguments
from edgewright_converter.samples import Tensor

PLACEMENT = "edgewright's MIL evaluator (numpy); no Apple device was available"
_FEATURES_KEY = "edgewright.features"
# FeatureTypes.proto, enum ArrayDataType.
_ARRAY_TYPES = {65568: "float32", 131104: "int32", 65552: "float32"}
_HELD = ("float32", "int8", "uint8", "int32", "int64", "bool")


class MilSession:
    """One program, ready to run: every constant and compressed weight is unpacked already.

    Results are rounded to the element type that the program declares for them; inside an operation
    everything is float32. That is what float16 with float32 accumulation gives; a Neural Engine
    may accumulate otherwise.
    """

    def __init__(self, program: MilProgram) -> None:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # no stubs

        self._threads = ThreadpoolController()
        self._constants = dict(program.constants)
        self._operations: list[Operation] = []
        for operation in program.operations:
            if operation.kind not in computations():
                raise OperationUnknown(operation.kind, "it is not known")
            if operation.kind.startswith("constexpr_"):
                self._keep(operation)
            else:
                self._operations.append(operation)
        for name, constant in self._constants.items():
            if not isinstance(constant, str) and constant.dtype == np.float16:
                # Exact, and done once instead of in every run.
                self._constants[name] = constant.astype(np.float32)
        self._inputs, self._outputs, self._signature = _boundary(program)

    @property
    def signature(self) -> ModelSignature:
        """Inputs and outputs under the source model's names and types."""
        return self._signature

    @property
    def placement(self) -> str:
        """That this is no Core ML."""
        return PLACEMENT

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by the source's names. Raises ConverterError."""
        values: dict[str, Constant] = dict(self._constants)
        for spec in self._signature.inputs:
            feature, array = self._inputs[spec.name], np.asarray(inputs[spec.name])
            if tuple(array.shape) != tuple(spec.shape):
                raise PackageDamaged(
                    f"input {spec.name!r} is {list(spec.shape)} in the package, "
                    f"not {list(array.shape)}"
                )
            array = np.atleast_1d(array)
            values[feature] = array if array.dtype.kind == "f" else array.astype(np.int32)
        # Threads cost ten times what they give on products this small, and reorder the sums.
        with np.errstate(all="ignore"), self._threads.limit(limits=1, user_api="blas"):
            for operation in self._operations:
                values.update(_computed(operation, values))
        outputs: dict[str, Tensor] = {}
        for spec in self._signature.outputs:
            found = values[self._outputs[spec.name]]
            assert not isinstance(found, str)
            shaped = np.ascontiguousarray(found, NUMPY_DTYPES[spec.datatype])
            outputs[spec.name] = shaped.reshape(spec.shape)
        return outputs

    def close(self) -> None:
        """Nothing is held outside the process."""

    def _keep(self, operation: Operation) -> None:
        self._constants.update(_computed(operation, self._constants))


def open_package(path: Path) -> MilSession:
    """The evaluator for an .mlpackage, a folder or zipped as ours are.

    Raises PackageDamaged, OperationUnknown.
    """
    return MilSession(read_package(path))


def _computed(operation: Operation, values: Mapping[str, Constant]) -> dict[str, Constant]:
    given = {name: _resolved(argument, values) for name, argument in operation.inputs.items()}
    arguments = Arguments(operation.kind, given)
    results = computations()[operation.kind](arguments)
    arguments.finish()
    arrays = results if isinstance(results, list) else [results]
    return {
        name: np.asarray(array).astype(dtype, copy=False)
        for name, array, dtype in zip(operation.outputs, arrays, operation.dtypes, strict=True)
    }


def _resolved(argument: Argument, values: Mapping[str, Constant]) -> list[Constant]:
    resolved: list[Constant] = []
    for name, constant in zip(argument.names, argument.constants, strict=True):
        if name is None:
            assert constant is not None
            resolved.append(constant)
        else:
            resolved.append(values[name])
    return resolved


def _boundary(
    program: MilProgram,
) -> tuple[dict[str, str], dict[str, str], ModelSignature]:
    """The features by the source's names, and the signature that they make."""
    shapes = {
        entry.name: tuple(int(size) for size in entry.type.multiArrayType.shape)
        for entry in (*program.description.input, *program.description.output)
    }
    names: dict[bool, dict[str, str]] = {True: {}, False: {}}
    specs: dict[bool, list[TensorSpec]] = {True: [], False: []}
    for entry in _features(program):
        feature, side = entry["feature"], bool(entry["is_input"])
        if feature not in shapes:
            raise PackageDamaged(f"it has no feature {feature!r}")
        names[side][entry["source"]] = feature
        specs[side].append(
            TensorSpec(
                name=entry["source"],
                datatype=_datatype(entry["dtype"]),
                shape=() if entry["is_scalar"] else shapes[feature],
            )
        )
    return (
        names[True],
        names[False],
        ModelSignature(inputs=tuple(specs[True]), outputs=tuple(specs[False])),
    )


def _features(program: MilProgram) -> list[dict[str, Any]]:
    """What ours say in their metadata; a foreign package's features stand for themselves."""
    metadata = program.description.metadata.userDefined
    if _FEATURES_KEY in metadata:
        found: list[dict[str, Any]] = json.loads(metadata[_FEATURES_KEY])
        return found
    sides = ((program.description.input, True), (program.description.output, False))
    return [
        {
            "feature": entry.name,
            "source": entry.name,
            "dtype": _ARRAY_TYPES.get(entry.type.multiArrayType.dataType, "float32"),
            "is_scalar": False,
            "is_input": is_input,
        }
        for entries, is_input in sides
        for entry in entries
    ]


def _datatype(dtype: str) -> DataType:
    found = datatype_of(np.dtype(dtype)) if dtype in _HELD else None
    if found is None:
        raise PackageDamaged(f"a feature holds {dtype}")
    return found
