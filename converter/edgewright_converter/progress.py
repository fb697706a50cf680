"""Tells on stderr which stage runs, so that a long conversion is never silent."""

import sys
import time
from typing import TextIO


class Progress:
    """Numbered stages, and steps inside them, one line each with the time since the start."""

    def __init__(self, stages: int, stream: TextIO | None = None) -> None:
        self._stages = stages
        self._stage = 0
        self._stream = stream if stream is not None else sys.stderr
        self._started = time.monotonic()

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
        print(f"{time.monotonic() - self._started:6.1f} s {text}", file=self._stream, flush=True)
