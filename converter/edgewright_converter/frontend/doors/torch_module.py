"""PyTorch: an nn.Module or an exported program (.pt2) to ONNX, by torch.onnx.export.

By way of torch.export, a dynamic batch first, then a batch of one. The older way by tracing is not
taken: it writes down the branch that the example took, and says nothing.
"""

import inspect
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from edgewright_converter.errors import ConverterError, ModelFileError
from edgewright_converter.frontend.doors.original import (
    Attempt,
    DoorInput,
    inputs_of,
    name_outputs,
    rows,
)
from edgewright_converter.samples import Tensor, Tensors

_OPSET = 18
"""The opset that the exporter writes without converting versions afterwards."""
_EXPORT_BATCH = 2
"""torch.export takes an axis of 0 or 1 for a constant."""


class TorchOriginal:
    """An nn.Module, in evaluation mode, on the CPU."""

    def __init__(self, model: Path, module: torch.nn.Module) -> None:
        self._model = model
        self._module = module.eval().cpu()
        self._parameters = list(inspect.signature(module.forward).parameters.values())
        self._names: tuple[str, ...] = ()

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """The parameters of `forward`; for `*args` input_0, input_1, ..."""
        return inputs_of(self._parameters, given)

    def run(self, batch: Tensors) -> dict[str, Tensor]:
        """The module's own answer."""
        with torch.no_grad():
            answer = self._flat(tuple(batch)).answer(_tensors(batch))
        return {name: value.numpy() for name, value in answer.items()}

    def attempts(self) -> tuple[Attempt, ...]:
        """With any batch, then with a batch of one."""
        return (
            Attempt("torch.export", self._export_dynamic, True),
            Attempt("torch.export with a batch of one", self._export_single, False),
        )

    def _export_dynamic(self, examples: Tensors, path: Path) -> None:
        dynamic = ({0: torch.export.Dim.DYNAMIC},) * len(examples)
        self._export(rows(examples, _EXPORT_BATCH), (dynamic,), path)

    def _export_single(self, examples: Tensors, path: Path) -> None:
        self._export(rows(examples, 1), None, path)

    def _export(self, batch: Tensors, dynamic: Any, path: Path) -> None:  # Any: torch's own
        flat = self._flat(tuple(batch))
        tensors = _tensors(batch)
        program = torch.export.export(flat, tensors, dynamic_shapes=dynamic, strict=False)
        write_program(program, tuple(batch), tuple(flat.answer(tensors)), path)

    def _flat(self, names: tuple[str, ...]) -> "_Flat":
        positional = {
            p.name
            for p in self._parameters
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        }
        by_position = not positional.issuperset(names)
        return _Flat(self._model, self._module, () if by_position else names)


class _Flat(torch.nn.Module):  # type: ignore[misc]  # torch is an extra, untyped where absent
    """The module with its inputs in a row, and a tuple as its answer."""

    def __init__(self, model: Path, module: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self._model = model
        self._module = module
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.answer(tensors).values())

    def answer(self, tensors: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        """By name."""
        if self._names:
            result = self._module(**dict(zip(self._names, tensors, strict=True)))
        else:
            result = self._module(*tensors)
        return name_outputs(self._model, result)


class ProgramOriginal:
    """What torch.export.save wrote; its batch is what it was exported with."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._program = _load(model)
        self._run = self._program.module()
        values = {
            node.name: node.meta.get("val")
            for node in self._program.graph.nodes
            if node.op == "placeholder"
        }
        names = self._program.graph_signature.user_inputs
        if not all(isinstance(values.get(str(name)), torch.Tensor) for name in names):
            raise ModelFileError(
                model, "takes something else than tensors", "export it with tensors only"
            )
        self._placeholders = {str(name): values[str(name)] for name in names}
        self._keywords = self._program.call_spec.in_spec.unflatten(list(self._placeholders))

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """The program's own names, types and sizes."""
        for name, value in self._placeholders.items():
            if not value.ndim or (isinstance(value.shape[0], int) and value.shape[0] != 1):
                raise ModelFileError(
                    self._model,
                    f"input {name!r} was exported as {list(value.shape)}",
                    "export it with a batch in front that is 1 or dynamic (dynamic_shapes)",
                )
        return tuple(
            DoorInput(
                name,
                np.dtype(str(value.dtype).removeprefix("torch.")),
                tuple(size if isinstance(size, int) else None for size in value.shape[1:]),
            )
            for name, value in self._placeholders.items()
        )

    def run(self, batch: Tensors) -> dict[str, Tensor]:
        """The program's own answer."""
        with torch.no_grad():
            answer = self._answer(batch)
        return {name: value.numpy() for name, value in answer.items()}

    def attempts(self) -> tuple[Attempt, ...]:
        """There is one: the program is traced already."""
        dynamic = all(not isinstance(v.shape[0], int) for v in self._placeholders.values())
        return (Attempt("torch.onnx.export", self._write, dynamic),)

    def _write(self, examples: Tensors, path: Path) -> None:
        outputs = tuple(self._answer(rows(examples, 1)))
        write_program(self._program, tuple(self._placeholders), outputs, path)

    def _answer(self, batch: Tensors) -> dict[str, Any]:  # Any: tensors, as torch gives them
        tensors = dict(zip(batch, _tensors(batch), strict=True))
        positional, keywords = self._keywords
        result = self._run(
            *(tensors[name] for name in positional),
            **{key: tensors[name] for key, name in keywords.items()},
        )
        return name_outputs(self._model, result)


def write_program(
    program: torch.export.ExportedProgram,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    path: Path,
) -> None:
    """The ONNX file of an exported program, with these names."""
    made = torch.onnx.export(
        program,
        dynamo=True,
        input_names=list(inputs),
        output_names=list(outputs),
        opset_version=_OPSET,
        verbose=False,
    )
    if made is None:
        raise ConverterError("torch.onnx.export gave nothing")
    made.save(str(path), external_data=False)


def _load(model: Path) -> torch.export.ExportedProgram:
    try:
        return torch.export.load(str(model))
    # UnpicklingError: something in it that is no tensor.
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        UnpicklingError,
    ) as error:
        raise ModelFileError(
            model,
            "is no exported program, or is damaged",
            "write it with torch.export.save, with this version of torch",
        ) from error


def _tensors(batch: Mapping[str, Tensor]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.array(value)) for value in batch.values())
