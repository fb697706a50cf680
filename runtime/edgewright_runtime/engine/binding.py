"""One inference over memory that stays where it is, to be run again and again.

An engine that can is bound straight onto the memory; of the others the inputs are read and
the outputs written there.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from edgewright_runtime.engine.raw_inference import raw_inference
from edgewright_runtime.engine.raw_tensor import RawTensor, check_raw_inputs
from edgewright_runtime.engine.session import Session
from edgewright_runtime.errors import InvalidInput

Run = Callable[[], None]
"""One inference; raises InvalidInput, InferenceFailed, and OutputsDiffer."""


class OutputsDiffer(InvalidInput):
    """The outputs have other shapes than the memory that was given for them."""


@runtime_checkable
class BindsInPlace(Protocol):
    """What a session offers whose engine reads and writes a caller's memory."""

    def bind(self, inputs: Mapping[str, RawTensor], outputs: Mapping[str, RawTensor]) -> Run:
        """See `bind`. `close` of the session lets go of all that is bound."""


def bind(
    session: Session, inputs: Mapping[str, RawTensor], outputs: Mapping[str, RawTensor]
) -> Run:
    """An inference that reads `inputs` and writes `outputs` (writable memory, one per output).

    Raises InvalidInput when the tensors do not fit the signature.
    """
    check_raw_inputs(session.signature, inputs)
    if isinstance(session, BindsInPlace):
        return session.bind(inputs, outputs)
    infer = raw_inference(session)

    def run() -> None:
        store(infer(inputs), outputs)

    return run


def store(found: Mapping[str, RawTensor], outputs: Mapping[str, RawTensor]) -> None:
    """Copy what an engine gave. Raises OutputsDiffer before anything is written."""
    for name, room in outputs.items():
        made = found[name]
        if made.shape != room.shape or made.datatype != room.datatype:
            raise OutputsDiffer(
                f"output '{name}' is {made.datatype} {list(made.shape)}, there is memory for "
                f"{room.datatype} {list(room.shape)}"
            )
    for name, room in outputs.items():
        memoryview(room.data)[:] = found[name].data
