"""Inference requests over one kept HTTP connection, by a client that costs next to nothing."""

import json
import socket
from collections.abc import Callable, Mapping

from edgewright_runtime.engine.tensors import DATATYPES, Tensor


def infer_requests(inputs: Mapping[str, Tensor]) -> dict[str, bytes]:
    """One inference of the model `bench`, as "binary" and as "JSON", head and body."""
    described = {
        name: {"name": name, "datatype": DATATYPES[array.dtype], "shape": array.shape}
        for name, array in inputs.items()
    }
    sizes = {name: {"binary_data_size": array.nbytes} for name, array in inputs.items()}
    head = {
        "inputs": [entry | {"parameters": sizes[name]} for name, entry in described.items()],
        "parameters": {"binary_data_output": True},
    }
    plain = {
        "inputs": [
            entry | {"data": inputs[name].ravel().tolist()} for name, entry in described.items()
        ]
    }
    text = json.dumps(head).encode()
    binary = text + b"".join(array.tobytes() for array in inputs.values())
    return {
        "binary": _post(binary, b"Inference-Header-Content-Length: %d\r\n" % len(text)),
        "JSON": _post(json.dumps(plain).encode(), b""),
    }


def asker(address: tuple[str, int], request: bytes) -> Callable[[], object]:
    """A call that sends the request and reads the whole answer, on a connection of its own.

    It raises SystemExit with the answer unless that is a 200.
    """
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call() -> None:
        connection.sendall(request)
        reply = connection.recv(1 << 16)
        head, _, body = reply.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(reply.decode(errors="replace"))
        missing = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]) - len(body)
        while missing > 0:
            missing -= len(connection.recv(1 << 16))

    return call


def _post(body: bytes, headers: bytes) -> bytes:
    return (
        b"POST /v2/models/bench/infer HTTP/1.1\r\nHost: bench\r\n%sContent-Length: %d\r\n\r\n%s"
        % (headers, len(body), body)
    )
