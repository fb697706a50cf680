"""The questions whose tensors come in the frame itself, or that need none."""

from collections.abc import Hashable, Sequence

from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec

from edgewright_runtime.engine.raw_tensor import RawTensor, example_raw_inputs
from edgewright_runtime.errors import InferenceFailed, InvalidInput
from edgewright_runtime.local_protocol import (
    MAX_REGION_BYTES,
    Infer,
    Inline,
    Outputs,
    Plan,
    Planned,
    tensor_size,
)
from edgewright_runtime.serving.inference.binary_tensors import (
    read_binary_tensor,
    write_binary_tensor,
)
from edgewright_runtime.serving.inference.inputs import check_shape
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.request_options import RequestOptions, read_options


def infer(
    repository: Repository,
    question: Infer,
    tensors: memoryview,
    *,
    timeout_s: float,
    client: Hashable = None,
) -> tuple[Outputs, Sequence[memoryview]]:
    """The answer, and the tensors that go behind it.

    Raises InvalidInput, InferenceFailed, ModelUnknown, Overloaded, DeadlineExceeded.
    """
    inputs = _read(question.inputs, tensors)
    options = _options(question)
    found = repository.model(question.model).infer_here(
        inputs, deadline_s=options.timeout_s or timeout_s, options=options, client=client
    )
    if found.error is not None:
        raise found.error
    assert found.outputs is not None
    described: list[Inline] = []
    pieces: list[memoryview] = []
    for spec in found.answered_by.signature.outputs:
        tensor = found.outputs[spec.name]
        piece = memoryview(write_binary_tensor(tensor))
        described.append(Inline(spec.name, tensor.datatype, tensor.shape, len(piece)))
        pieces.append(piece)
    return Outputs(tuple(described)), pieces


def plan(repository: Repository, question: Plan, timeout_s: float) -> Planned:
    """The outputs' shapes for inputs of these shapes. Raises as `infer` does."""
    signature = repository.model(question.model).serving().signature
    _check_shapes(signature, question)
    if not any(DYNAMIC in spec.shape for spec in signature.outputs):
        return Planned(signature.outputs)
    asked = tuple(
        TensorSpec(spec.name, spec.datatype, question.shapes[spec.name])
        for spec in signature.inputs
    )
    zeros = example_raw_inputs(ModelSignature(asked, ()))
    model = repository.model(question.model)
    if model.sequences is not None:
        raise InvalidInput(f"model '{question.model}' keeps state: its outputs are not planned")
    found = model.infer_here(zeros, deadline_s=timeout_s)
    if found.error is not None:
        raise InferenceFailed(
            f"the outputs' shapes depend on more than the inputs' shapes, since zeros fail "
            f"({found.error}); say them yourself"
        )
    assert found.outputs is not None
    return Planned(
        tuple(
            TensorSpec(spec.name, spec.datatype, found.outputs[spec.name].shape)
            for spec in signature.outputs
        )
    )


def _check_shapes(signature: ModelSignature, question: Plan) -> None:
    total = 0
    for spec in signature.inputs:
        shape = question.shapes.get(spec.name)
        if shape is None or not spec.accepts(shape):
            raise InvalidInput(
                f"input '{spec.name}': the model takes {list(spec.shape)}, not {shape}"
            )
        total += tensor_size(spec.name, spec.datatype, shape)
    if total > MAX_REGION_BYTES:
        raise InvalidInput(f"the inputs have {total} bytes; {MAX_REGION_BYTES} are allowed")


def _read(described: Sequence[Inline], tensors: memoryview) -> dict[str, RawTensor]:
    inputs: dict[str, RawTensor] = {}
    position = 0
    for each in described:
        data = tensors[position : position + max(each.size_bytes, 0)]
        if len(data) != each.size_bytes or each.name in inputs:
            raise InvalidInput(f"input '{each.name}' comes twice, or has less than it says")
        check_shape(each.name, each.shape)
        inputs[each.name] = read_binary_tensor(each.name, each.datatype, each.shape, data)
        position += each.size_bytes
    if position != len(tensors):
        raise InvalidInput(f"{len(tensors) - position} bytes of tensors belong to no input")
    return inputs


def _options(question: Infer) -> RequestOptions:
    return read_options(
        {
            "timeout": question.timeout_us,
            "priority": question.priority,
            "sequence_id": question.sequence_id,
            "sequence_start": question.sequence_start,
            "sequence_end": question.sequence_end,
        }
    )
