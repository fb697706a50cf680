"""One HTTP/2 stream: one call from its headers to its last byte; and who answers calls."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.serving.grpc.headers import CallHead
from edgewright_runtime.serving.grpc.incoming import IncomingMessage

Answer = Callable[[Sequence[Buffer] | RuntimeFault], None]
"""Takes the reply message in pieces, or why there is none; once, on the event loop."""
Cancel = Callable[[], object]


class Peer(Protocol):
    """The caller's side of a call of many messages."""

    def send(self, parts: Sequence[Buffer]) -> None:
        """One message, in pieces."""

    def release(self, size_bytes: int) -> None:
        """A message of this size, which the exchange took, is answered."""

    def close(self, error: RuntimeFault | None) -> None:
        """Nothing more is sent; the call ends with this error, or well."""


class Exchange(Protocol):
    """The application's side of it: takes messages as they come, answers when it can."""

    def take(self, message: Buffer) -> None:
        """A message of the caller. Raises nothing; the peer hears what becomes of it."""

    def end(self, error: RuntimeFault | None = None) -> None:
        """No more will come: answer what was taken, then close the peer with `error`."""

    def forget(self) -> None:
        """Nobody waits any more: give up what has not begun."""


class Application(Protocol):
    """Answers calls."""

    def __call__(
        self,
        path: bytes,
        message: Buffer,
        timeout_s: float | None,
        client: Hashable,
        answer: Answer,
    ) -> Cancel | None:
        """Have `answer` called, at once or later; return a way to give up what has not begun.

        `timeout_s` is what is left of the caller's deadline, `client` who asks (see `clients`).
        Raises nothing.
        """

    streamed: frozenset[bytes]
    """The paths of calls of many messages."""

    def open(self, path: bytes, peer: Peer, client: Hashable, *, wants_status: bool) -> Exchange:
        """The exchange of a call of many messages.

        `wants_status` asks that the first error ends the call with its status.
        """

    traceparent: bytes | None
    """What the headers of the call that is made next say of its trace."""

    def unanswerable(self, path: bytes) -> RuntimeFault | None:
        """Why no call of this path will be answered; asked before its message comes."""


class Incoming(Protocol):
    """What a stream hands the messages of a call of many to (see `streamed`)."""

    def go_on(self) -> None:
        """There may be room again."""

    def forget(self) -> None:
        """Nobody waits any more."""


class Stream:
    """The state of one call. What a quick unary call never sets is the class's own."""

    answered = False
    """The reply, or the end of the replies, is decided."""
    begun = False
    """The reply's headers have gone."""
    cancel: Cancel | None = None
    incoming: Incoming | None = None
    """Of a call of many messages."""
    later: deque[memoryview] | None = None
    """Replies behind `rest`."""
    is_blocked = False
    """It waits for its own window, not for its turn."""
    is_received = False
    """The client has said that this is all."""
    message: IncomingMessage | None = None
    """The one that is coming in."""
    rest: memoryview | None = None
    """What of the reply waits for the client's window; behind it comes `later`."""
    seen = 0
    """How far it was when it was last looked at."""
    size = 0
    """Bytes of DATA received."""
    timer: asyncio.TimerHandle | None = None
    trailers: bytes | None = None
    """The header block after the last reply; empty for none."""
    unsent_bytes = 0

    def __init__(
        self, identifier: int, head: CallHead, *, window: int, send_window: int, now_s: float
    ) -> None:
        self.identifier = identifier
        self.head = head
        self.window = window
        """Bytes that the client may still send."""
        self.send_window = send_window
        """Bytes that we may still send."""
        self.opened_s = self.touched_s = now_s

        self.is_simple = head.http_status == 200
        """A call of one message; not one of many, nor what is no gRPC."""

    def is_stalled(self, now_s: float, limit_s: float) -> bool:
        """Whether the client has neither sent nor taken anything for too long."""
        is_waiting = self.is_received or (self.incoming is not None and self.message is None)
        if is_waiting and self.rest is None:
            return False  # the engine's turn, or the caller's, who may take its time
        seen = self.size if self.rest is None else -self.unsent_bytes
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
        if self.incoming is not None:
            self.incoming.forget()
