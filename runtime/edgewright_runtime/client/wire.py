"""The client's end of one connection: questions, answers, descriptors."""

import array
import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from edgewright_runtime import local_protocol as protocol
from edgewright_runtime.errors import LocalFault, RuntimeFault, ServerGone, one_line
from edgewright_runtime.local_protocol import Body, Hello, Kind, Refused, Welcome

_Answer = TypeVar("_Answer", bound=Body)
_MAX_TENSOR_BYTES = 1 << 32
HANG_UP: int = getattr(select, "POLLRDHUP", select.POLLHUP)
"""What poll tells of a server that has gone, and never of an answer."""


class Wire:
    """One connection; its methods may be called from several threads."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        """Raises ServerGone when no server listens, LocalFault when it speaks another version."""
        self.path = path
        self.timeout_s = timeout_s
        self.gone = False
        self._lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(str(path))
            self.welcome = self.ask(Hello(protocol.VERSION), Welcome)
        except OSError as error:
            self.close()
            raise ServerGone(
                f"{path}: no server answers there ({one_line(error)}); is it running?"
            ) from error
        except RuntimeFault:
            self.close()
            raise

    def close(self) -> None:
        """Hang up: the server frees all slots. Idempotent."""
        self.gone = True
        self.socket.close()

    def ask(self, question: Body, kind: type[_Answer], *, descriptor: int | None = None) -> _Answer:
        """The answer of that kind. Raises ServerGone, LocalFault, and what a refusal stands for."""
        answer, _, descriptors = self.exchange(question, (), descriptor=descriptor)
        close_all(descriptors)
        return _as(kind, answer)

    def exchange(
        self, question: Body, tensors: Sequence[memoryview], *, descriptor: int | None = None
    ) -> tuple[Body, memoryview, list[int]]:
        """Answer, tensors and descriptors. Raises as `ask` does."""
        size = sum(len(piece) for piece in tensors)
        head, document = protocol.frame(question, tensor_bytes=size)
        with self._lock, self._told_when_broken():
            # A server that hangs up has said why, which is still there to be read.
            with contextlib.suppress(BrokenPipeError):
                self._send(head, document, tensors, descriptor)
            return self._answer()

    def signal(self, kind: Kind, slot: int, answer: Kind) -> None:
        """RUN or CLOSE a slot, and wait for the answer. Raises as `ask` does."""
        with self._lock, self._told_when_broken():
            self.socket.sendall(protocol.HEADER.pack(kind, slot, 0, 0))
            head = self._exactly(protocol.HEADER.size)
            header = protocol.parse_header(head, tensor_bytes=_MAX_TENSOR_BYTES)
            if header.kind is not answer:
                body = protocol.parse_document(header.kind, self._exactly(header.document_bytes))
                _raise_refusal(body)
                raise LocalFault(f"{header.kind.name} is no answer to {kind.name}")

    def broken(self, problem: str) -> ServerGone:
        """The error for a connection that does not answer any more, which is closed."""
        self.close()
        return ServerGone(f"{self.path}: {problem}; connect again")

    def _send(
        self,
        head: bytes,
        document: bytes,
        tensors: Sequence[memoryview],
        descriptor: int | None,
    ) -> None:
        if descriptor is None:
            self.socket.sendall(head + document)
        else:
            self.socket.sendall(head)
            right = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
            sent = self.socket.sendmsg([document], [right])
            if sent < len(document):
                self.socket.sendall(document[sent:])
        for piece in tensors:
            self.socket.sendall(piece)

    def _answer(self) -> tuple[Body, memoryview, list[int]]:
        head = self._exactly(protocol.HEADER.size)
        header = protocol.parse_header(head, tensor_bytes=_MAX_TENSOR_BYTES)
        descriptors: list[int] = []
        if header.kind is Kind.OPENED:
            data, descriptors = self._with_descriptors(header.document_bytes)
        else:
            data = self._exactly(header.document_bytes)
        try:
            body = protocol.parse_document(header.kind, data)
            tensors = memoryview(self._exactly(header.tensor_bytes))
            _raise_refusal(body)
        except (RuntimeFault, OSError):
            close_all(descriptors)
            raise
        return body, tensors, descriptors

    def _with_descriptors(self, size: int) -> tuple[bytearray, list[int]]:
        data, ancillary, _, _ = self.socket.recvmsg(
            size, socket.CMSG_SPACE(2 * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        )
        found = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found.frombytes(content[: len(content) // 4 * 4])
        return bytearray(data) + self._exactly(size - len(data)), list(found)

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = self.socket.recv_into(view)
            if not got:
                raise ConnectionError("the server has hung up")
            view = view[got:]
        return data

    @contextlib.contextmanager
    def _told_when_broken(self) -> Iterator[None]:
        if self.gone:
            raise ServerGone(f"{self.path}: this connection has ended; connect again")
        try:
            yield
        except TimeoutError as error:
            raise self.broken(f"the server did not answer within {self.timeout_s:g} s") from error
        except OSError as error:
            raise self.broken(f"the server has gone ({one_line(error)})") from error
        except LocalFault:
            self.close()
            raise


def _raise_refusal(body: Body) -> None:
    if isinstance(body, Refused):
        raise protocol.error_of(body.code, body.reason)


def _as(kind: type[_Answer], answer: Body) -> _Answer:
    if not isinstance(answer, kind):
        raise LocalFault(f"a {type(answer).__name__} is no answer to this question")
    return answer


def close_all(descriptors: Sequence[int]) -> None:
    """Close what came from the server."""
    for descriptor in descriptors:
        os.close(descriptor)
