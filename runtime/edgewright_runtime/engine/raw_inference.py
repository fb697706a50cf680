"""Inference on raw tensors with any engine: numpy comes in only where the engine wants it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgewright_manifests.signature import ModelSignature

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.session import Session

if TYPE_CHECKING:
    from edgewright_runtime.engine.tensors import Tensor

RawInference = Callable[[Mapping[str, RawTensor]], Mapping[str, RawTensor]]
"""Outputs by name; raises InvalidInput, InferenceFailed."""


@runtime_checkable
class RunsRaw(Protocol):
    """What a session offers whose engine takes bytes as they are."""

    def infer(self, inputs: Mapping[str, RawTensor]) -> dict[str, RawTensor]:
        """As `Session.run`, on raw tensors."""


def raw_inference(session: Session) -> RawInference:
    """How to run `session` on raw tensors."""
    if isinstance(session, RunsRaw):
        return session.infer
    from edgewright_runtime.engine.tensors import DATATYPES, from_raw, to_raw

    def infer(inputs: Mapping[str, RawTensor]) -> Mapping[str, RawTensor]:
        found = session.run({name: from_raw(tensor) for name, tensor in inputs.items()})
        return {name: to_raw(array, DATATYPES[array.dtype]) for name, array in found.items()}

    return infer


def run_raw(
    signature: ModelSignature, infer: RawInference, inputs: "Mapping[str, Tensor]"
) -> "dict[str, Tensor]":
    """`Session.run` of an engine that takes bytes; the outputs are the caller's own."""
    from edgewright_runtime.engine.tensors import check_inputs, from_raw, to_raw

    check_inputs(signature, inputs)
    raw = {spec.name: to_raw(inputs[spec.name], spec.datatype) for spec in signature.inputs}
    return {name: from_raw(tensor) for name, tensor in infer(raw).items()}
