"""The protocol of the local door, version 1: frames over a Unix stream socket.

A frame is a header (HEADER: kind, slot, bytes of document, bytes of tensors), a JSON
document (none for RUN, RAN, CLOSE, CLOSED) and raw tensors (only INFER, OUTPUTS). The client
asks, the server answers in order with the kind that belongs to the question, or REFUSED.
After REFUSED with Code.PROTOCOL the server hangs up.

A slot is a memfd of the client's, sealed against shrinking and growing, sent with the first
byte of OPEN's *document* (SCM_RIGHTS). It starts with STATUS_BYTES that the server writes and
never reads:

    0   STATUS: state, code, bytes of message; all u32
    64  the outputs' sizes, i64, dimension after dimension: valid in State.RESHAPED
    512 the message of State.FAILED, UTF-8

The tensors lie behind it, row-major and little-endian, at multiples of ALIGNMENT. A run
is asked for with RUN (answered by RAN), or where OPENED brought two eventfds by adding 1 to
the first; the server then adds 1 to the second. Either way the state tells what became of it.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

import msgspec
from edgewright_manifests.signature import DataType, TensorSpec

from edgewright_runtime.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    LocalFault,
    ModelUnknown,
    Overloaded,
    RuntimeFault,
)

VERSION = 1
HEADER = struct.Struct("<HHIQ")
"""kind, slot (0 where none is meant), bytes of document, bytes of tensors."""
MAX_DOCUMENT_BYTES = 1 << 20
MAX_REGION_BYTES = 1 << 30
"""Of one slot's memory. Pages are the client's, and exist only once they are written."""
MAX_RANK = 32
MAX_SLOTS = 64
"""Of one connection; each with a bell has a thread in the server."""
STATUS = struct.Struct("<III")
STATUS_BYTES = 1024
SIZES_OFFSET = 64
SIZES_COUNT = 56
MESSAGE_OFFSET = 512
ALIGNMENT = 64
"""Bytes; what the widest vector instructions like."""

Bell = Literal["eventfd", "socket"]

ITEM_BYTES: Mapping[DataType, int] = MappingProxyType(
    {
        "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2,
        "INT32": 4, "INT64": 8, "FP16": 2, "FP32": 4, "FP64": 8,
    }
)  # fmt: skip  # the protocol's own table
"""BYTES is absent: its strings have no fixed size, and so no place in a slot."""


class Kind(IntEnum):
    """What a frame is; answers are from 100 on."""

    HELLO = 1
    DESCRIBE = 2
    PLAN = 3
    INFER = 4
    OPEN = 5
    RUN = 6
    CLOSE = 7
    REFUSED = 100
    WELCOME = 101
    DESCRIBED = 102
    PLANNED = 103
    OUTPUTS = 104
    OPENED = 105
    RAN = 106
    CLOSED = 107


class State(IntEnum):
    """What became of a slot's last run."""

    FRESH = 0
    DONE = 1
    RESHAPED = 2
    """Done, but the outputs have the sizes in the status block, not those of OPEN."""
    FAILED = 3


class Code(IntEnum):
    """Why a question was refused, or a run failed."""

    INVALID_INPUT = 1
    MODEL_UNKNOWN = 2
    OVERLOADED = 3
    DEADLINE = 4
    FAILED = 5
    PROTOCOL = 6


_ERRORS: Mapping[Code, type[RuntimeFault]] = MappingProxyType(
    {
        Code.INVALID_INPUT: InvalidInput,
        Code.MODEL_UNKNOWN: ModelUnknown,
        Code.OVERLOADED: Overloaded,
        Code.DEADLINE: DeadlineExceeded,
        Code.FAILED: InferenceFailed,
        Code.PROTOCOL: LocalFault,
    }
)


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all documents."""


class Hello(Body, frozen=True):
    """The first frame: the version that the client speaks."""

    version: int


class Welcome(Body, frozen=True):
    """The server speaks it too. `bells` are those that it offers."""

    version: int
    server: str
    bells: tuple[Bell, ...]
    tensor_bytes: int
    """The most that an INFER may bring."""


class Describe(Body, frozen=True):
    """What does this model take and give?"""

    model: str


class Described(Body, frozen=True):
    """The release that serves now."""

    model: str
    version: str
    variant: str
    placement: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Plan(Body, frozen=True):
    """Which outputs does the model give for inputs of these shapes?"""

    model: str
    shapes: dict[str, tuple[int, ...]]


class Planned(Body, frozen=True):
    """The outputs with all sizes known; found by running zeros where the model leaves some free."""

    outputs: tuple[TensorSpec, ...]


class Inline(Body, frozen=True):
    """One tensor among those behind the document; BYTES has a u32 length before each string."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    size_bytes: int


class Infer(Body, frozen=True, omit_defaults=True):
    """One inference with the tensors in the frame. `timeout_us` 0: the server's own."""

    model: str
    inputs: tuple[Inline, ...]
    timeout_us: int = 0
    priority: int = 0
    """1 is served first; 0: the model's usual one."""
    sequence_id: int | str | None = None
    """The stream that it belongs to, of a model that keeps state."""
    sequence_start: bool = False
    sequence_end: bool = False


class Outputs(Body, frozen=True):
    """The answer, with the tensors in the frame."""

    outputs: tuple[Inline, ...]


class Placed(Body, frozen=True):
    """One tensor in a slot's memory."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    offset: int


class Open(Body, frozen=True):
    """Make the memory that comes with this document a slot of `model`."""

    model: str
    inputs: tuple[Placed, ...]
    outputs: tuple[Placed, ...]
    bell: Bell
    timeout_us: int = 0


class Opened(Body, frozen=True):
    """The slot's number. With bell `eventfd` two eventfds come with the document."""

    slot: int
    bell: Bell


class Refused(Body, frozen=True):
    """The question was not carried out; `reason` is one line for people."""

    code: Code
    reason: str


_DOCUMENTS: Mapping[Kind, type[Body]] = MappingProxyType(
    {
        Kind.HELLO: Hello,
        Kind.DESCRIBE: Describe,
        Kind.PLAN: Plan,
        Kind.INFER: Infer,
        Kind.OPEN: Open,
        Kind.REFUSED: Refused,
        Kind.WELCOME: Welcome,
        Kind.DESCRIBED: Described,
        Kind.PLANNED: Planned,
        Kind.OUTPUTS: Outputs,
        Kind.OPENED: Opened,
    }
)
_KINDS: Mapping[type[Body], Kind] = MappingProxyType(
    {document: kind for kind, document in _DOCUMENTS.items()}
)


class Header(msgspec.Struct, frozen=True):
    """A frame's first 16 bytes, checked."""

    kind: Kind
    slot: int
    document_bytes: int
    tensor_bytes: int


def frame(document: Body, *, tensor_bytes: int = 0) -> tuple[bytes, bytes]:
    """Header and document of a frame that says this; `tensor_bytes` will follow."""
    data = msgspec.json.encode(document)
    kind = _KINDS[type(document)]
    return HEADER.pack(kind, 0, len(data), tensor_bytes), data


def parse_header(data: bytes | bytearray, *, tensor_bytes: int) -> Header:
    """The header of a frame that may bring up to `tensor_bytes`. Raises LocalFault."""
    if len(data) != HEADER.size:
        raise LocalFault(f"a frame's header has {HEADER.size} bytes, not {len(data)}")
    number, slot, document, tensors = HEADER.unpack(data)
    try:
        kind = Kind(number)
    except ValueError as error:
        raise LocalFault(f"there is no frame of kind {number}") from error
    if document > MAX_DOCUMENT_BYTES:
        raise LocalFault(f"a document of {document} bytes; {MAX_DOCUMENT_BYTES} are allowed")
    if bool(document) != (kind in _DOCUMENTS):
        raise LocalFault(f"a {kind.name} frame has a document of {document} bytes")
    if tensors and kind not in (Kind.INFER, Kind.OUTPUTS):
        raise LocalFault(f"a {kind.name} frame brings no tensors, not {tensors} bytes")
    if tensors > tensor_bytes:
        raise LocalFault(f"{tensors} bytes of tensors; {tensor_bytes} are allowed")
    return Header(kind, slot, document, tensors)


def parse_document(kind: Kind, data: bytes | bytearray) -> Body:
    """The document of a frame of that kind. Raises LocalFault."""
    try:
        return _DECODERS[kind].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LocalFault(f"no valid {kind.name} document: {error}") from error


_DECODERS: Mapping[Kind, msgspec.json.Decoder[Body]] = MappingProxyType(
    {kind: msgspec.json.Decoder(document) for kind, document in _DOCUMENTS.items()}
)


def code_of(error: RuntimeFault) -> Code:
    """The code that stands for this error."""
    found = (code for code, kind in _ERRORS.items() if isinstance(error, kind))
    return next(found, Code.FAILED)


def error_of(code: int, reason: str) -> RuntimeFault:
    """The error that a code and its reason stand for."""
    try:
        return _ERRORS[Code(code)](reason)
    except ValueError:
        return LocalFault(f"unknown error code {code}: {reason}")


def tensor_size(name: str, datatype: DataType, shape: Sequence[int]) -> int:
    """Bytes of a tensor in a slot. Raises InvalidInput for what has no place in one."""
    item = ITEM_BYTES.get(datatype)
    if item is None:
        raise InvalidInput(f"'{name}': {datatype} tensors have no place in a slot; use INFER")
    if len(shape) > MAX_RANK or any(not 0 <= size <= MAX_REGION_BYTES for size in shape):
        raise InvalidInput(f"'{name}': {list(shape)} is no shape of known sizes")
    return item * math.prod(shape)


def place(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[tuple[Placed, ...], tuple[Placed, ...], int]:
    """A place for every tensor, and the bytes of memory that this needs. Raises InvalidInput."""
    position = STATUS_BYTES
    sides: list[tuple[Placed, ...]] = []
    for side in (inputs, outputs):
        placed = []
        for spec in side:
            placed.append(Placed(spec.name, spec.datatype, spec.shape, position))
            size = tensor_size(spec.name, spec.datatype, spec.shape)
            position += -(-size // ALIGNMENT) * ALIGNMENT
        sides.append(tuple(placed))
    return sides[0], sides[1], position


def check_places(document: Open, region_bytes: int) -> None:
    """Raise LocalFault unless the tensors lie in the memory, aligned and side by side."""
    position = STATUS_BYTES
    for tensor in sorted((*document.inputs, *document.outputs), key=lambda each: each.offset):
        size = tensor_size(tensor.name, tensor.datatype, tensor.shape)
        if tensor.offset % ALIGNMENT or not position <= tensor.offset <= region_bytes - size:
            raise LocalFault(
                f"'{tensor.name}' at {tensor.offset} with {size} bytes is not aligned to "
                f"{ALIGNMENT}, overlaps, or leaves the slot's {region_bytes} bytes"
            )
        position = tensor.offset + size
    if sum(len(output.shape) for output in document.outputs) > SIZES_COUNT:
        raise LocalFault(f"the outputs have more than {SIZES_COUNT} dimensions together")
