"""HTTP and gRPC beside Triton, MLServer and KServe: `python -m benchmarks.bench_doors`.

Two models, 16 bytes and 602 KB of input, on one thread of ONNX Runtime behind every server;
h2load (Debian's nghttp2-client) asks with 1, 8 and 32 connections, one request at a time on
each. Every answer is compared with the engine's own first. Rounds are interleaved, tables have
medians. Server CPU is that of all the server's processes divided by the requests answered.
Compare rows of one run only. The peers are installed into .cache/peers at the first run.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgewright_runtime.engine import open_session

from benchmarks.doors.load import DOORS, Figures, load
from benchmarks.doors.models import SHAPES, example, save_models
from benchmarks.doors.processes import resident_bytes
from benchmarks.doors.servers import SERVERS, in_process, served

CLIENTS = (1, 8, 32)
SHARE = {"tiny": 1.0, "large": 0.1}
"""Of --requests; a JSON of 602 KB takes milliseconds, so that gets a tenth of it again."""
IN_PROCESS = "in process"
Key = tuple[str, str, int, str]
"""(model, door, clients, server)"""


def main() -> int:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench_doors")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=8000, help="per round and row")
    parser.add_argument(
        "--server", action="append", choices=SERVERS, help="default: all; may be repeated"
    )
    arguments = parser.parse_args()
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    servers = arguments.server or list(SERVERS)
    found: dict[Key, list[Figures]] = {}
    starts: dict[str, list[tuple[float, int, int]]] = {}
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as name:
        folder = Path(name)
        save_models(folder)
        wanted = in_process(folder)
        for turn in range(arguments.rounds):
            for model in SHAPES:
                key = (model, IN_PROCESS, 1, "")
                count = int(arguments.requests * SHARE[model])
                found.setdefault(key, []).append(engine_alone(folder, model, count))
            for server in servers:
                scratch = folder / str(turn) / server
                scratch.mkdir(parents=True)
                save_models(scratch)
                with served(server, scratch, wanted) as running:
                    starts.setdefault(server, []).append(
                        (running.first_answer_s, *resident_bytes(running.pid))
                    )
                    for model in SHAPES:
                        for door in running.doors:
                            for clients in CLIENTS:
                                count = requests(arguments.requests, model, door)
                                figures = load(scratch, running, model, door, clients, count)
                                found.setdefault((model, door, clients, server), []).append(figures)
                                print(model, door, clients, server, figures, file=sys.stderr)
    print(f"{os.cpu_count()} cores, {arguments.rounds} rounds\n")
    print_doors(found, servers)
    print_starts(starts)
    return 0


def requests(asked: int, model: str, door: str) -> int:
    """How many a row takes."""
    slow = 0.1 if model == "large" and door == "HTTP JSON" else 1.0
    return max(64, int(asked * SHARE[model] * slow))


def engine_alone(folder: Path, model: str, count: int) -> Figures:
    """The engine, in this process."""
    session = open_session("onnx", folder / f"{model}.onnx")
    inputs = {"x": example(model)}
    for _ in range(count // 10):
        session.run(inputs)
    taken, cpu = [], time.process_time()
    for _ in range(count):
        started = time.perf_counter()
        session.run(inputs)
        taken.append((time.perf_counter() - started) * 1e6)
    cpu_us = (time.process_time() - cpu) / count * 1e6
    session.close()
    ordered = sorted(taken)
    return Figures(
        statistics.median(taken), ordered[len(ordered) * 99 // 100], cpu_us, 1e6 / cpu_us
    )


def print_doors(found: Mapping[Key, Sequence[Figures]], servers: Sequence[str]) -> None:
    """One row per model, door and clients; a column of medians per server, with its ratio."""
    for model in SHAPES:
        alone = _median(found[model, IN_PROCESS, 1, ""])
        print(f"### {model}: {alone.p50_us:.0f} µs in process\n")
        print("| door | clients | " + " | ".join(servers) + " |")
        print("|---|---|" + "---|" * len(servers))
        for door in DOORS:
            for clients in CLIENTS:
                cells = []
                ours = found.get((model, door, clients, "edgewright"))
                for server in servers:
                    rounds = found.get((model, door, clients, server))
                    cells.append(_cell(rounds, ours if server != "edgewright" else None))
                print(f"| {door} | {clients} | " + " | ".join(cells) + " |")
        print()
    print("p50 µs / server CPU µs per request / requests per second; in brackets theirs over")
    print("ours for the first two, ours over theirs for the third: above 1 we are ahead.\n")


def _cell(rounds: Sequence[Figures] | None, ours: Sequence[Figures] | None) -> str:
    if not rounds:
        return "–"
    own = _median(rounds)
    shown = f"{own.p50_us:,.0f} / {own.cpu_us:,.0f} / {own.per_s:,.0f}"
    if not ours:
        return shown
    base = _median(ours)
    ratios = own.p50_us / base.p50_us, own.cpu_us / base.cpu_us, base.per_s / own.per_s
    return f"{shown} ({' / '.join(f'{ratio:.1f}' for ratio in ratios)})"


def _median(rounds: Sequence[Figures]) -> Figures:
    return Figures(
        *(
            statistics.median(getattr(figures, name) for figures in rounds)
            for name in ("p50_us", "p99_us", "cpu_us", "per_s")
        )
    )


def print_starts(starts: Mapping[str, Sequence[tuple[float, int, int]]]) -> None:
    """From exec to the first answer, and memory before any load."""
    print("| server | exec to first answer, ms | RSS, MB | PSS, MB |")
    print("|---|---|---|---|")
    for server, rounds in starts.items():
        taken, rss, pss = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {server} | {taken * 1e3:.0f} | {rss / 1e6:.0f} | {pss / 1e6:.0f} |")


if __name__ == "__main__":
    sys.exit(main())
