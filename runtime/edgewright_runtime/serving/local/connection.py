"""One client of the local door, in a thread of its own: questions and answers in order."""

import contextlib
import logging
import mmap
import socket
from dataclasses import dataclass
from typing import cast

from edgewright_runtime import __version__
from edgewright_runtime import local_protocol as protocol
from edgewright_runtime.errors import LocalFault, Overloaded, RuntimeFault, one_line
from edgewright_runtime.local_protocol import (
    Bell,
    Body,
    Describe,
    Described,
    Header,
    Hello,
    Infer,
    Kind,
    Open,
    Opened,
    Plan,
    Refused,
    Welcome,
)
from edgewright_runtime.serving.clients import local_client
from edgewright_runtime.serving.local import bell, inline
from edgewright_runtime.serving.local.bell import BellThread
from edgewright_runtime.serving.local.framing import Frames, close_all, limit_waits
from edgewright_runtime.serving.local.memory import map_region
from edgewright_runtime.serving.local.slot import LocalSlot
from edgewright_runtime.serving.repository import Repository

_log = logging.getLogger(__name__)
_RAN = protocol.HEADER.pack(Kind.RAN, 0, 0, 0)
_CLOSED = protocol.HEADER.pack(Kind.CLOSED, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class LocalLimits:
    """What a client may ask for. Sizes in bytes, durations in seconds."""

    tensor_bytes: int = 64 << 20
    """Of one INFER; a slot has its own limit, since its pages are the client's."""
    timeout_s: float = 30.0
    """How long a run may wait for its turn when it does not say."""
    frame_s: float = 30.0
    """For each pause within a frame, and for a client to take its answer."""
    connections: int = 256
    """Each has a thread; more are turned away."""


class LocalConnection:
    """Serves one client until it hangs up or breaks the protocol."""

    def __init__(
        self, connection: socket.socket, repository: Repository, limits: LocalLimits
    ) -> None:
        self._connection = connection
        self._repository = repository
        self._limits = limits
        self._frames = Frames(connection, tensor_bytes=limits.tensor_bytes)
        self._slots: dict[int, tuple[LocalSlot, BellThread | None]] = {}
        self._next = 0
        self._client = local_client(connection)

    def serve(self) -> None:
        """The thread's whole life; every descriptor is closed at its end."""
        try:
            limit_waits(self._connection, self._limits.frame_s)
            self._greet()
            while (header := self._frames.header()) is not None:
                self._answer(header)
        except LocalFault as error:
            _log.warning("local client refused reason=%s", error)
            with contextlib.suppress(OSError, LocalFault):
                self._refuse(error)
        except OSError:
            pass  # the client is gone
        finally:
            for number in list(self._slots):
                self._close(number)
            self._connection.close()

    def turn_away(self, reason: str) -> None:
        """Instead of `serve`."""
        with contextlib.suppress(OSError, LocalFault):
            self._connection.setblocking(False)
            self._refuse(Overloaded(reason))
        self._connection.close()

    def hang_up(self) -> None:
        """Have `serve` end after what it is answering; from any thread."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)

    def _greet(self) -> None:
        header = self._frames.header()
        if header is None:
            raise ConnectionError("nothing was asked")
        if header.kind is not Kind.HELLO:
            raise LocalFault(f"the first frame must be HELLO, not {header.kind.name}")
        hello = cast(Hello, self._document(header))
        if hello.version != protocol.VERSION:
            raise LocalFault(
                f"this server speaks version {protocol.VERSION} of the local protocol, not "
                f"{hello.version}"
            )
        bells: tuple[Bell, ...] = ("eventfd", "socket") if bell.OFFERED else ("socket",)
        self._say(Welcome(protocol.VERSION, __version__, bells, self._limits.tensor_bytes))

    def _answer(self, header: Header) -> None:
        try:
            match header.kind:
                case Kind.RUN:
                    self._run(header.slot)
                case Kind.DESCRIBE:
                    self._describe(cast(Describe, self._document(header)))
                case Kind.PLAN:
                    question = cast(Plan, self._document(header))
                    self._say(inline.plan(self._repository, question, self._limits.timeout_s))
                case Kind.INFER:
                    self._infer(header)
                case Kind.OPEN:
                    self._open(header)
                case Kind.CLOSE:
                    self._slot(header.slot)
                    self._close(header.slot)
                    self._frames.send(_CLOSED)
                case _:
                    raise LocalFault(f"{header.kind.name} is no question")
        except LocalFault:
            raise
        except RuntimeFault as error:
            self._refuse(error)

    def _document(self, header: Header) -> Body:
        return protocol.parse_document(header.kind, self._frames.body(header.document_bytes))

    def _describe(self, question: Describe) -> None:
        serving = self._repository.model(question.model).serving()
        described = Described(
            model=question.model,
            version=serving.artifact.version,
            variant=serving.artifact.variant,
            placement=serving.session.placement,
            inputs=serving.signature.inputs,
            outputs=serving.signature.outputs,
        )
        self._say(described)

    def _infer(self, header: Header) -> None:
        question = cast(Infer, self._document(header))
        tensors = memoryview(self._frames.body(header.tensor_bytes))
        answer, pieces = inline.infer(
            self._repository,
            question,
            tensors,
            timeout_s=self._limits.timeout_s,
            client=self._client,
        )
        size = sum(len(piece) for piece in pieces)
        self._frames.send(*protocol.frame(answer, tensor_bytes=size), *pieces)

    def _open(self, header: Header) -> None:
        data, descriptors = self._frames.body_with_descriptors(header.document_bytes)
        try:
            question = cast(Open, protocol.parse_document(Kind.OPEN, data))
            if len(descriptors) != 1:
                raise LocalFault(
                    f"OPEN brings one memfd with its document, not {len(descriptors)} descriptors"
                )
            memory = map_region(descriptors[0])
        finally:
            close_all(descriptors)
        protocol.check_places(question, len(memory))
        if len(self._slots) >= protocol.MAX_SLOTS:
            raise Overloaded(f"this connection has {protocol.MAX_SLOTS} slots; close one first")
        if question.bell == "eventfd" and not bell.OFFERED:
            raise Overloaded("this server has no eventfd; open the slot with bell 'socket'")
        self._add(question, memory)

    def _add(self, question: Open, memory: mmap.mmap) -> None:
        slot = LocalSlot(
            self._repository,
            question,
            memory,
            timeout_s=self._limits.timeout_s,
            client=self._client,
        )
        while self._next in self._slots:
            self._next = (self._next + 1) % (1 << 16)
        number, self._next = self._next, (self._next + 1) % (1 << 16)
        if question.bell == "socket":
            self._slots[number] = slot, None
            self._say(Opened(number, "socket"))
            return
        try:
            thread = BellThread(slot, f"slot-{number}")
        except (OSError, RuntimeError) as error:
            slot.close()
            raise Overloaded(f"no eventfd or thread is left: {one_line(error)}") from error
        self._slots[number] = slot, thread
        head, document = protocol.frame(Opened(number, "eventfd"))
        self._frames.send(head, document, descriptors=(thread.bell, thread.answer))

    def _run(self, number: int) -> None:
        slot, thread = self._slot(number)
        if thread is not None:
            raise LocalFault(f"slot {number} is run by its eventfd")
        slot.run(self._ran)

    def _ran(self) -> None:
        self._frames.send(_RAN)

    def _slot(self, number: int) -> tuple[LocalSlot, BellThread | None]:
        found = self._slots.get(number)
        if found is None:
            raise LocalFault(f"slot {number} is not open")
        return found

    def _close(self, number: int) -> None:
        slot, thread = self._slots.pop(number)
        if thread is None or thread.stop():
            slot.close()

    def _say(self, document: Body) -> None:
        self._frames.send(*protocol.frame(document))

    def _refuse(self, error: RuntimeFault) -> None:
        self._say(Refused(protocol.code_of(error), one_line(error)))
