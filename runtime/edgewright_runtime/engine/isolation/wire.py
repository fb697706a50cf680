"""What parent and child say: one packet per message, tensors in memory that both see.

Inputs lie in the parent's memfd, outputs in the child's; a descriptor goes along whenever its
owner has made a larger one. BYTES tensors go in the packet.
"""

import array
import fcntl
import mmap
import os
import socket
import sys
from collections.abc import Mapping

import msgspec
from edgewright_manifests.signature import DataType, ModelSignature
from edgewright_manifests.variant import Target

from edgewright_runtime.engine.raw_tensor import RawTensor

_PACKET_BYTES = 128 << 10
_ALIGNMENT = 64
_SMALLEST_BYTES = 64 << 10
SUPPORTED = sys.platform.startswith("linux")
"""memfd and sequenced packets are Linux's."""


class PacketTooLarge(Exception):
    """A message that does not go into one packet; only strings make it so large."""


class Order(msgspec.Struct, frozen=True):
    """What a child is to run: the arguments of `open_session`."""

    target: Target
    path: str
    threads: int
    providers: tuple[str, ...] = ()
    cache: str | None = None


class Laid(msgspec.Struct, frozen=True, array_like=True):
    """A tensor in the sender's memory; of BYTES its elements."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    elements: list[bytes] | None = None


class Call(msgspec.Struct, frozen=True, tag="call"):
    """Run once."""

    inputs: list[Laid]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""

    signature: ModelSignature
    placement: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The outputs of a Call."""

    outputs: list[Laid]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The model could not be loaded or run; the process goes on living, if it was loaded."""

    kind: str
    """Name of the class in errors.py."""
    reason: str
    remedy: str = ""


Message = Call | Ready | Answered | Failed
_MESSAGES: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Room:
    """Memory that this side writes and the other reads."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._descriptor: int | None = None
        self._is_new = False

    def lay(self, tensors: Mapping[str, RawTensor]) -> list[Laid]:
        """Copy them in."""
        laid, end = [], 0
        for name, tensor in tensors.items():
            if tensor.elements is not None:
                laid.append(Laid(name, tensor.datatype, tensor.shape, 0, 0, tensor.elements))
                continue
            laid.append(Laid(name, tensor.datatype, tensor.shape, end, tensor.nbytes))
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        memory = self._of(end)
        for each in laid:
            if each.nbytes:
                memory[each.offset : each.offset + each.nbytes] = bytes_of(tensors[each.name])
        return laid

    def new_descriptor(self) -> int | None:
        """The memory's descriptor, when the other side does not have it yet."""
        if not self._is_new:
            return None
        self._is_new = False
        return self._descriptor

    def close(self) -> None:
        """Let go of it."""
        if self._memory is not None:
            self._memory.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._memory = self._descriptor = None

    def _of(self, size: int) -> mmap.mmap:
        if self._memory is None or len(self._memory) < size:
            self.close()
            room = max(_SMALLEST_BYTES, 1 << (size - 1).bit_length() if size else 0)
            descriptor = os.memfd_create(
                "edgewright-tensors", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
            )
            os.ftruncate(descriptor, room)
            self._descriptor, self._is_new = descriptor, True
            self._memory = mmap.mmap(descriptor, room)
        return self._memory


class View:
    """The other side's memory."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None

    def take(self, descriptor: int) -> None:
        """Look at this memory from now on; raises OSError when it cannot be made safe."""
        try:
            # What the other side cuts short later would kill who reads it (SIGBUS).
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            memory = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._memory = memory

    def read(self, laid: list[Laid]) -> dict[str, RawTensor]:
        """Copies. Raises ValueError for a tensor beyond the memory."""
        found = {}
        for each in laid:
            data = b""
            if each.nbytes:
                memory = self._memory
                if memory is None or not 0 <= each.offset <= len(memory) - each.nbytes:
                    raise ValueError(f"tensor '{each.name}' lies outside of the memory")
                data = memory[each.offset : each.offset + each.nbytes]
            found[each.name] = RawTensor(each.datatype, each.shape, data, each.elements)
        return found


def bytes_of(tensor: RawTensor) -> memoryview:
    """The elements as bytes."""
    return memoryview(tensor.data).cast("B")


def pack(message: Message) -> bytes:
    """A message as one packet. Raises PacketTooLarge."""
    data = msgspec.msgpack.encode(message)
    if len(data) > _PACKET_BYTES:
        raise PacketTooLarge(
            f"{len(data)} bytes are more than the {_PACKET_BYTES} that go to a model in a process "
            "of its own; send fewer or shorter strings, or set isolation = 'none'"
        )
    return data


def send(connection: socket.socket, data: bytes, descriptor: int | None = None) -> None:
    """One packet. Raises OSError when the other side is gone."""
    if descriptor is None:
        connection.send(data)
    else:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
        connection.sendmsg([data], [rights])


def receive(connection: socket.socket, view: View) -> Message | None:
    """The next message, None when the other side is gone. Raises OSError, ValueError."""
    data, ancillary, flags, _ = connection.recvmsg(_PACKET_BYTES, socket.CMSG_SPACE(4))
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            view.take(int.from_bytes(rights[:4], sys.byteorder))
    if not data:
        return None
    if flags & socket.MSG_TRUNC:
        raise ValueError("a packet that is larger than any may be")
    return _MESSAGES.decode(data)  # its DecodeError is a ValueError
