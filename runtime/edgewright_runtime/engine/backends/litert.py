"""TFLite models on LiteRT, or on the older tflite_runtime where that is what the board has."""

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from edgewright_manifests.signature import DYNAMIC, DataType, ModelSignature, TensorSpec

from edgewright_runtime.engine.tensors import DATATYPES, Tensor, check_inputs
from edgewright_runtime.errors import (
    BackendUnavailable,
    InferenceFailed,
    ModelRejected,
    one_line,
)

_KEPT = 4
"""Interpreters kept, one per combination of input shapes: preparing one takes milliseconds."""
_IDENTIFIER = b"TFL3"  # at offset 4 of every TFLite FlatBuffer

Shapes = tuple[tuple[int, ...], ...]


class LitertSession:
    """An interpreter per set of input shapes; one run at a time, they share the model's bytes."""

    def __init__(self, path: Path, library: str, interpreters: Any, threads: int) -> None:
        # Any: the interpreter's class, from a library without types.
        self._make: Callable[[], Any] = functools.partial(
            interpreters, model_path=str(path), num_threads=threads
        )
        self._lock = threading.Lock()
        self._prepared: OrderedDict[Shapes, Any] = OrderedDict()
        try:
            first = self._make()
            inputs, outputs = _named_tensors(path, first)
            self._input_indexes = [detail["index"] for _, detail in inputs]
            self._output_indexes = [detail["index"] for _, detail in outputs]
            self._inputs = tuple(_spec(path, name, detail) for name, detail in inputs)
            # The larger one first: it is the smaller one that stays prepared.
            larger = self._output_shapes(first, 2) if self._is_dynamic() else None
            shapes = self._example_shapes(1)
            smaller = self._output_shapes(first, 1)
            self.signature = ModelSignature(
                inputs=self._inputs,
                outputs=tuple(
                    _output_spec(path, name, detail, one, two)
                    for (name, detail), one, two in zip(
                        outputs, smaller, larger or smaller, strict=True
                    )
                ),
            )
        except (RuntimeError, ValueError, TypeError) as error:
            raise ModelRejected(path, f"{library} refuses it: {one_line(error)}") from error
        self.placement = f"{library} {_delegates(first)}"
        self._library = library
        self._prepared[shapes] = first

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`."""
        check_inputs(self.signature, inputs)
        arrays = [inputs[spec.name] for spec in self.signature.inputs]
        with self._lock:
            if not self._prepared:
                raise InferenceFailed("the model was unloaded")
            try:
                interpreter = self._for_shapes(tuple(array.shape for array in arrays))
                for index, array in zip(self._input_indexes, arrays, strict=True):
                    interpreter.set_tensor(index, array)
                interpreter.invoke()
                found = [interpreter.get_tensor(index) for index in self._output_indexes]
            except (RuntimeError, ValueError, TypeError) as error:
                raise InferenceFailed(f"{self._library}: {one_line(error)}") from error
        return {
            spec.name: np.asarray(array)
            for spec, array in zip(self.signature.outputs, found, strict=True)
        }

    def close(self) -> None:
        """See `Session.close`."""
        with self._lock:
            self._prepared.clear()

    def _is_dynamic(self) -> bool:
        return any(DYNAMIC in spec.shape for spec in self._inputs)

    def _example_shapes(self, free: int) -> Shapes:
        return tuple(
            tuple(free if size == DYNAMIC else size for size in spec.shape) for spec in self._inputs
        )

    def _output_shapes(self, interpreter: Any, free: int) -> Shapes:
        """The outputs' shapes when every free dimension of the inputs is `free`."""
        self._prepare(interpreter, self._example_shapes(free))
        found = {detail["index"]: detail["shape"] for detail in interpreter.get_output_details()}
        return tuple(tuple(int(size) for size in found[index]) for index in self._output_indexes)

    def _for_shapes(self, shapes: Shapes) -> Any:
        interpreter = self._prepared.get(shapes)
        if interpreter is None:
            interpreter = self._make()
            self._prepare(interpreter, shapes)
            self._prepared[shapes] = interpreter
            if len(self._prepared) > _KEPT:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(shapes)
        return interpreter

    def _prepare(self, interpreter: Any, shapes: Shapes) -> None:
        for index, spec, shape in zip(self._input_indexes, self._inputs, shapes, strict=True):
            if DYNAMIC in spec.shape:
                interpreter.resize_tensor_input(index, shape, strict=True)
        interpreter.allocate_tensors()


def open_artifact(path: Path, *, threads: int) -> LitertSession:
    """Load a `.tflite` file. Raises BackendUnavailable, ModelRejected."""
    with path.open("rb") as file:
        if file.read(8)[4:] != _IDENTIFIER:
            raise ModelRejected(path, "is no TFLite model (its identifier TFL3 is missing)")
    library, interpreters = _import_interpreter()
    return LitertSession(path, library, interpreters, threads)


def _import_interpreter() -> tuple[str, Any]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as newer:
        try:
            from tflite_runtime.interpreter import Interpreter as Older
        except ImportError as error:
            raise BackendUnavailable(
                "tflite",
                f"neither ai_edge_litert nor tflite_runtime can be imported ({one_line(newer)})",
                "pip install 'edgewright-runtime[tflite]'",
            ) from error
        return "tflite_runtime", Older
    return "litert", Interpreter


def _named_tensors(
    path: Path, interpreter: Any
) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """(name, detail) of inputs and outputs, in the graph's order.

    The names are those of the SignatureDef where there is one: tensor names in a TFLite file
    are whatever the converter left.
    """
    inputs = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if len(signatures) > 1:
        raise ModelRejected(path, f"has {len(signatures)} signatures; one is supported")
    if not signatures:
        return _by_tensor_name(inputs), _by_tensor_name(outputs)
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    return (
        _in_order(path, runner.get_input_details(), inputs),
        _in_order(path, runner.get_output_details(), outputs),
    )


def _by_tensor_name(details: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(detail["name"], detail) for detail in details]


def _in_order(
    path: Path, named: Mapping[str, Any], details: Sequence[Any]
) -> list[tuple[str, Any]]:
    names = {detail["index"]: name for name, detail in named.items()}
    missing = [detail["name"] for detail in details if detail["index"] not in names]
    if missing or len(names) != len(details):
        raise ModelRejected(path, "its signature does not name the tensors of its main graph")
    return [(names[detail["index"]], detail) for detail in details]


def _spec(path: Path, name: str, detail: Any) -> TensorSpec:
    signature = detail["shape_signature"]
    shape = signature if len(signature) == len(detail["shape"]) else detail["shape"]
    return TensorSpec(
        name=name, datatype=_datatype(path, name, detail), shape=tuple(int(size) for size in shape)
    )


def _output_spec(
    path: Path, name: str, detail: Any, one: tuple[int, ...], two: tuple[int, ...]
) -> TensorSpec:
    """An output's free dimensions, found by trying: quantizers drop them from the file.

    `one` and `two` are its shape for free input dimensions of 1 and of 2.
    """
    if len(one) != len(two):
        raise ModelRejected(path, f"'{name}' has no fixed number of dimensions")
    shape = tuple(a if a == b else DYNAMIC for a, b in zip(one, two, strict=True))
    return TensorSpec(name=name, datatype=_datatype(path, name, detail), shape=shape)


def _datatype(path: Path, name: str, detail: Any) -> DataType:
    datatype = DATATYPES.get(np.dtype(detail["dtype"]))
    if datatype is None or datatype == "BYTES":
        raise ModelRejected(
            path, f"'{name}' has type {detail['dtype']}, which this engine does not serve"
        )
    return datatype


def _delegates(interpreter: Any) -> str:
    """What runs the operators: a delegated partition shows as one operator named DELEGATE."""
    names = [detail["op_name"] for detail in interpreter._get_ops_details()]
    if "DELEGATE" not in names:
        return "CPU"
    return "XNNPACK CPU"
