"""What one client may make us do for nothing, before it is told to calm down.

Empty frames, resets and pings are paid from a client's patience, which useful calls and time
restore: CVE-2019-9511 to -9518, CVE-2023-44487 (rapid reset), CVE-2024-27316 (CONTINUATION
flood), CVE-2025-8671 (resets that we are made to send).
"""

from edgewright_runtime.serving.grpc.frames import ConnectionFault, Reason

RESET_COST = 5
_FULL = 2000
_PER_CALL = 10
_PER_S = 500
_PER_DATA_FRAME = 3
"""A WINDOW_UPDATE or two for each DATA frame that we sent is what a client must do."""


class Patience:
    """One connection's."""

    def __init__(self) -> None:
        self._left = _FULL
        self.data_frames = 0
        """How many the client has had since they were last counted."""

    def tire(self, cost: int) -> None:
        """The client made us work for nothing. Raises ConnectionFault when that was too much."""
        self._left -= cost
        if self._left < 0:
            self._left += _PER_DATA_FRAME * self.data_frames
            self.data_frames = 0
            if self._left < 0:
                raise ConnectionFault(Reason.ENHANCE_YOUR_CALM, "too much that leads to nothing")
            self._left = min(self._left, _FULL)

    def answered(self) -> None:
        """A call was of use."""
        if self._left < _FULL:
            self._left += _PER_CALL

    def second_passed(self) -> None:
        """Called about once a second."""
        self._left = min(_FULL, self._left + _PER_S)
