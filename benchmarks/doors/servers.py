"""Starts the servers: each serves both models with ONNX Runtime on one thread.

The peers have no ONNX Runtime of their own in any package: Triton's wheel has the Python
backend only, MLServer and KServe take a class. They get the same few lines around
`InferenceSession.run`; a Triton with its native backend would answer a tiny model 60 to 100
microseconds sooner (its own report puts that much of a request into the Python backend).
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.doors.load import Door, Running, ask, check, forget_memory, register_memory
from benchmarks.doors.models import CLASSES, SHAPES, example
from benchmarks.environments import environment

START_LIMIT_S = 90.0
_END_LIMIT_S = 15.0
_PEERS = Path(__file__).parent / "peers"
Command = tuple[list[str], dict[str, str]]
"""Words, and what is added to the environment."""


def _edgewright(folder: Path, http: int, grpc: int) -> Command:
    words = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    words += ["runtime", "serve", "--http", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}"]
    for model in SHAPES:
        words += ["--model", str(folder / f"{model}.onnx")]
    return words, {}


def _triton(folder: Path, http: int, grpc: int) -> Command:
    venv = environment("triton", ("nvidia-pytriton==0.7.0", "onnxruntime==1.31.1"))
    site = next((venv / "lib").glob("python*/site-packages"))
    version = site.parent.name.removeprefix("python")
    server = site / "pytriton/tritonserver"
    backends, repository = folder / "backends", folder / "repository"
    shutil.copytree(server / "backends/python", backends / "python")
    stub = server / f"python_backend_stubs/{version}/triton_python_backend_stub"
    shutil.copy(stub, backends / "python")
    for model, shape in SHAPES.items():
        (repository / model / "1").mkdir(parents=True)
        shutil.copy(_PEERS / "triton_model.py", repository / model / "1" / "model.py")
        (repository / model / "config.pbtxt").write_text(
            f'name: "{model}" backend: "python" max_batch_size: 0\n'
            f'input [{{name: "x" data_type: TYPE_FP32 dims: {list(shape)}}}]\n'
            f'output [{{name: "y" data_type: TYPE_FP32 dims: [1, {CLASSES[model]}]}}]\n'
            "instance_group [{kind: KIND_CPU count: 1}]\n"
            f'parameters {{key: "file" value {{string_value: "{folder / model}.onnx"}}}}\n'
        )
    prefix = (venv / "bin/python").resolve().parents[1]
    words = [str(server / "bin/tritonserver"), "--backend-directory", str(backends)]
    words += ["--model-repository", str(repository), "--allow-metrics", "false"]
    for door, port in (("http", http), ("grpc", grpc)):
        words += [f"--{door}-port", str(port), f"--{door}-address", "127.0.0.1"]
    return words, {
        "LD_LIBRARY_PATH": f"{prefix}/lib:{site}/nvidia_pytriton.libs",
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(site),
    }


def _mlserver(folder: Path, http: int, grpc: int) -> Command:
    venv = environment("mlserver", ("mlserver==1.7.1", "onnxruntime", "numpy<2.3"))
    settings = folder / "settings"
    settings.mkdir()
    shutil.copy(_PEERS / "mlserver_model.py", settings)
    common = {"debug": False, "parallel_workers": 0, "host": "127.0.0.1", "metrics_endpoint": None}
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": free_port()}
    limits = {"grpc_max_message_length": 10_000_000}
    (settings / "settings.json").write_text(json.dumps({**common, **ports, **limits}))
    for model in SHAPES:
        (settings / model).mkdir()
        (settings / model / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": model,
                    "implementation": "mlserver_model.OnnxModel",
                    "parameters": {"uri": str(folder / f"{model}.onnx")},
                }
            )
        )
    return [str(venv / "bin/mlserver"), "start", str(settings)], {"PYTHONPATH": str(settings)}


def _kserve(folder: Path, http: int, grpc: int) -> Command:
    venv = environment("kserve", ("kserve==0.21.0", "onnxruntime"))
    words = [str(venv / "bin/python"), str(_PEERS / "kserve_server.py"), str(http), str(grpc)]
    return [*words, *(str(folder / f"{model}.onnx") for model in SHAPES)], {}


_SERVERS: Mapping[str, tuple[Callable[[Path, int, int], Command], tuple[Door, ...]]] = {
    "edgewright": (_edgewright, ("HTTP binary", "HTTP JSON", "HTTP shared memory", "gRPC")),
    "Triton": (_triton, ("HTTP binary", "HTTP JSON", "HTTP shared memory", "gRPC")),
    "MLServer": (_mlserver, ("HTTP JSON", "gRPC")),
    "KServe": (_kserve, ("HTTP binary", "HTTP JSON", "gRPC")),
}
SERVERS = tuple(_SERVERS)


@contextmanager
def served(name: str, folder: Path, wanted: Mapping[str, np.ndarray]) -> Iterator[Running]:
    """The server of that name with both models of `folder`, once it answers `wanted` [1, classes].

    Raises SystemExit when it does not start, or answers something else.
    """
    command, doors = _SERVERS[name]
    own = folder / name
    own.mkdir()
    for model in SHAPES:
        shutil.copy(folder / f"{model}.onnx", own)
    ports = free_port(), free_port()
    words, added = command(own, *ports)
    log = own / "log"
    started = time.monotonic()
    with log.open("w") as sink:
        process = subprocess.Popen(
            words, env={**os.environ, **added}, cwd=own, stdout=sink, stderr=sink
        )
    try:
        addresses = [f"127.0.0.1:{port}" for port in ports]
        server = Running(name, process.pid, addresses[0], addresses[1], doors, 0.0)
        _wait(server, process, log)
        server = replace(server, first_answer_s=time.monotonic() - started)
        if "HTTP shared memory" in doors:
            register_memory(server)
        for model in SHAPES:
            for door in doors:
                if door != "gRPC":  # h2load counts gRPC's failures itself
                    found = _answer(server, process, log, model, door)
                    check(found, wanted[model], name, model, door)
        yield server
    finally:
        forget_memory(name)
        process.terminate()
        try:
            process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: Running, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until `tiny` answers; asked as JSON, which all of them take."""
    _answer(server, process, log, "tiny", "HTTP JSON")


def _answer(
    server: Running, process: "subprocess.Popen[bytes]", log: Path, model: str, door: Door
) -> np.ndarray:
    ends = time.monotonic() + START_LIMIT_S
    while True:
        try:
            return ask(server, model, door)
        except OSError as error:
            if process.poll() is not None or time.monotonic() > ends:
                said = log.read_text()[-2000:]
                raise SystemExit(f"{server.name} does not answer ({error}):\n{said}") from error
            time.sleep(0.002)


def in_process(folder: Path) -> dict[str, np.ndarray]:
    """What each model answers to its example, in this process."""
    from edgewright_runtime.engine import open_session

    found = {}
    for model in SHAPES:
        session = open_session("onnx", folder / f"{model}.onnx")
        found[model] = np.array(session.run({"x": example(model)})["y"])
        session.close()
    return found
