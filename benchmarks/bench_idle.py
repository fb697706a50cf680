"""CPU of a server that waits, and at 20 requests a second: `python -m benchmarks.bench_idle`.

A real `edgewright_runtime.server` without requests, and then asked 20 times a second over HTTP
and by the local door with two threads per inference; beside it ONNX Runtime in process with two
threads and its default, spinning, and with spinning off. CPU time is the process's own, so that
a busy machine changes it little; the ratio of rows of one run is what counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from edgewright_runtime.client import Client
from edgewright_runtime.control import Measure, Measured
from edgewright_runtime.control_client import ControlClient

from benchmarks.bench_local import _conv
from benchmarks.bench_swap import wait_until_it_serves
from benchmarks.kept_http import asker, infer_requests

SHAPE = (1, 3, 224, 224)
MODES = {"spinning (its default)": "1", "not spinning": "0"}
_IN_PROCESS = """
import sys, time
import numpy as np, onnxruntime as ort
path, mode, rate, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
options = ort.SessionOptions()
options.intra_op_num_threads = 2
options.add_session_config_entry("session.intra_op.allow_spinning", mode)
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
x = np.zeros((1, 3, 224, 224), np.float32)
session.run(None, {name: x})
before, ends, count = time.process_time(), time.monotonic() + seconds, 0
while time.monotonic() < ends:
    session.run(None, {name: x})
    count += 1
    time.sleep(1 / rate)
print((time.process_time() - before) / count)
"""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_idle")
    parser.add_argument("--seconds", type=float, default=20.0, help="per row")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    arguments = parser.parse_args()
    seconds, rate = arguments.seconds, arguments.rate
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as word:
        folder = Path(word)
        path = _conv(folder)
        print(f"{os.cpu_count()} cores, {path.name}, 2 threads per inference, {rate:g} a second")
        with _serving(folder, path) as (pid, control, address):
            print(f"idle: {_share(pid, seconds):.3f} % of a core", flush=True)
            found = {
                "ours, HTTP binary": _over(_http(address), pid, rate, seconds),
                "ours, local door": _local(folder, pid, rate, seconds),
            }
            _check(control)
        for name, mode in MODES.items():
            command = [sys.executable, "-c", _IN_PROCESS, str(path), mode, str(rate), str(seconds)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[f"ONNX Runtime in process, {name}"] = float(told)
    spinning = found["ONNX Runtime in process, spinning (its default)"]
    print(f"{'':<46}{'CPU ms per inference':>22}{'% of a core':>13}{'spinning / this':>17}")
    for name, cpu_s in found.items():
        print(f"{name:<46}{cpu_s * 1e3:>22.2f}{cpu_s * rate * 100:>13.2f}{spinning / cpu_s:>17.1f}")
    return 0


@contextmanager
def _serving(folder: Path, model: Path) -> Iterator[tuple[int, ControlClient, str]]:
    command = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    command += ["runtime", "serve", "--http", "127.0.0.1:0", "--model", f"bench={model}"]
    command += ["--control", str(folder / "control.sock"), "--socket", str(folder / "infer.sock")]
    command += ["--threads", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            control = ControlClient(folder / "control.sock")
            yield process.pid, control, wait_until_it_serves(control, process)
        finally:
            process.terminate()


def _share(pid: int, seconds: float) -> float:
    """Percent of a core that the process takes while nobody asks it anything."""
    time.sleep(1.0)
    before = _schedstat_s(pid)
    time.sleep(seconds)
    return (_schedstat_s(pid) - before) / seconds * 100


def _schedstat_s(pid: int) -> float:
    """CPU time of all its threads in nanoseconds' steps: /proc/PID/stat counts in 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _over(call: Callable[[], object], pid: int, rate: float, seconds: float) -> float:
    """The server's CPU seconds per request."""
    call()
    before, ends, count = _schedstat_s(pid), time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        call()
        count += 1
        time.sleep(1 / rate)
    return (_schedstat_s(pid) - before) / count


def _http(address: str) -> Callable[[], object]:
    host, port = address.rsplit(":", 1)
    inputs = {"x": np.zeros(SHAPE, np.float32)}
    return asker((host, int(port)), infer_requests(inputs)["binary"])


def _local(folder: Path, pid: int, rate: float, seconds: float) -> float:
    with Client(folder / "infer.sock") as client, client.model("bench").slot(batch=1) as slot:
        return _over(slot.run, pid, rate, seconds)


def _check(control: ControlClient) -> None:
    reply = control.ask_blocking(Measure("bench", "1"))
    if not isinstance(reply, Measured) or reply.errors:
        raise SystemExit(f"requests failed: {reply}")


if __name__ == "__main__":
    sys.exit(main())
