"""Triton's own load generator against this server: it knows nothing of us.

`pytest -s` shows the figures.
"""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.doors.models import CLASSES, SHAPES, save_models
from tests.integration.test_whole_way import free_port
from tests.runtime.serving.running import serving_files

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("perf_analyzer.sh")
CACHE = ROOT / ".cache" / "perf_analyzer"
CANNOT_BE_HAD = 77
LIMIT_S = 300
REQUESTS = 400
WINDOWS = ["--measurement-mode", "count_windows", "--measurement-request-count", str(REQUESTS)]
# It measures until three windows agree within so much: whatever else this machine does.
PATIENT = ["--stability-percentage", "999", "--max-trials", "10"]
DOORS = {
    "http": ["-i", "http"],
    # Its random floats are random bits, NaN among them, which is no JSON.
    "http, JSON": [
        *("--input-tensor-format", "json", "--output-tensor-format", "json"),
        *("--input-data", "zero"),
    ],
    "http, asynchronous": ["-i", "http", "--async"],
    "http, system shared memory": ["--shared-memory", "system"],
    "grpc": ["-i", "grpc"],
    "grpc, asynchronous": ["-i", "grpc", "--async"],
    "grpc, streaming": ["-i", "grpc", "--streaming", "--async"],
    "grpc, system shared memory": ["-i", "grpc", "--shared-memory", "system"],
    "grpc, deflated": ["-i", "grpc", "--grpc-compression-algorithm", "deflate"],
}


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    """perf_analyzer; the tests are passed over where it cannot be fetched."""
    done = subprocess.run(
        [SCRIPT, CACHE, "--version"],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode == CANNOT_BE_HAD:
        pytest.skip(done.stderr.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of the two models of the benchmarks; HTTP's and gRPC's address."""
    folder = tmp_path_factory.mktemp("perf")
    save_models(folder)
    files = {name: folder / f"{name}.onnx" for name in SHAPES}
    grpc = f"127.0.0.1:{free_port()}"
    with serving_files(folder, files, "--grpc", grpc) as running:
        yield {"http": running.http, "grpc": grpc}


@pytest.mark.parametrize("model", SHAPES)
@pytest.mark.parametrize("door", DOORS)
def test_perf_analyzer_runs_through(
    door: str, model: str, addresses: dict[str, str], tmp_path: Path
) -> None:
    address = addresses["grpc" if door.startswith("grpc") else "http"]
    table = tmp_path / "table.csv"
    command = [str(SCRIPT), str(CACHE), "-m", model, "-u", address, "-f", str(table)]
    command += ["--concurrency-range", "1:8:7", *DOORS[door], *WINDOWS, *PATIENT]
    if "shared memory" in door:
        command += ["--output-shared-memory-size", str(4 * CLASSES[model])]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with table.open() as file:
        rows = {row["Concurrency"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"1", "8"}
    print()
    for clients, row in rows.items():
        per_s, p50_us = float(row["Inferences/Second"]), float(row["p50 latency"])
        assert per_s > 0
        print(f"{door:28s} {model:6s} {clients} clients {p50_us:7.0f} us p50 {per_s:8.0f}/s")
