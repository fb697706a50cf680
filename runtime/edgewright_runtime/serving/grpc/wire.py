"""Protobuf's wire format, as far as it is read and written without the library."""

from google.protobuf.message import (  # type: ignore[import-untyped]  # protobuf ships no types
    DecodeError,
)

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.errors import InvalidInput, one_line
from edgewright_runtime.serving.grpc.messages import Message, MessageClass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_RAW_INPUT_CONTENTS = 7
_VARINT_BYTES = 10


def parse(message_class: MessageClass, data: Buffer) -> Message:
    """The message in `data`. Raises InvalidInput."""
    try:
        return message_class.FromString(bytes(data))
    except DecodeError as error:
        raise InvalidInput(
            f"the request is no valid {message_class.DESCRIPTOR.name}: {one_line(error)}"
        ) from error


def bytes_field(number: int, size: int) -> bytes:
    """What comes before `size` bytes of a field below number 16."""
    head = bytearray(((number << 3 | _BYTES),))
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)


def split_raw_contents(data: memoryview) -> tuple[bytes, list[memoryview]]:
    """A ModelInferRequest without its raw_input_contents, and these where they lie.

    Fields keep their order, so that the rest means what it meant. Raises InvalidInput.
    """
    rest: list[memoryview] = []
    raw: list[memoryview] = []
    at, end = 0, len(data)
    while at < end:
        begin = at
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            if size > end - at:
                raise _broken()
            at += size
            if tag >> 3 == _RAW_INPUT_CONTENTS:
                raw.append(data[at - size : at])
                continue
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        else:
            raise _broken()
        rest.append(data[begin:at])
    return b"".join(rest), raw


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + _VARINT_BYTES]:
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise _broken()


def _broken() -> InvalidInput:
    return InvalidInput("the request is no valid ModelInferRequest: it is cut off or damaged")
