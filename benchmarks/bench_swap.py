"""What a hot swap costs those who ask meanwhile: `python -m benchmarks.bench_swap --swaps 100`.

Two releases of a model with 64 MB of weights take turns in a real `edgewright_runtime.server`,
told over its control socket as the agent does, while one client process asks without pause,
over HTTP and then by the local door. A stall is the longest answer in times of the median
before the swaps; the same time without swaps is the machine's own noise.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import onnx
from edgewright_manifests.bundle import BundleWriter, open_bundle
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.variant import Quality, Tolerance
from edgewright_runtime.client import Client
from edgewright_runtime.control import AnyRequest, Done, Load, Loaded, Status, Switch
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.tensors import example_inputs
from edgewright_runtime.errors import ControlFault, RuntimeFault
from onnx import TensorProto, helper, numpy_helper

from benchmarks.kept_http import asker, infer_requests

WIDTH, LAYERS = 2048, 4
"""16 MB of float weights each."""
START_LIMIT_S = 60.0
DOORS = ("http", "local")


@dataclass(frozen=True)
class Asked:
    """What one client saw: when each request ended and how long it took, in seconds."""

    ended: np.ndarray
    taken: np.ndarray
    errors: int


def main() -> int:
    """Print the table; 1 when a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_swap")
    parser.add_argument("--swaps", type=int, default=20, help="per door")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two swaps")
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds without swaps before")
    parser.add_argument("--door", choices=DOORS, action="append", help="default: both")
    parser.add_argument("--threads", type=int, default=1, help="per inference")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as word:
        folder = Path(word)
        releases = [_release(folder, number) for number in (0, 1)]
        print(f"{os.cpu_count()} cores, {LAYERS * WIDTH * WIDTH * 4 >> 20} MB of weights, 1 client")
        print(
            f"{'':<7}{'requests':>9}{'errors':>7}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}"
            f"{'stall':>7}{'without swaps: p50, max':>25}{'swap ms':>9}{'RSS MB before, after':>22}"
        )
        for door in arguments.door or DOORS:
            failed += _bench(folder, releases, door, arguments)
    return 1 if failed else 0


def _bench(folder: Path, releases: Sequence[Path], door: str, arguments: argparse.Namespace) -> int:
    """One row; gives the requests that failed."""
    with _serving(folder, releases, arguments.threads) as (pid, control, address):
        where = address if door == "http" else str(folder / "infer.sock")
        with _asking(door, where) as finish:
            # One swap first: what it loads once is no growth.
            _swap(control, releases, 1)
            _swap(control, releases, 2)
            time.sleep(1.0)
            quiet_from, before = time.perf_counter(), _rss_mb(pid)
            time.sleep(arguments.quiet)
            quiet_to, took = time.perf_counter(), []
            for number in range(arguments.swaps):
                took.append(_swap(control, releases, number + 3))
                time.sleep(arguments.pause)
            swaps_to = time.perf_counter()
            time.sleep(1.0)
            after = _rss_mb(pid)
            asked = finish()
    quiet = asked.taken[(asked.ended > quiet_from) & (asked.ended <= quiet_to)] * 1e3
    busy = asked.taken[(asked.ended > quiet_to) & (asked.ended <= swaps_to)] * 1e3
    p50, largest = float(np.median(quiet)), float(busy.max())
    print(
        f"{door:<7}{len(busy):>9}{asked.errors:>7}{np.median(busy):>8.2f}"
        f"{np.quantile(busy, 0.99):>8.2f}{largest:>8.2f}{largest / p50:>7.1f}"
        f"{p50:>17.2f},{quiet.max():>7.2f}{np.median(took) * 1e3:>9.0f}"
        f"{before:>14.0f},{after:>6.0f} ({(after / before - 1) * 100:+.1f} %)",
        flush=True,
    )
    return asked.errors


def _swap(control: ControlClient, releases: Sequence[Path], number: int) -> float:
    """Load the other release, switch to it, and free the one before; seconds."""
    started, name = time.perf_counter(), f"swap-{number}"
    _order(control, Load("bench", name, str(releases[number % 2])))
    _order(control, Switch("bench", name, keep_previous=False))
    return time.perf_counter() - started


def _order(control: ControlClient, request: AnyRequest) -> None:
    reply = control.ask_blocking(request)
    if not isinstance(reply, Done):
        raise SystemExit(f"{type(request).__name__}: {reply}")


@contextmanager
def _serving(
    folder: Path, releases: Sequence[Path], threads: int
) -> Iterator[tuple[int, ControlClient, str]]:
    path = folder / "control.sock"
    config = {
        "http": "127.0.0.1:0",
        "control": str(path),
        "socket": str(folder / "infer.sock"),
        "threads": threads,
        "unpacked": [{"model": "bench", "generation": "first", "folder": str(releases[0])}],
    }
    command = [sys.executable, "-m", "edgewright_runtime.server", "--config", json.dumps(config)]
    command += ["--parent", str(os.getpid()), "--log-level", "warning"]
    with subprocess.Popen(command) as process:
        try:
            control = ControlClient(path)
            yield process.pid, control, wait_until_it_serves(control, process)
        finally:
            process.terminate()


def wait_until_it_serves(control: ControlClient, process: "subprocess.Popen[bytes]") -> str:
    """The HTTP address, when the model serves."""
    ends = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < ends:
        try:
            reply = control.ask_blocking(Status())
        except ControlFault:
            reply = None
        if isinstance(reply, Loaded) and reply.http and reply.state == "serving":
            return reply.http
        time.sleep(0.02)
    raise SystemExit("the server does not start")


@contextmanager
def _asking(door: str, where: str) -> Iterator[Callable[[], Asked]]:
    """One client in a process of its own, until the function given is called."""
    context = multiprocessing.get_context("spawn")
    stop, (mine, its) = context.Event(), context.Pipe()
    process = context.Process(target=_ask, args=(door, where, stop, its), daemon=True)
    process.start()

    def finish() -> Asked:
        stop.set()
        found: Asked = mine.recv()
        process.join()
        return found

    try:
        yield finish
    finally:
        process.kill()


def _ask(
    door: str, where: str, stop: Event, answer: "multiprocessing.connection.Connection"
) -> None:
    call, close = _calling(door, where)
    ended, taken, errors = [], [], 0
    while not stop.is_set():
        started = time.perf_counter()
        try:
            call()
        except (RuntimeFault, SystemExit, OSError):
            errors += 1
        ended.append(time.perf_counter())
        taken.append(ended[-1] - started)
    close()
    answer.send(Asked(np.array(ended), np.array(taken), errors))


def _calling(door: str, where: str) -> tuple[Callable[[], object], Callable[[], object]]:
    inputs = {"x": np.zeros((1, WIDTH), np.float32)}
    if door == "http":
        host, port = where.rsplit(":", 1)
        return asker((host, int(port)), infer_requests(inputs)["binary"]), lambda: None
    client = Client(where)
    slot = client.model("bench").slot(batch=1)
    return slot.run, client.close


def _release(folder: Path, number: int) -> Path:
    """An unpacked variant, as a device has it in a slot."""
    path = folder / "model.onnx"
    _weights(path, seed=number)
    session = open_session("onnx", path)
    inputs = example_inputs(session.signature)
    golden = GoldenVectors(inputs=inputs, outputs=session.run(inputs))
    with BundleWriter("bench", f"{number}.0.0") as writer:
        writer.add_variant(
            target="onnx",
            precision="float",
            recipe="none",
            signature=session.signature,
            files={path.name: path.read_bytes()},
            quality=Quality(samples=1),
            tolerance=Tolerance(min_snr_db=20.0),
            golden=write_golden(golden),
        )
        writer.commit(folder / f"{number}.bundle")
    session.close()
    open_bundle(folder / f"{number}.bundle").entry("onnx").unpack(folder / f"slot-{number}")
    return folder / f"slot-{number}"


def _weights(path: Path, *, seed: int) -> None:
    random = np.random.default_rng(seed)
    names = ["x", *(f"h{index}" for index in range(1, LAYERS)), "y"]
    weights = [
        (random.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32)
        for _ in range(LAYERS)
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]])
            for index in range(LAYERS)
        ],
        "swap",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
        [numpy_helper.from_array(each, f"w{index}") for index, each in enumerate(weights)],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
