"""Tells on stderr which stage runs, so that a long conversion is never silent."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

_ENDING = (signal.SIGINT, signal.SIGTERM)


class Progress:
    """Numbered stages, and steps inside them, one line each with the time since the start."""

    def __init__(self, stages: int, stream: TextIO | None = None) -> None:
        self._stages = stages
        self._stage = 0
        self._stream = stream if stream is not None else sys.stderr
        self._started = time.monotonic()
        self._interrupted = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """End at the next step at the latest when a person presses Ctrl-C or the system says so.

        A library's callback may swallow the KeyboardInterrupt; it is raised again then.
        """

        def remember(signum: int, frame: FrameType | None) -> None:
            self._interrupted = True
            raise KeyboardInterrupt

        before = [(number, signal.signal(number, remember)) for number in _ENDING]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def stage(self, text: str) -> None:
        """The next stage begins."""
        self._stage += 1
        self._say(f"[{self._stage}/{self._stages}] {text}")

    def step(self, text: str) -> None:
        """Something inside the stage begins or is known."""
        self._say(f"      {text}")

    def warn(self, text: str) -> None:
        """Something that the person should know, whatever else happens."""
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        print(f"{time.monotonic() - self._started:6.1f} s {text}", file=self._stream, flush=True)
