"""What the HTTP door costs on top of the engine: `python -m benchmarks.bench_serving`.

Runs one model in this process and behind a real `edgewright_runtime.server`, in turns,
over one keep-alive connection, and prints medians and the server's CPU time per request.
Compare ratios within one run; absolute times are the machine's.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.tensors import DATATYPES, Tensor, example_inputs
from edgewright_runtime.model_source import open_source

MODEL = Path(__file__).parent.parent / "examples" / "fashion" / "models" / "v1.onnx"
START_LIMIT_S = 60.0


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_serving")
    parser.add_argument("--model", type=Path, default=MODEL, help="a bundle or a bare file")
    parser.add_argument("--requests", type=int, default=2000, help="per round and row")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with open_source(arguments.model) as source:
        artifact = source.candidates[0].artifact
        bench(artifact, requests=arguments.requests, rounds=arguments.rounds)
    return 0


def bench(artifact: Artifact, *, requests: int, rounds: int) -> None:
    """Measure one artifact in process and over HTTP, `rounds` times in turns."""
    session = artifact.open()
    inputs = example_inputs(session.signature)
    print(f"{artifact.path.name} on {session.placement}, batch 1, 1 client, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder:
        server = _start(artifact, Path(folder))
        try:
            rows: dict[str, Callable[[], object]] = {"in process": lambda: session.run(inputs)}
            for kind, request in _requests(inputs).items():
                rows[f"HTTP {kind}"] = _client(server.address, request)
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rows}
            for _ in range(rounds):
                for name, call in rows.items():
                    found[name].append(_round(call, requests, server.process.pid))
        finally:
            server.process.terminate()
            server.process.wait()
    _print(found)


class _Server:
    def __init__(self, process: subprocess.Popen[str], address: tuple[str, int]) -> None:
        self.process = process
        self.address = address


def _start(artifact: Artifact, folder: Path) -> _Server:
    model = f"bench={artifact.path}"
    command = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    command += ["runtime", "serve", "--http", "127.0.0.1:0", "--model", model]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, stderr=log, text=True)
    ends = time.monotonic() + START_LIMIT_S
    while "serving " not in (text := (folder / "log").read_text()):
        if process.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"the server does not start: {text}")
        time.sleep(0.02)
    host, port = text.rsplit("http://", 1)[1].split("/")[0].split(":")
    return _Server(process, (host, int(port)))


def _requests(inputs: Mapping[str, Tensor]) -> dict[str, bytes]:
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


def _post(body: bytes, headers: bytes) -> bytes:
    return (
        b"POST /v2/models/bench/infer HTTP/1.1\r\nHost: bench\r\n%sContent-Length: %d\r\n\r\n%s"
        % (
            headers,
            len(body),
            body,
        )
    )


def _client(address: tuple[str, int], request: bytes) -> Callable[[], object]:
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


def _round(call: Callable[[], object], requests: int, pid: int) -> tuple[float, float, float]:
    """(median, p99, the server's CPU time per request) in microseconds."""
    for _ in range(requests // 10):
        call()
    before, taken = _cpu_s(pid), []
    for _ in range(requests):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    cpu_us = (_cpu_s(pid) - before) / requests * 1e6
    return statistics.median(taken) * 1e6, float(np.quantile(taken, 0.99)) * 1e6, cpu_us


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print(found: dict[str, list[tuple[float, float, float]]]) -> None:
    print(f"{'':<14}{'p50 us':>9}{'p99 us':>9}{'+ us':>8}{'ratio':>8}{'server CPU us':>15}")
    base = _median(found["in process"], 0)
    for name, rounds in found.items():
        p50 = _median(rounds, 0)
        print(
            f"{name:<14}{p50:>9.1f}{_median(rounds, 1):>9.1f}{p50 - base:>8.1f}"
            f"{p50 / base:>8.2f}{_median(rounds, 2):>15.1f}"
        )


def _median(rounds: Sequence[tuple[float, float, float]], index: int) -> float:
    return statistics.median(figures[index] for figures in rounds)


if __name__ == "__main__":
    sys.exit(main())
