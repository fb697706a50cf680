"""One inference over memory that stays where it is, to be run again and again.

An engine that can is bound straight onto the memory; of the others the inputs are read and
the outputs written there.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from edgewright_runtime.engine.session import Session
from edgewright_runtime.engine.tensors import Tensor, check_inputs
from edgewright_runtime.errors import InvalidInput

Run = Callable[[], None]
"""One inference; raises InvalidInput, InferenceFailed, and OutputsDiffer."""


class OutputsDiffer(InvalidInput):
    """The outputs have other shapes than the memory that was given for them."""


@runtime_checkable
class BindsInPlace(Protocol):
    """What a session offers whose engine reads and writes a caller's memory."""

    def bind(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
        """See `bind`. `close` of the session lets go of all that is bound."""


def bind(session: Session, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
    """An inference that reads `inputs` and writes `outputs` (C-contiguous, one per output).

    Raises InvalidInput when the arrays do not fit the signature.
    """
    check_inputs(session.signature, inputs)
    if isinstance(session, BindsInPlace):
        return session.bind(inputs, outputs)

    def run() -> None:
        store(session.run(inputs), outputs)

    return run


def store(found: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
    """Copy what an engine gave. Raises OutputsDiffer before anything is written."""
    for name, array in outputs.items():
        if found[name].shape != array.shape:
            raise OutputsDiffer(
                f"output '{name}' has shape {list(found[name].shape)}, there is memory for "
                f"{list(array.shape)}"
            )
    for name, array in outputs.items():
        np.copyto(array, found[name], casting="no")
