"""The places where a test may cut the power: one call before and one after each side effect."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

Reach = Callable[[str], None]
"""Called with `STATE:before` or `STATE:after` (or a named point inside) as the engine passes."""


def pass_by(point: str) -> None:
    """What a device does at every point: nothing."""


class KillOnce:
    """Kill at the point that the file `order` names: `agent POINT` or `daemon POINT`.

    The order is removed first, so that after the restart the point is passed. With
    `daemon` the supervisor is killed, and by the kernel all its children with it.
    """

    def __init__(self, order: Path) -> None:
        self._order = order

    def __call__(self, point: str) -> None:
        """Die when the order says so."""
        try:
            victim, _, wanted = self._order.read_text().strip().partition(" ")
        except FileNotFoundError:
            return
        if point != wanted:
            return
        self._order.unlink()
        if victim == "daemon":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
