"""Bodies in gzip or deflate, both ways."""

import zlib
from collections.abc import Mapping
from dataclasses import replace

from edgewright_runtime.serving.http.messages import HttpRefused, Reply

LARGE_BYTES = 64 << 10
"""From here on packing and unpacking are for a thread: zlib takes some 10 ms per megabyte."""
_WINDOW_BITS = 47  # zlib.h: 32 + 15: gzip or zlib, told by the header
_PACKING = {b"gzip": 31, b"deflate": 15}  # zlib.h: 16 + 15 for gzip, 15 for zlib
_LEVEL = 1
"""Numbers hardly get smaller at higher levels, which take 3 to 10 times as long."""


def packed_as(headers: Mapping[bytes, bytes]) -> str | None:
    """What Content-Encoding says; None for a plain body. Raises HttpRefused."""
    encoding = headers.get(b"content-encoding")
    if encoding is None:
        return None
    name = encoding.strip().lower()
    if name in (b"identity", b""):
        return None
    if name not in _PACKING:
        raise HttpRefused(415, "Content-Encoding may be gzip, deflate or identity")
    return name.decode()


def unpack(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The plain body. Raises HttpRefused for damaged data, and above the limit."""
    try:
        decoder = zlib.decompressobj(_WINDOW_BITS)
        plain = decoder.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise HttpRefused(400, f"the body is no valid {encoding}: {error}") from error
    if len(plain) > limit_bytes:
        raise HttpRefused(413, f"the body has more than {limit_bytes} bytes unpacked")
    if not decoder.eof:
        raise HttpRefused(400, f"the body's {encoding} data is cut off")
    return plain


def wanted_coding(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The coding that the client asks an answer in; None to leave it as it is.

    A client that names one coding wants it. One that lists several (`gzip, deflate, br`) is a
    library that announces what it could read: on a loopback or a LAN packing costs more than it
    saves, so that it gets the answer as it is.
    """
    accepted = headers.get(b"accept-encoding")
    if accepted is None:
        return None
    found: bytes | None = None
    for part in accepted.lower().split(b","):
        name, _, parameters = part.strip().partition(b";")
        name, weight = name.strip(), parameters.strip().replace(b" ", b"")
        if name in (b"", b"identity") or weight in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"):
            continue
        if found is not None:
            return None
        found = name
    return found if found in _PACKING else None


def pack(reply: Reply, coding: bytes) -> Reply:
    """The same reply with its body packed."""
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _PACKING[coding])
    parts = [encoder.compress(part) for part in reply.body]
    headers = b"Content-Encoding: %s\r\nVary: Accept-Encoding\r\n" % coding
    return replace(
        reply, body=(b"".join((*parts, encoder.flush())),), headers=reply.headers + headers
    )
