"""Whether anything grows: `python -m benchmarks.soak --requests 5000000`.

One server, all doors at the same time (HTTP JSON and binary, gRPC, the local door by eventfd,
by socket and through the socket), one client process each, whose connections come and go.
After each tenth the server's resident memory, file descriptors and threads are read. Exit 1
when a request failed, or when the end is above the first tenth, where all is warm.
"""

import argparse
import json
import multiprocessing
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from edgewright_runtime.client import Client
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.errors import ControlFault
from onnx import TensorProto, helper, numpy_helper

DOORS = ("HTTP JSON", "HTTP binary", "gRPC", "eventfd", "socket", "inline")
SLICES = 10
PER_CONNECTION = 2000
"""Requests, after which a client connects again."""
PIPELINED = 8
GROWTH = 1.02
ROOM_BYTES = 2 << 20
"""What malloc may still shift about between two looks."""
START_LIMIT_S = 60.0
X = np.array([[1, 2, 3, 4]], np.float32)


class Server(NamedTuple):
    """Where it answers."""

    pid: int
    http: str
    grpc: str
    local: str


class State(NamedTuple):
    """Of the server's process."""

    rss_bytes: int
    descriptors: int
    threads: int


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="soak")
    parser.add_argument("--requests", type=int, default=100_000, help="of all doors together")
    parser.add_argument("--doors", nargs="*", default=DOORS, choices=DOORS)
    arguments = parser.parse_args()
    each = max(1, arguments.requests // SLICES // len(arguments.doors))
    with tempfile.TemporaryDirectory(prefix="edgewright-soak-") as word:
        folder = Path(word)
        process = start(folder, model(folder / "linear.onnx"))
        try:
            return soak(found(folder, process), arguments.doors, each)
        finally:
            process.terminate()
            process.wait(START_LIMIT_S)


def soak(server: Server, doors: list[str], each: int) -> int:
    """Ten slices of `each` requests per door; the exit code."""
    print(f"{'requests':>10}{'per s':>9}{'RSS MiB':>10}{'files':>7}{'threads':>9}{'failed':>8}")
    done = failed = 0
    first: State | None = None
    now = look(server.pid)
    print(f"{0:>10}{'':>9}{now.rss_bytes / (1 << 20):>10.1f}{now.descriptors:>7}{now.threads:>9}")
    with ProcessPoolExecutor(len(doors), multiprocessing.get_context("spawn")) as pool:
        for _ in range(SLICES):
            started = time.perf_counter()
            asked: list[Future[int]] = [pool.submit(ask, door, server, each) for door in doors]
            wrong = sum(future.result() for future in asked)
            taken_s = time.perf_counter() - started
            done, failed = done + each * len(doors), failed + wrong
            now = settled(server.pid, first)
            first = first or now
            print(
                f"{done:>10}{each * len(doors) / taken_s:>9.0f}{now.rss_bytes / (1 << 20):>10.1f}"
                f"{now.descriptors:>7}{now.threads:>9}{wrong:>8}",
                flush=True,
            )
    assert first is not None
    grown = [
        name
        for name, before, after in (
            ("RSS", first.rss_bytes * GROWTH + ROOM_BYTES, now.rss_bytes),
            ("file descriptors", first.descriptors, now.descriptors),
            ("threads", first.threads, now.threads),
        )
        if after > before
    ]
    print(f"{failed} failed; grown: {', '.join(grown) or 'nothing'}")
    return 1 if failed or grown else 0


def look(pid: int) -> State:
    """The process now."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = {line.split(":")[0]: line.split()[1] for line in status if len(line.split()) > 1}
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return State(int(words["VmRSS"]) << 10, files, int(words["Threads"]))


def settled(pid: int, first: State | None) -> State:
    """The process when it has noticed that the clients hung up, or 5 seconds later."""
    ends = time.monotonic() + 5.0
    state = look(pid)
    while time.monotonic() < ends:
        before, state = state, look(pid)
        wanted = before if first is None else first
        if state.descriptors <= wanted.descriptors and state.threads <= wanted.threads:
            break
        time.sleep(0.1)
    return state


def ask(door: str, server: Server, count: int) -> int:
    """In a client's process: `count` requests; how many were not answered rightly."""
    ask_some: Callable[[int], int] = {
        "HTTP JSON": lambda n: over_http(server, n, *_json()),
        "HTTP binary": lambda n: over_http(server, n, *_binary()),
        "gRPC": lambda n: over_grpc(server, n),
        "eventfd": lambda n: over_local(server, n, "eventfd"),
        "socket": lambda n: over_local(server, n, "socket"),
        "inline": lambda n: over_local(server, n, "inline"),
    }[door]
    wrong = 0
    while count:
        some = min(count, PER_CONNECTION)
        wrong += ask_some(some)
        count -= some
    return wrong


def over_http(server: Server, count: int, body: bytes, headers: str) -> int:
    """One keep-alive connection, several requests on their way."""
    host, port = server.http.split(":")
    request = (
        f"POST /v2/models/linear/infer HTTP/1.1\r\nHost: {host}\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    wrong = 0
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as replies:
            while count:
                some = min(count, PIPELINED)
                connection.sendall(request * some)
                for _ in range(some):
                    wrong += not replies.readline().startswith(b"HTTP/1.1 200")
                    length = 0
                    while (line := replies.readline()) != b"\r\n":
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    replies.read(length)
                count -= some
    return wrong


def over_grpc(server: Server, count: int) -> int:
    """grpcio on one channel, several calls on their way."""
    import grpc
    from edgewright_runtime.serving.grpc.messages import build_messages

    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
    request = build_messages()["ModelInferRequest"](
        model_name="linear", inputs=[tensor], raw_input_contents=[X.tobytes()]
    ).SerializeToString()
    wrong = 0
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(server.grpc, options=options) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        while count:
            some = min(count, PIPELINED)
            for future in [call.future(request) for _ in range(some)]:
                wrong += future.exception() is not None
            count -= some
    return wrong


def over_local(server: Server, count: int, way: str) -> int:
    """One client of the local door, and one slot where there is memory to share."""
    with Client(server.local, way=way) as client:  # type: ignore[arg-type]  # one of DOORS
        found = client.model("linear")
        if way == "inline":
            return sum(found.infer({"x": X})["y"].shape != (1, 3) for _ in range(count))
        with found.slot(batch=1) as slot:
            slot.inputs["x"][...] = X
            for _ in range(count):
                slot.run()
    return 0


def _json() -> tuple[bytes, str]:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": X.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode(), "Content-Type: application/json\r\n"


def _binary() -> tuple[bytes, str]:
    size = {"binary_data_size": X.nbytes}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": size}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    body = head + struct.pack("<4f", *X.ravel())
    return body, f"Inference-Header-Content-Length: {len(head)}\r\n"


def model(path: Path) -> Path:
    """x FP32 [batch, 4] -> y FP32 [batch, 3]."""
    w = np.arange(12, dtype=np.float32).reshape(4, 3)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(w, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return path


def start(folder: Path, path: Path) -> "subprocess.Popen[bytes]":
    """The server as an operator starts it."""
    words = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    words += ["runtime", "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    words += ["--socket", str(folder / "infer.sock"), "--control", str(folder / "control.sock")]
    words += ["--model", f"linear={path}"]
    return subprocess.Popen(words, stderr=subprocess.DEVNULL)


def found(folder: Path, process: "subprocess.Popen[bytes]") -> Server:
    """Its addresses, once it answers. Raises SystemExit when it does not."""
    client, ends = ControlClient(folder / "control.sock"), time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < ends:
        try:
            loaded = client.ask_blocking(Status())
        except ControlFault:
            time.sleep(0.05)
            continue
        if isinstance(loaded, Loaded) and loaded.generations and loaded.http and loaded.grpc:
            return Server(process.pid, loaded.http, loaded.grpc, str(folder / "infer.sock"))
        time.sleep(0.05)
    raise SystemExit("the server does not start")


if __name__ == "__main__":
    sys.exit(main())
