"""What the local door costs on top of the engine: `python -m benchmarks.bench_local`.

One tiny model, one convolution net (602 KB in) and an identity of 16 B to 6 MB, in turns in
this process, through the local door by each bell, and over HTTP. Compare differences and
ratios within one run; absolute times are the machine's.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from edgewright_runtime.client import Client
from onnx import TensorProto, helper, numpy_helper

from benchmarks.kept_http import asker, infer_requests

SIZES = (16, 4 << 10, 64 << 10, 1 << 20, 6 << 20)
START_LIMIT_S = 60.0


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_local")
    parser.add_argument("--requests", type=int, default=1000, help="per round and row")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as word, ExitStack() as stack:
        folder = Path(word)
        models = {"linear 4 -> 3": _linear(folder), "conv 602 KB": _conv(folder)}
        inputs = {name: _example(path) for name, path in models.items()}
        for size in SIZES:
            name = f"first of {_shown(size)}"
            models[name] = _first(folder, size // 4)
            inputs[name] = {"x": np.zeros((1, size // 4), np.float32)}
        address = _start(folder, models, stack)
        print(f"{os.cpu_count()} cores, one client, p50 in microseconds, + over session.run")
        print(f"{'':<18}{'in process':>11}{'eventfd':>16}{'socket':>16}{'HTTP':>18}")
        for number, (name, path) in enumerate(models.items()):
            rows = _rows(folder, f"m{number}", path, inputs[name], address, stack)
            _print(name, _measure(rows, arguments.requests, arguments.rounds))
    return 0


def _rows(
    folder: Path,
    model: str,
    path: Path,
    inputs: dict[str, np.ndarray],
    address: tuple[str, int],
    stack: ExitStack,
) -> dict[str, Callable[[], object]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    rows: dict[str, Callable[[], object]] = {"in process": lambda: session.run(None, inputs)}
    for way in ("eventfd", "socket"):
        client = stack.enter_context(Client(folder / "infer.sock", way=way))
        slot = client.model(model).slot(batch=1)
        for name, array in inputs.items():
            slot.inputs[name][...] = array
        rows[way] = slot.run
    request = infer_requests(inputs)["binary"].replace(
        b"/models/bench/", f"/models/{model}/".encode()
    )
    rows["HTTP"] = asker(address, request)
    return rows


def _measure(
    rows: dict[str, Callable[[], object]], requests: int, rounds: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, call in rows.items():
            taken = []
            for _ in range(requests):
                started = time.perf_counter()
                call()
                taken.append(time.perf_counter() - started)
            found[name].append(statistics.median(taken) * 1e6)
    return found


def _print(name: str, found: dict[str, list[float]]) -> None:
    base = found["in process"]
    line = f"{name:<18}{statistics.median(base):>11.1f}"
    for way in ("eventfd", "socket", "HTTP"):
        more = statistics.median(a - b for a, b in zip(found[way], base, strict=True))
        ratio = statistics.median(a / b for a, b in zip(found[way], base, strict=True))
        line += f"{f'+{more:.1f} ({ratio:.2f}x)':>{18 if way == 'HTTP' else 16}}"
    print(line, flush=True)


def _start(folder: Path, models: dict[str, Path], stack: ExitStack) -> tuple[str, int]:
    command = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    command += ["runtime", "serve", "--http", "127.0.0.1:0", "--socket", str(folder / "infer.sock")]
    for number, path in enumerate(models.values()):
        command += ["--model", f"m{number}={path}"]
    log = folder / "log"
    process = subprocess.Popen(command, stderr=log.open("w"), text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    ends = time.monotonic() + START_LIMIT_S
    while "local door at" not in (text := log.read_text()):
        if process.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"the server does not start: {text}")
        time.sleep(0.02)
    host, port = text.split("http://", 1)[1].split("/")[0].split(":")
    return host, int(port)


def _example(path: Path) -> dict[str, np.ndarray]:
    tensor = onnx.load(path).graph.input[0]
    shape = [size.dim_value or 1 for size in tensor.type.tensor_type.shape.dim]
    return {tensor.name: np.random.default_rng(0).random(shape, np.float32)}


def _linear(folder: Path) -> Path:
    random = np.random.default_rng(0)
    return _save(
        folder / "linear.onnx",
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        (["n", 4], ["n", 3]),
        {"w": random.random((4, 3), np.float32), "b": random.random(3, np.float32)},
    )


def _conv(folder: Path) -> Path:
    """1x3x224x224 -> two strided convolutions -> 10."""
    random = np.random.default_rng(0)
    return _save(
        folder / "conv.onnx",
        [
            helper.make_node("Conv", ["x", "c"], ["d"], strides=[8, 8]),
            helper.make_node("Relu", ["d"], ["e"]),
            helper.make_node("Conv", ["e", "f"], ["g"], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["g"], ["h"]),
            helper.make_node("Flatten", ["h"], ["y"]),
        ],
        (["n", 3, 224, 224], ["n", 10]),
        {
            "c": random.random((8, 3, 4, 4), np.float32),
            "f": random.random((10, 8, 3, 3), np.float32),
        },
    )


def _first(folder: Path, count: int) -> Path:
    """Takes `count` numbers and gives the first four: work that does not grow with the size."""
    return _save(
        folder / f"first-{count}.onnx",
        [helper.make_node("Slice", ["x", "start", "end", "axis"], ["y"])],
        ([1, count], [1, 4]),
        {
            "start": np.array([0], np.int64),
            "end": np.array([4], np.int64),
            "axis": np.array([1], np.int64),
        },
    )


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    shapes: tuple[list[str | int], list[str | int]],
    constants: dict[str, np.ndarray],
) -> Path:
    info = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in zip("xy", shapes, strict=True)
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, path.stem, info[0], info[1], weights)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def _shown(size: int) -> str:
    if size < 1 << 10:
        return f"{size} B"
    return f"{size >> 10} KB" if size < 1 << 20 else f"{size >> 20} MB"


if __name__ == "__main__":
    sys.exit(main())
