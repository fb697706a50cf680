"""What came of one step."""

from collections.abc import Mapping
from typing import NamedTuple

from edgewright_runtime.update.states import Event


class Outcome(NamedTuple):
    """An event, why, and what to remember with the next state."""

    event: Event
    reason: str | None = None
    """One line for people; always there when something was refused or taken back."""
    changes: Mapping[str, object] = {}  # a NamedTuple's default; never written
    """Fields of the cursor that the step sets."""
    wait_s: float = 0.0
    """With RETRY: how long to wait."""
    settles: bool = True
    """Whether the assignment needs no more work when this leads to rest."""
