"""Who counts as one client, between whom a model's turns go round.

The header `x-edgewright-client` (HTTP, gRPC metadata) says it: a proxy, or programs on one
machine, name their users by it. Without it a client is an address on the network, however many
connections it has; on the loopback, where all have the same address, a connection; and behind
the local door a process. It is for fairness among friends: whoever makes up names gets more
turns, which a token for each client (docs/runtime.md) prevents and this does not.
"""

import socket
import struct
from collections.abc import Hashable

CLIENT_HEADER = b"x-edgewright-client"
_CREDENTIALS = struct.Struct("3i")  # ucred: pid, uid, gid (man 7 unix)


def peer_client(peername: object, connection: Hashable) -> Hashable:
    """The client behind a TCP connection whose peer has this address."""
    host = peername[0] if isinstance(peername, tuple) and peername else ""
    if not host or host == "::1" or host.startswith(("127.", "::ffff:127.")):
        return connection
    return host


def local_client(connection: socket.socket) -> Hashable:
    """The process behind a Unix socket; the connection where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return connection
    try:
        said = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    except OSError:
        return connection
    return ("process", _CREDENTIALS.unpack(said)[0])
