"""Messages in gzip or deflate, both ways."""

import zlib
from collections.abc import Sequence

from edgewright_runtime.engine.raw_tensor import Buffer
from edgewright_runtime.serving.grpc.status import Code, GrpcRefused

LARGE_BYTES = 64 << 10
"""From here on packing and unpacking are for a thread: zlib takes some 10 ms per megabyte."""
WORTH_BYTES = 512
"""Below this packing makes a message longer as often as shorter."""
_WINDOW_BITS = 47  # zlib.h: 32 + 15: gzip or zlib, told by the header
_PACKING = {b"gzip": 31, b"deflate": 15}  # zlib.h: 16 + 15 for gzip, 15 for zlib
_LEVEL = 1
"""Numbers hardly get smaller at higher levels, which take 3 to 10 times as long."""


def unpack(message: Buffer, encoding: bytes, limit_bytes: int) -> bytes:
    """The message unpacked. Raises GrpcRefused when it is broken, or more than the limit."""
    if encoding not in _PACKING:
        raise GrpcRefused(Code.INTERNAL, "a compressed message without grpc-encoding")
    try:
        decoder = zlib.decompressobj(_WINDOW_BITS)
        plain = decoder.decompress(message, limit_bytes + 1)
    except zlib.error as error:
        raise GrpcRefused(
            Code.INVALID_ARGUMENT, f"the message is no valid {encoding.decode()}: {error}"
        ) from error
    if len(plain) > limit_bytes:
        raise GrpcRefused(
            Code.RESOURCE_EXHAUSTED,
            f"the message has more than {limit_bytes} bytes unpacked, which is the limit",
        )
    if not decoder.eof:
        raise GrpcRefused(Code.INVALID_ARGUMENT, f"the message's {encoding.decode()} is cut off")
    return plain


def pack(parts: Sequence[Buffer], encoding: bytes) -> bytes:
    """The message in one piece, packed."""
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _PACKING[encoding])
    return b"".join((*[encoder.compress(part) for part in parts], encoder.flush()))
