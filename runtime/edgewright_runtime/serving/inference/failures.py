"""Log lines for requests that an engine failed, so that a caller's complaint can be looked up."""

import logging
import time

from edgewright_runtime.errors import InferenceFailed, RuntimeFault

_log = logging.getLogger(__name__)
_EVERY_S = 1.0
"""A model that fails every request must not fill the disk: one line a second, and a count."""


class Failures:
    """Of one door; on the event loop only."""

    def __init__(self, door: str) -> None:
        self._door = door
        self._next: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, model: str, request_id: str | None, error: RuntimeFault | None) -> None:
        """Log an engine's failure; what callers did wrong they are told, and nobody else."""
        if not isinstance(error, InferenceFailed):
            return
        now = time.monotonic()
        if now < self._next.get(model, 0.0):
            self._unsaid[model] = self._unsaid.get(model, 0) + 1
            return
        self._next[model] = now + _EVERY_S
        _log.warning(
            "inference failed model=%s door=%s request=%s unsaid=%d reason=%s",
            model, self._door, request_id or "-", self._unsaid.pop(model, 0), error,
        )  # fmt: skip  # fields in one line
