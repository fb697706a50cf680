"""Protobuf's wire format, as far as it is read and written without the library."""

from collections.abc import Iterator

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
    for number, begin, start, end in _fields(data):
        if number == _RAW_INPUT_CONTENTS:
            raw.append(data[start:end])
        else:
            rest.append(data[begin:end])
    return b"".join(rest), raw


def ranges(data: memoryview, wanted: int) -> list[tuple[int, int]]:
    """Where the payloads of a field of bytes lie, start and end. Raises InvalidInput."""
    return [(start, end) for number, _, start, end in _fields(data) if number == wanted]


def _fields(data: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """(number, begin, start of the payload, end) of each field; number -1 for one of no bytes."""
    at, end = 0, len(data)
    while at < end:
        begin = at
        tag, at = _varint(data, at)
        kind, number = tag & 7, -1
        start = at
        if kind == _BYTES:
            size, start = _varint(data, at)
            if size > end - start:
                raise _broken()
            number, at = tag >> 3, start + size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        else:
            raise _broken()
        yield number, begin, start, at


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
