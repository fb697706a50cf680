"""Ask a real Triton all of `triton_cases`, and write down what it answers.

    python -m tests.runtime.serving.record_triton VENV

VENV is a Python 3.11 environment with `pip install nvidia-pytriton==0.7.0` (x86-64 Linux): that
holds the server, with the Python backend only, so the models are a few lines of Python. The
recording is kept beside this file; it is made again only when a case is added.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.runtime.serving.triton_cases import all_cases
from tests.runtime.serving.triton_requests import TYPES, Case, Exchange

RECORDED = Path(__file__).parent / "recorded_triton.json"
_START_LIMIT_S = 60.0
_PORT, _GRPC_PORT = 17020, 17021
_KEPT_HEADERS = (
    "content-type",
    "content-encoding",
    "inference-header-content-length",
    "allow",
)
_MODEL = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            given = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            if "a" in given:
                made = {"total": given["a"] + given["b"], "difference": given["a"] - given["b"]}
            else:
                made = {"y": given["x"]}
            wanted = set(request.requested_output_names())
            tensors = [pb.Tensor(name, made[name]) for name in made if name in wanted]
            answers.append(pb.InferenceResponse(output_tensors=tensors))
        return answers
"""


class HasMemory(Protocol):
    """A case, over HTTP or gRPC."""

    @property
    def memory(self) -> Mapping[str, bytes]:
        """What lies under /dev/shm before it."""


def main(words: list[str]) -> int:
    """Record everything."""
    venv = Path(words[0])
    with tempfile.TemporaryDirectory(prefix="edgewright-triton-") as folder:
        models = repository(Path(folder) / "models")
        explicit = ["--model-control-mode", "explicit", "--load-model", "*"]
        command, environment = triton(venv, Path(folder) / "backends")
        command += ["--model-repository", str(models)]
        recorded = _record(command + explicit, environment, all_cases())
        fixed = [case for case in all_cases() if "load" in case.name]
        recorded += [
            {**found, "name": f"fixed-{found['name']}"}
            for found in _record(command, environment, fixed)
        ]
    RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=True) + "\n")
    return 0


def place_memory(case: HasMemory) -> None:
    """Write what the case wants to find under /dev/shm."""
    for key, content in case.memory.items():
        (Path("/dev/shm") / key).write_bytes(content)


def take_memory(case: HasMemory) -> dict[str, str]:
    """What lies there now, as Latin-1 text; it is removed."""
    found = {}
    for key in case.memory:
        path = Path("/dev/shm") / key
        found[key] = path.read_bytes().decode("latin-1")
        path.unlink()
    return found


def exchange(address: tuple[str, int], asked: Exchange) -> dict[str, Any]:
    """One request over a connection of its own; bodies as Latin-1 text, byte for byte."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.putrequest(asked.method, asked.path, skip_accept_encoding=True)
        for name, value in asked.headers.items():
            connection.putheader(name, value)
        if asked.method != "GET":
            connection.putheader("Content-Length", str(len(asked.body)))
        connection.endheaders(asked.body)
        reply = connection.getresponse()
        found = {name.lower(): value for name, value in reply.getheaders()}
        headers = {name: found[name] for name in _KEPT_HEADERS if name in found}
        return {
            "status": reply.status,
            "headers": headers,
            "body": reply.read().decode("latin-1"),
        }
    finally:
        connection.close()


def _record(
    command: list[str], environment: dict[str, str], cases: list[Case]
) -> list[dict[str, Any]]:
    recorded = []
    process = start(command, environment)
    try:
        for case in cases:
            place_memory(case)
            answers = []
            for asked in case.exchanges:
                try:
                    answers.append(exchange(("127.0.0.1", _PORT), asked))
                except (http.client.RemoteDisconnected, ConnectionError):
                    process.wait(timeout=60)
                    answers.append({"status": 0, "headers": {}, "body": "Triton ends here"})
                    process = start(command, environment)
            entry: dict[str, Any] = {"name": case.name, "answers": answers}
            memory = take_memory(case)
            if memory:
                entry["memory"] = memory
            recorded.append(entry)
            print(case.name, [answer["status"] for answer in answers])
        return recorded
    finally:
        process.terminate()
        process.wait(timeout=60)


def start(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """A Triton that is ready."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _wait(process)
    return process


def repository(folder: Path) -> Path:
    """The models of `triton_requests`, as a few lines of Python each."""

    def add(name: str, inputs: dict[str, str], outputs: dict[str, str]) -> None:
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.py").write_text(_MODEL)
        sides = [
            f"{side} ["
            + ", ".join(f'{{name: "{key}" {rest}}}' for key, rest in tensors.items())
            + "]"
            for side, tensors in (("input", inputs), ("output", outputs))
        ]
        (folder / name / "config.pbtxt").write_text(
            f'name: "{name}" backend: "python" max_batch_size: 0\n{sides[0]}\n{sides[1]}\n'
            "instance_group [{kind: KIND_CPU count: 1}]\n"
        )

    four = "data_type: TYPE_FP32 dims: [-1, 4]"
    add("pair", {"a": four, "b": four}, {"total": four, "difference": four})
    for name, kind, dims in (
        ("scores", "FP32", "[-1, 5]"),
        ("text", "STRING", "[-1]"),
        ("line", "FP32", "[-1]"),
        *((f"identity-{kind}", kind.replace("BYTES", "STRING"), "[-1, 2]") for kind in TYPES),
    ):
        tensor = f"data_type: TYPE_{kind} dims: {dims}"
        add(name, {"x": tensor}, {"y": tensor})
    return folder


def triton(venv: Path, backends: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of Triton without its models."""
    site = venv / "lib/python3.11/site-packages"
    server = site / "pytriton/tritonserver"
    shutil.copytree(server / "backends/python", backends / "python")
    shutil.copy(
        server / "python_backend_stubs/3.11/triton_python_backend_stub", backends / "python"
    )
    prefix = (venv / "bin/python").resolve().parent.parent
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{prefix}/lib:{site}/nvidia_pytriton.libs",
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(site),
    }
    command = [str(server / "bin/tritonserver"), "--backend-directory", str(backends)]
    for door, port in (("http", _PORT), ("grpc", _GRPC_PORT)):
        command += [f"--{door}-port", str(port), f"--{door}-address", "127.0.0.1"]
    return [*command, "--allow-metrics", "false"], environment


def _wait(process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + _START_LIMIT_S
    while True:
        try:
            if exchange(("127.0.0.1", _PORT), Exchange("GET", "/v2/health/ready"))["status"] == 200:
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > ends:
            raise SystemExit("Triton does not start")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
