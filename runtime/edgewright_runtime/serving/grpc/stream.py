"""One HTTP/2 stream: one unary call from its headers to its last byte."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.serving.grpc.headers import CallHead
from edgewright_runtime.serving.grpc.incoming import IncomingMessage

Answer = Callable[[Sequence[Buffer] | RuntimeFault], None]
"""Takes the reply message in pieces, or why there is none; once, on the event loop."""
Cancel = Callable[[], object]


class Application(Protocol):
    """Answers calls."""

    def __call__(
        self, path: bytes, message: Buffer, timeout_s: float | None, answer: Answer
    ) -> Cancel | None:
        """Have `answer` called, at once or later; return a way to give up what has not begun.

        `timeout_s` is what is left of the caller's deadline. Raises nothing.
        """

    def unanswerable(self, path: bytes) -> RuntimeFault | None:
        """Why no call of this path will be answered; asked before its message comes."""


class Stream:
    """The state of one call."""

    __slots__ = (
        "answered",
        "cancel",
        "head",
        "identifier",
        "is_blocked",
        "is_received",
        "message",
        "opened_s",
        "rest",
        "seen",
        "send_window",
        "size",
        "timer",
        "touched_s",
        "window",
    )

    def __init__(
        self, identifier: int, head: CallHead, *, window: int, send_window: int, now_s: float
    ) -> None:
        self.identifier = identifier
        self.head = head
        self.window = window
        """Bytes that the client may still send."""
        self.send_window = send_window
        """Bytes that we may still send."""
        self.size = 0
        """Bytes of DATA received."""
        self.message: IncomingMessage | None = None
        self.opened_s = self.touched_s = now_s
        self.is_received = False
        """The client has said that this is all."""
        self.answered = False
        self.cancel: Cancel | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.rest: memoryview | None = None
        """What of the reply waits for the client's window."""
        self.is_blocked = False
        """It waits for its own window, not for its turn."""

        self.seen = 0
        """How far it was when it was last looked at."""

    def is_stalled(self, now_s: float, limit_s: float) -> bool:
        """Whether the client has neither sent nor taken anything for too long."""
        if self.is_received and self.rest is None:
            return False  # the engine's turn
        seen = self.size if self.rest is None else -len(self.rest)
        if seen != self.seen:
            self.seen, self.touched_s = seen, now_s
        return now_s - self.touched_s > limit_s

    def forget(self) -> None:
        """Give up what has not begun."""
        if self.timer is not None:
            self.timer.cancel()
        if self.cancel is not None:
            self.cancel()
            self.cancel = None
