"""What taking waiting requests together brings: `python -m benchmarks.bench_batching`.

One wide model (64 -> width -> width -> 10) behind our server with batching off and on (auto), in
turns; h2load (Debian's nghttp2-client) asks with 1, 8 and 32 connections. Prints medians of the
server's CPU time per request and of requests per second. Compare rows of one run.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.doors.processes import cpu_s
from tests.runtime.models import wide_onnx
from tests.runtime.serving.running import serving_files

_CLIENTS = (1, 8, 32)
_MODES = ("off", "auto")


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="bench_batching", description=__doc__)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=20_000, help="per round and row")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = wide_onnx(Path(folder) / "wide.onnx", width=options.width)
        for turn in range(options.rounds):
            for mode in _MODES:
                run = Path(folder) / f"{mode}-{turn}"
                run.mkdir()
                for clients, row in _round(run, model, mode, options.requests).items():
                    found.setdefault((mode, clients), []).append(row)
    print("| clients | batching | CPU us per request | requests per s |\n|---|---|---|---|")
    for clients in _CLIENTS:
        for mode in _MODES:
            cpu, speed = (
                statistics.median(side) for side in zip(*found[mode, clients], strict=True)
            )
            print(f"| {clients} | {mode} | {cpu * 1e6:.1f} | {speed:.0f} |")
    return 0


def _round(folder: Path, model: Path, mode: str, requests: int) -> dict[int, tuple[float, float]]:
    settings = folder / "settings.toml"
    settings.write_text(f'[models.wide]\nbatching = "{mode}"\n')
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [1, 64],
                    "parameters": {"binary_data_size": 256},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    body = folder / "body"
    body.write_bytes(head + bytes(256))
    rows = {}
    with serving_files(folder, {"wide": model}, "--model-settings", str(settings)) as running:
        address = f"http://{running.http}/v2/models/wide/infer"
        for clients in _CLIENTS:
            _load(body, len(head), address, clients, max(clients, requests // 10))  # warm
            before = cpu_s(running.process.pid)
            speed = _load(body, len(head), address, clients, requests)
            rows[clients] = (cpu_s(running.process.pid) - before) / requests, speed
    return rows


def _load(body: Path, head_bytes: int, address: str, clients: int, requests: int) -> float:
    """Requests per second; all must be answered."""
    command = ["h2load", "--h1", "-n", str(requests), "-c", str(clients), "-d", str(body)]
    command += ["-H", f"Inference-Header-Content-Length: {head_bytes}", address]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    answered, speed = re.search(r"(\d+) 2xx", told), re.search(r"([\d.]+) req/s", told)
    if answered is None or speed is None or int(answered[1]) != requests:
        raise SystemExit(f"not every request was answered: {told}")
    return float(speed[1])


if __name__ == "__main__":
    sys.exit(main())
