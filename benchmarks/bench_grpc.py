"""What the gRPC door costs beside HTTP and the engine alone: `python -m benchmarks.bench_grpc`.

Two models, 16 bytes and 602 KB of input, behind one real server; h2load (Debian's
nghttp2-client, written in C) asks over gRPC and over HTTP with binary tensors with 1, 8 and
32 connections, one request at a time on each. Rounds are interleaved, the table has medians.
Server CPU is the process's own time divided by the requests answered; compare rows of one
run only.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.engine import open_session
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.serving.grpc.messages import build_messages
from onnx import TensorProto, helper, numpy_helper

CLIENTS = (1, 8, 32)
SHAPES = {"tiny": (1, 4), "large": (1, 3, 224, 224)}
START_LIMIT_S = 60.0
IN_PROCESS = "in process"
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    pid: int
    http: str
    grpc: str


@dataclass(frozen=True)
class Figures:
    """Of one round, in microseconds, and requests per second."""

    p50_us: float
    cpu_us: float
    per_s: float


def main() -> int:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_grpc")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="per round and row; large: 1/4")
    arguments = parser.parse_args()
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    found: dict[Key, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as name, served(Path(name)) as at:
        for _ in range(arguments.rounds):
            for model in SHAPES:
                count = arguments.requests // (4 if model == "large" else 1)
                key = (model, IN_PROCESS, 1)
                found.setdefault(key, []).append(in_process(Path(name), model, count))
                for clients in CLIENTS:
                    for door in ("gRPC", "HTTP binary"):
                        figures = load(Path(name), at, model, door, clients, count)
                        found.setdefault((model, door, clients), []).append(figures)
    print(f"{os.cpu_count()} cores, {arguments.rounds} rounds")
    print_table(found)
    return 0


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Both models behind one server."""
    save_models(folder)
    control = folder / "control.sock"
    command = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    command += ["runtime", "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    command += ["--control", str(control)]
    for model in SHAPES:
        command += ["--model", str(folder / f"{model}.onnx")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            loaded = wait_for(ControlClient(control))
            if loaded.http is None or loaded.grpc is None:
                raise SystemExit("the server has not opened both doors")
            yield Server(process.pid, loaded.http, loaded.grpc)
        finally:
            process.terminate()


def wait_for(control: ControlClient) -> Loaded:
    """What the server says once it answers."""
    ends = time.monotonic() + START_LIMIT_S
    while True:
        try:
            reply = control.ask_blocking(Status())
        except ControlFault:
            if time.monotonic() > ends:
                raise SystemExit("the server does not start") from None
            time.sleep(0.05)
        else:
            assert isinstance(reply, Loaded)
            return reply


def in_process(folder: Path, model: str, count: int) -> Figures:
    """The engine alone, in this process."""
    session = open_session("onnx", folder / f"{model}.onnx")
    inputs = {"x": np.zeros(SHAPES[model], np.float32)}
    for _ in range(count // 10):
        session.run(inputs)
    taken, cpu = [], time.process_time()
    for _ in range(count):
        started = time.perf_counter()
        session.run(inputs)
        taken.append(time.perf_counter() - started)
    cpu_us = (time.process_time() - cpu) / count * 1e6
    session.close()
    return Figures(statistics.median(taken) * 1e6, cpu_us, count / sum(taken))


def load(folder: Path, server: Server, model: str, door: str, clients: int, count: int) -> Figures:
    """One run of h2load."""
    body, log = folder / "body", folder / "log"
    log.unlink(missing_ok=True)
    command = ["h2load", "-n", str(count), "-c", str(clients), "-m", "1"]
    command += ["-d", str(body), f"--log-file={log}"]
    if door == "gRPC":
        body.write_bytes(grpc_body(model))
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        url = f"http://{server.grpc}/inference.GRPCInferenceService/ModelInfer"
    else:
        head, data = http_body(model)
        body.write_bytes(head + data)
        command += ["--h1", "-H", f"Inference-Header-Content-Length: {len(head)}"]
        url = f"http://{server.http}/v2/models/{model}/infer"
    before, started = cpu_s(server.pid), time.monotonic()
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    wall_s, used_s = time.monotonic() - started, cpu_s(server.pid) - before
    if f"{count} succeeded" not in done.stdout:
        raise SystemExit(done.stdout)
    taken = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    return Figures(statistics.median(taken), used_s / count * 1e6, count / wall_s)


def grpc_body(model: str) -> bytes:
    """A ModelInfer message with its prefix."""
    shape = SHAPES[model]
    message = build_messages()["ModelInferRequest"](
        model_name=model,
        inputs=[{"name": "x", "datatype": "FP32", "shape": shape}],
        raw_input_contents=[np.zeros(shape, np.float32).tobytes()],
    ).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + bytes(message)


def http_body(model: str) -> tuple[bytes, bytes]:
    """(JSON head, tensor) of a binary request."""
    data = np.zeros(SHAPES[model], np.float32).tobytes()
    tensor = {"name": "x", "datatype": "FP32", "shape": SHAPES[model]}
    head = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
        "parameters": {"binary_data_output": True},
    }
    return json.dumps(head).encode(), data


def cpu_s(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_table(found: Mapping[Key, Sequence[Figures]]) -> None:
    """Medians over the rounds."""
    print("| model | door | clients | p50 µs | server CPU µs per request | requests per second |")
    print("|---|---|---|---|---|---|")
    for (model, door, clients), rounds in found.items():
        p50 = statistics.median(figures.p50_us for figures in rounds)
        cpu = statistics.median(figures.cpu_us for figures in rounds)
        per_s = statistics.median(figures.per_s for figures in rounds)
        print(f"| {model} | {door} | {clients} | {p50:.0f} | {cpu:.0f} | {per_s:,.0f} |")


def save_models(folder: Path) -> None:
    """tiny: 4 -> 16 -> 3 (16 bytes); large: two convolutions over 3 x 224 x 224 (602,112 bytes)."""
    random = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    tiny = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w1", "b1"], ["y"]),
    ]
    large = [
        helper.make_node("Conv", ["x", "w0"], ["h"], strides=[4, 4]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "w1"], ["c"], strides=[4, 4]),
        helper.make_node("GlobalAveragePool", ["c"], ["g"]),
        helper.make_node("Flatten", ["g"], ["y"]),
    ]
    weights = {
        "tiny": [
            constant("w0", 4, 16),
            constant("b0", 16),
            constant("w1", 16, 3),
            constant("b1", 3),
        ],
        "large": [constant("w0", 8, 3, 3, 3), constant("w1", 10, 8, 3, 3)],
    }
    for model, nodes in (("tiny", tiny), ("large", large)):
        shape = list(SHAPES[model])
        graph = helper.make_graph(
            nodes,
            model,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [
                helper.make_tensor_value_info(
                    "y", TensorProto.FLOAT, [1, 3 if model == "tiny" else 10]
                )
            ],
            weights[model],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(made, folder / f"{model}.onnx")


if __name__ == "__main__":
    sys.exit(main())
