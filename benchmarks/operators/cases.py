"""The test cases that onnx ships: models, inputs and the outputs that ONNX's authors expect."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.runner import Runner

Suite = Literal["node", "simple", "pytorch-converted", "pytorch-operator", "light"]
SUITES: tuple[Suite, ...] = ("node", "simple", "pytorch-converted", "pytorch-operator", "light")
"""The folders of onnx.backend.test; `light` are the zoo's architectures with constant weights."""
Form = Literal["given", "constants"]
"""As the case has it, or with every tensor input but the first constant, as real models hold it."""
FORMS: tuple[Form, ...] = ("given", "constants")

# Any: cases hold tensors of every element type, and things that are no tensors.
Arrays = dict[str, np.ndarray[Any, Any]]

# The cases' own relative tolerance; their absolute one (1e-7) is below what float32 sums keep.
RELATIVE, ABSOLUTE = 1e-3, 1e-5


@dataclass(frozen=True, slots=True)
class OperatorCase:
    """One case; `inputs` and `outputs` are in the model's order."""

    suite: Suite
    name: str
    model: onnx.ModelProto
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]

    @property
    def is_float(self) -> bool:
        """Whether all inputs are tensors and the first is float32: what a network computes on."""
        kinds = [value.type for value in self.model.graph.input]
        tensors = bool(kinds) and all(kind.HasField("tensor_type") for kind in kinds)
        return tensors and kinds[0].tensor_type.elem_type == TensorProto.FLOAT

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators of its main graph."""
        return tuple(sorted({node.op_type for node in self.model.graph.node}))

    def written(self, form: Form) -> onnx.ModelProto:
        """The model in this form."""
        return self.model if form == "given" else with_constants(self.model, self.inputs)

    def fed(self, form: Form) -> Arrays:
        """The inputs by name that a model in this form takes."""
        graph = self.written(form).graph
        held = {tensor.name for tensor in graph.initializer}
        names = [value.name for value in graph.input if value.name not in held]
        return {name: np.asarray(as_array(x)) for name, x in zip(names, self.inputs, strict=False)}


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """A tensor of a case, whichever way it is kept."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def with_constants(model: onnx.ModelProto, inputs: Sequence[Any]) -> onnx.ModelProto:
    """The same model with every tensor input but its first constant."""
    held = {tensor.name for tensor in model.graph.initializer}
    baked = onnx.ModelProto()
    baked.CopyFrom(model)
    entries = [value for value in model.graph.input if value.name not in held]
    if not all(value.type.HasField("tensor_type") for value in entries):
        return baked
    fixed = {value.name for value in entries[1:]}
    kept = [value for value in model.graph.input if value.name not in fixed]
    del baked.graph.input[:]
    baked.graph.input.extend(kept)
    for value, given in zip(entries[1:], inputs[1:], strict=False):
        baked.graph.initializer.append(numpy_helper.from_array(as_array(given), value.name))
    return baked


def agree(actual: Arrays, model: onnx.ModelProto, expected: Sequence[Any]) -> bool:
    """Whether every output has the expected shape, element type and values."""
    for value, reference in zip(model.graph.output, map(as_array, expected), strict=True):
        found = actual.get(value.name)
        if found is None or found.shape != reference.shape or found.dtype != reference.dtype:
            return False
        if reference.dtype.kind in "OSU":
            if [*map(_text, found.reshape(-1))] != [*map(_text, reference.reshape(-1))]:
                return False
        elif not np.allclose(found, reference, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
            return False
    return True


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def cases(suites: Sequence[Suite] = SUITES) -> Iterator[OperatorCase]:
    """All cases of these suites, in onnx's order; only the first data set of each."""
    for suite in suites:
        for case in _listed(suite):
            loaded = _from_memory(case) if suite == "node" else _from_files(case, suite)
            if loaded is not None:
                model, inputs, outputs = loaded
                yield OperatorCase(suite, case.name, model, tuple(inputs), tuple(outputs))


def float_node_cases() -> Iterator[OperatorCase]:
    """The cases of single operators whose first input is a float32 tensor."""
    return (case for case in cases(["node"]) if case.is_float)


_Loaded = tuple[onnx.ModelProto, list[Any], list[Any]]


def _listed(suite: Suite) -> list[TestCase]:
    with warnings.catch_warnings():
        # Making the cases divides by zero and overflows on purpose.
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return list(load_model_tests(kind="real" if suite == "light" else suite))


def _from_memory(case: TestCase) -> _Loaded | None:
    if case.model is None or not case.data_sets:
        return None
    inputs, outputs = case.data_sets[0]
    return case.model, [*inputs], [*outputs]


def _from_files(case: TestCase, suite: Suite) -> _Loaded | None:
    """What onnx's own runner reads for this case."""
    if suite == "light":
        assert case.url is not None
        path = Path(onnx.__file__).parent.parent / case.url
        model = onnx.load(path)
        held = {tensor.name for tensor in model.graph.initializer}
        entries = [value for value in model.graph.input if value.name not in held]
        dummies: list[Any] = [Runner.generate_dummy_data(value) for value in entries]
        return model, dummies, [_read(path.with_name(f"{path.stem}_output_0.pb"))]
    assert case.model_dir is not None
    folder = Path(case.model_dir)
    data = folder / "test_data_set_0"
    if not data.is_dir():
        return None
    model = onnx.load(folder / "model.onnx")
    inputs, outputs = (
        [_read(data / f"{side}_{number}.pb") for number in range(len(list(data.glob(f"{side}_*"))))]
        for side in ("input", "output")
    )
    return model, inputs, outputs


def _read(path: Path) -> TensorProto:
    tensor = TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return tensor
