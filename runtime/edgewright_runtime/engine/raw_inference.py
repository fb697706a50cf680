"""Inference on raw tensors with any engine: numpy comes in only where the engine wants it."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.session import Session

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
