"""What a model costs in a process of its own: `python -m benchmarks.bench_isolation`.

The same artifact in this process and in a child, in turns: medians, and the child's memory.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.isolation.session import IsolatedSession
from edgewright_runtime.engine.raw_inference import RawInference, raw_inference
from edgewright_runtime.engine.raw_tensor import RawTensor, example_raw_inputs

from benchmarks.bench_local import _conv, _linear
from benchmarks.bench_swap import _rss_mb


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_isolation")
    parser.add_argument("--requests", type=int, default=2000, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'':<14}{'in process us':>14}{'in a child us':>14}{'+ us':>8}{'child RSS MB':>14}")
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as word:
        for path in (_linear(Path(word)), _conv(Path(word))):
            _row(path, arguments.requests, arguments.rounds)
    return 0


def _row(path: Path, requests: int, rounds: int) -> None:
    plain = Artifact("1", "onnx", "onnx", path).open()
    child = IsolatedSession("onnx", path, threads=1)
    inputs = example_raw_inputs(plain.signature)
    found: dict[str, list[float]] = {"plain": [], "child": []}
    for _ in range(rounds):
        found["plain"].append(_median_us(raw_inference(plain), inputs, requests))
        found["child"].append(_median_us(child.infer, inputs, requests))
    mine, its = statistics.median(found["plain"]), statistics.median(found["child"])
    rss = _rss_mb(child.pid or 0)
    print(f"{path.stem:<14}{mine:>14.1f}{its:>14.1f}{its - mine:>8.1f}{rss:>14.1f}", flush=True)
    plain.close()
    child.close()


def _median_us(infer: RawInference, inputs: dict[str, RawTensor], requests: int) -> float:
    taken = []
    for _ in range(requests):
        started = time.perf_counter()
        infer(inputs)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


if __name__ == "__main__":
    sys.exit(main())
