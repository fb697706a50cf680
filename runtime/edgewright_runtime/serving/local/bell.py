"""Two eventfds and a thread: the client rings one, the slot runs, the other answers."""

import contextlib
import logging
import os
import threading

from edgewright_runtime.serving.local.slot import LocalSlot

_log = logging.getLogger(__name__)
_STOP = 1 << 40
"""As a semaphore's count it cannot be read away by a client that holds the eventfd too."""
_JOIN_S = 0.02
_JOINS = 500
OFFERED = hasattr(os, "eventfd")
"""Linux only."""


class BellThread:
    """Runs a slot whenever its bell is rung, until `stop`."""

    def __init__(self, slot: LocalSlot, name: str) -> None:
        """Raises OSError when there are no descriptors left, RuntimeError without threads."""
        self._slot = slot
        self._stopping = False
        # The server makes them: a client cannot pass something else that blocks otherwise.
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        try:
            self.answer = os.eventfd(0, os.EFD_CLOEXEC)
        except OSError:
            os.close(self.bell)
            raise
        self._thread = threading.Thread(target=self._turn, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            os.close(self.bell)
            os.close(self.answer)
            raise

    def stop(self) -> bool:
        """After what is running; whether the thread has ended, and the slot may be closed."""
        self._stopping = True
        for _ in range(_JOINS):
            # Either may block the thread: nobody rings, or nobody has read the answers.
            for descriptor in (self.bell, self.answer):
                os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self.bell, _STOP)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self.answer)
            self._thread.join(_JOIN_S)
            if not self._thread.is_alive():
                os.close(self.bell)
                os.close(self.answer)
                return True
        _log.error("a slot's thread does not end; its engine hangs thread=%s", self._thread.name)
        return False

    def _turn(self) -> None:
        bell, read, run, ring = self.bell, os.eventfd_read, self._slot.run, self._ring
        while True:
            try:
                read(bell)
            except BlockingIOError:
                if not self._stopping:
                    # The client has changed the description that it shares with us.
                    os.set_blocking(bell, True)
                    continue
            if self._stopping:
                return
            run(ring)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self.answer, 1)
