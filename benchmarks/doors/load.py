"""Load by h2load (Debian's nghttp2-client, written in C), after one checked request."""

import json
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from edgewright_runtime.serving.grpc.messages import build_messages

from benchmarks.doors.models import CLASSES, SHAPES, example
from benchmarks.doors.processes import cpu_s

Door = Literal["HTTP JSON", "HTTP binary", "HTTP shared memory", "gRPC"]
DOORS: tuple[Door, ...] = ("HTTP binary", "HTTP JSON", "HTTP shared memory", "gRPC")
_GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"
_REQUEST_LIMIT_S = 30.0
Bodies = tuple[bytes, Mapping[str, str]]


@dataclass(frozen=True)
class Running:
    """A server that answers; addresses are HOST:PORT."""

    name: str
    pid: int
    http: str
    grpc: str
    doors: tuple[Door, ...]
    first_answer_s: float
    """From exec to the first right answer."""


@dataclass(frozen=True)
class Figures:
    """Of one round: latency and server CPU per request in microseconds, requests per second."""

    p50_us: float
    p99_us: float
    cpu_us: float
    per_s: float


def load(
    folder: Path, server: Running, model: str, door: Door, clients: int, count: int
) -> Figures:
    """`count` requests over `clients` connections, one at a time on each.

    Raises SystemExit unless all of them succeed.
    """
    url, body, headers = request(server, model, door)
    (folder / "body").write_bytes(body)
    log = folder / "log"
    _h2load(folder, url, headers, door, clients, max(clients, count // 10), [])  # warm
    log.unlink(missing_ok=True)
    before, started = cpu_s(server.pid), time.monotonic()
    _h2load(folder, url, headers, door, clients, count, [f"--log-file={log}"])
    wall_s, used_s = time.monotonic() - started, cpu_s(server.pid) - before
    taken = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    return Figures(
        statistics.median(taken),
        float(np.percentile(taken, 99)),
        used_s / count * 1e6,
        count / wall_s,
    )


def request(server: Running, model: str, door: Door) -> tuple[str, bytes, Mapping[str, str]]:
    """(URL, body, headers) of one inference."""
    if door == "gRPC":
        framed = {"content-type": "application/grpc", "te": "trailers"}
        return f"http://{server.grpc}{_GRPC_PATH}", _grpc_body(model), framed
    body, headers = _http_body(model, door)
    return f"http://{server.http}/v2/models/{model}/infer", body, headers


def ask(server: Running, model: str, door: Door) -> np.ndarray:
    """The output `y` of one request over HTTP. Raises OSError while nobody answers."""
    url, body, headers = request(server, model, door)
    asked = urllib.request.Request(url, body, dict(headers))
    with urllib.request.urlopen(asked, timeout=_REQUEST_LIMIT_S) as reply:
        head = reply.headers.get("Inference-Header-Content-Length")
        data = reply.read()
    found = json.loads(data[: int(head)] if head else data)["outputs"][0]
    if "data" in found:
        return np.array(found["data"], np.float32).reshape(1, -1)
    return np.frombuffer(data[int(head or 0) :], np.float32).reshape(1, -1)


def region_key(server: str, model: str) -> str:
    """Name of the model's input in /dev/shm."""
    return f"edgewright-bench-{server.lower()}-{model}"


def register_memory(server: Running) -> None:
    """Place each model's input in POSIX shared memory and tell the server of it."""
    for model in SHAPES:
        data = example(model).tobytes()
        key = region_key(server.name, model)
        (Path("/dev/shm") / key).write_bytes(data)
        asked = urllib.request.Request(
            f"http://{server.http}/v2/systemsharedmemory/region/{model}/register",
            json.dumps({"key": f"/{key}", "offset": 0, "byte_size": len(data)}).encode(),
        )
        urllib.request.urlopen(asked, timeout=_REQUEST_LIMIT_S).close()


def forget_memory(server: str) -> None:
    """Remove what `register_memory` placed."""
    for model in SHAPES:
        (Path("/dev/shm") / region_key(server, model)).unlink(missing_ok=True)


def _http_body(model: str, door: Door) -> Bodies:
    data = example(model)
    tensor: dict[str, object] = {"name": "x", "datatype": "FP32", "shape": SHAPES[model]}
    if door == "HTTP JSON":
        tensor["data"] = [round(float(value), 4) for value in data.ravel()]
        head = json.dumps({"inputs": [tensor]}).encode()
        return head, {"Content-Type": "application/json"}
    output = {"name": "y", "parameters": {"binary_data": True}}
    if door == "HTTP shared memory":
        region = {"shared_memory_region": model, "shared_memory_byte_size": data.nbytes}
        wanted = {"inputs": [{**tensor, "parameters": region}], "outputs": [output]}
        return json.dumps(wanted).encode(), {"Content-Type": "application/json"}
    tensor["parameters"] = {"binary_data_size": data.nbytes}
    head = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    return head + data.tobytes(), {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }


def _grpc_body(model: str) -> bytes:
    message = build_messages()["ModelInferRequest"](
        model_name=model,
        inputs=[{"name": "x", "datatype": "FP32", "shape": SHAPES[model]}],
        raw_input_contents=[example(model).tobytes()],
    ).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + bytes(message)


def _h2load(
    folder: Path,
    url: str,
    headers: Mapping[str, str],
    door: Door,
    clients: int,
    count: int,
    options: list[str],
) -> None:
    command = ["h2load", "-n", str(count), "-c", str(clients), "-m", "1", "-d"]
    command += [str(folder / "body"), *options, *([] if door == "gRPC" else ["--h1"])]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    if f"{count} succeeded" not in done.stdout:
        raise SystemExit(f"{url} ({door}): {done.stdout}")


def check(answer: np.ndarray, wanted: np.ndarray, server: str, model: str, door: str) -> None:
    """Raise SystemExit for a server that computes something else."""
    if answer.shape != (1, CLASSES[model]) or not np.allclose(answer, wanted, rtol=1e-3, atol=1e-4):
        raise SystemExit(f"{server} answers wrongly over {door}: {answer} instead of {wanted}")
