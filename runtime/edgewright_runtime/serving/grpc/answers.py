"""Asks the application, and sends what it answers: whole, packed, or as an error."""

import asyncio
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import DeadlineExceeded, RuntimeFault
from edgewright_runtime.serving.grpc.headers import (
    ANSWER_TRAILERS,
    packed_head,
    plain_head,
    refusal,
)
from edgewright_runtime.serving.grpc.incoming import IncomingMessage
from edgewright_runtime.serving.grpc.packing import LARGE_BYTES, WORTH_BYTES, pack, unpack
from edgewright_runtime.serving.grpc.sender import Sender
from edgewright_runtime.serving.grpc.status import GrpcRefused, code_of
from edgewright_runtime.serving.grpc.stream import Answer, Application, Stream
from edgewright_runtime.serving.grpc.streamed import StreamedCall

_PLAIN = b"this port speaks gRPC: inference.GRPCInferenceService\n"
_Work = Callable[[], Buffer]


class Answers:
    """Of one connection, whose open calls are `streams`."""

    def __init__(
        self,
        application: Application,
        sender: Sender,
        streams: Mapping[int, Stream],
        *,
        client: Hashable,
        answered: Callable[[], None],
        message_bytes: int,
    ) -> None:
        self._application = application
        self._sender = sender
        self._streams = streams
        self._client = client
        self._answered = answered
        self._message_bytes = message_bytes
        self._loop = asyncio.get_running_loop()

    def ask_whole(self, stream: Stream, message: IncomingMessage) -> None:
        """Ask with a message that came in pieces, or packed. Raises GrpcRefused."""
        body = message.whole()
        if not message.is_compressed:
            self.ask(stream, body)
            return
        encoding = stream.head.encoding
        work = functools.partial(unpack, body, encoding, self._message_bytes)
        self._worked(stream, message.size, work, self.ask)

    def ask(self, stream: Stream, body: Buffer) -> None:
        """Ask with a whole message, if there is time left."""
        left_s = stream.head.timeout_s
        if left_s is not None:
            left_s -= self._loop.time() - stream.opened_s
            if left_s <= 0:
                late = DeadlineExceeded("the deadline had passed when the call was complete")
                self.answer(stream, late)
                return
        answer: Answer = functools.partial(self.answer, stream)
        head = stream.head
        client = head.client or self._client
        self._application.traceparent = head.traceparent
        cancel = self._application(head.path, body, left_s, client, answer)
        if not stream.answered:
            stream.cancel = cancel
            if left_s is not None:
                stream.timer = self._loop.call_later(left_s, self.expire, stream)

    def _worked(
        self, stream: Stream, size: int, work: _Work, then: Callable[[Stream, Buffer], None]
    ) -> None:
        """Go on with what `work` gives, which is for a thread when it is large."""
        if size < LARGE_BYTES:
            then(stream, work())
            return

        def done(finished: asyncio.Future[Buffer]) -> None:
            if self._streams.get(stream.identifier) is not stream:
                return
            try:
                then(stream, finished.result())
            except GrpcRefused as error:
                self.answer(stream, error)
            self._answered()

        self._loop.run_in_executor(None, work).add_done_callback(done)

    def time(self, stream: Stream) -> None:
        """End a call of many messages when its deadline passes, if it has one."""
        if stream.head.timeout_s is not None:
            stream.timer = self._loop.call_later(stream.head.timeout_s, self.expire, stream)

    def expire(self, stream: Stream) -> None:
        """The call's deadline has passed."""
        stream.forget()
        self.answer(stream, DeadlineExceeded("the call was not answered within its deadline"))

    def answer(self, stream: Stream, reply: Sequence[Buffer] | RuntimeFault) -> None:
        """The reply, or why there is none; the first one counts."""
        if stream.answered:
            return
        stream.answered = True
        stream.cancel = None
        if stream.timer is not None:
            stream.timer.cancel()
        if self._streams.get(stream.identifier) is not stream:
            return  # the client took its call back
        if isinstance(reply, RuntimeFault):
            if isinstance(stream.incoming, StreamedCall):
                stream.answered = False
                stream.incoming.close(reply)
            else:
                self._sender.finish(stream, refusal(code_of(reply), str(reply)))
        elif stream.head.packs:
            self._pack(stream, reply)
        else:
            self._sender.reply(stream, reply)
        self._answered()

    def answer_plainly(self, stream: Stream) -> None:
        """Tell one who does not speak gRPC."""
        stream.answered = True
        self._sender.begin(stream, plain_head(stream.head.http_status))
        self._sender.put_bytes(stream, (_PLAIN,))
        self._sender.finish(stream, b"")

    def _pack(self, stream: Stream, reply: Sequence[Buffer]) -> None:
        """The client that packs what it sends gets answers packed."""
        size = sum(map(len, reply))
        if size < WORTH_BYTES:
            self._sender.reply(stream, reply)
            return
        encoding = stream.head.packs
        self._worked(stream, size, functools.partial(pack, reply, encoding), self._send_packed)

    def _send_packed(self, stream: Stream, packed: Buffer) -> None:
        self._sender.begin(stream, packed_head(stream.head.packs))
        self._sender.put(stream, (packed,), is_packed=True)
        self._sender.finish(stream, ANSWER_TRAILERS)
