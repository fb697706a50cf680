"""Tells on stderr which stage runs and how long it may take, so that no conversion is silent.

A pipe gets one line per step. A terminal gets, below the last line, one that changes.
"""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from types import FrameType
from typing import TextIO

from edgewright_converter.time_left import TimeLeft

_ENDING = (signal.SIGINT, signal.SIGTERM)
_CLEAR = "\r\x1b[K"
"""Back to the first column, and empty to the end of the line (ECMA-48 EL)."""


class Progress:
    """Numbered stages, and steps inside them, one line each with the time since the start."""

    def __init__(self, stages: int, stream: TextIO | None = None) -> None:
        self._stages = stages
        self._stage = 0
        self._title = ""
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._started = time.monotonic()
        self._interrupted = False
        self._left = TimeLeft(time.monotonic)

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
            self._wipe()
            for number, handler in before:
                signal.signal(number, handler)

    def stage(self, text: str) -> None:
        """The next stage begins."""
        self._stage += 1
        self._title = text
        self._say(f"[{self._stage}/{self._stages}] {text}")

    def warn(self, text: str) -> None:
        """Something that the person should know, whatever else happens."""
        self._say(f"warning: {text}")

    def expect(self, names: Sequence[str], *, together: int) -> None:
        """Jobs of these names come now, so many at a time."""
        self._left.expect(names, together=together)

    def told(self, name: str, text: str) -> None:
        """A job begins (""), or says something."""
        if not text:
            self._left.began(name)
        line = f"{name}: {text}" if text else name
        left = self._left.told()
        self._say(f"      {line}{f' ({left})' if left else ''}")

    def ended(self, name: str) -> None:
        """A job is done."""
        self._left.ended(name)
        self.tick()

    def reused(self, name: str) -> None:
        """A job need not be done: its result is in the cache."""
        self._say(f"      {name} (from the cache)")

    def tick(self) -> None:
        """Time has passed: the live line may change."""
        if not self._live:
            return
        running = ", ".join(self._left.running)
        left = self._left.told()
        parts = [part for part in (self._title, running, left) if part]
        text = f"{self._since()} [{self._stage}/{self._stages}] {' · '.join(parts)}"
        self._stream.write(_CLEAR + text[: get_terminal_size().columns - 1])
        self._stream.flush()

    def _wipe(self) -> None:
        if self._live:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def _say(self, text: str) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._wipe()
        print(f"{self._since()} {text}", file=self._stream, flush=True)
        self.tick()

    def _since(self) -> str:
        return f"{time.monotonic() - self._started:6.1f} s"
