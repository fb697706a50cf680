"""`edgewright runtime bench MODEL`: how quick each variant is on this machine."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from edgewright_manifests.documents import Document, encode
from edgewright_manifests.variant import TARGETS

from edgewright_runtime.engine.session import Session
from edgewright_runtime.engine.tensors import Tensor, example_inputs
from edgewright_runtime.model_source import Candidate, open_source

_WARM_RUNS = 10
_MIN_RUNS = 10


class VariantLatency(Document, frozen=True):
    """One variant's latency, one sample per inference. Milliseconds."""

    variant: str
    placement: str
    runs: int
    latency_ms_median: float
    latency_ms_p90: float
    latency_ms_p99: float


class BenchReport(Document, frozen=True):
    """What `bench --json` prints."""

    model: str
    threads: int
    variants: tuple[VariantLatency, ...]
    not_run: Mapping[str, str]
    """Variant id to the reason."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument("model", type=Path, help="a bundle, an unpacked variant, or a bare file")
    parser.add_argument("--target", choices=TARGETS, help="only this variant of a bundle")
    parser.add_argument("--threads", type=int, default=1, choices=range(1, 1025), metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, help="per variant (default 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    with open_source(arguments.model, target=arguments.target, only_best=False) as source:
        found = []
        for candidate in source.candidates:
            if not arguments.json:
                print(f"measuring {candidate.artifact.variant} ...", file=sys.stderr)
            found.append(measure(candidate, threads=arguments.threads, seconds=arguments.seconds))
        report = BenchReport(
            model=source.name,
            threads=arguments.threads,
            variants=tuple(found),
            not_run=source.unusable,
        )
    if arguments.json:
        print(encode(report).decode())
    else:
        _print(report)
    return 0


def measure(candidate: Candidate, *, threads: int, seconds: float) -> VariantLatency:
    """Run it for about `seconds` on its golden vectors, else on zeros of its shape."""
    session = candidate.artifact.open(threads=threads)
    try:
        samples = _samples(candidate, session)
        for index in range(_WARM_RUNS):
            session.run(samples[index % len(samples)])
        taken: list[float] = []
        ends = time.perf_counter() + seconds
        while len(taken) < _MIN_RUNS or time.perf_counter() < ends:
            sample = samples[len(taken) % len(samples)]
            started = time.perf_counter()
            session.run(sample)
            taken.append(time.perf_counter() - started)
        placement = session.placement
    finally:
        session.close()
    median, p90, p99 = (float(value) * 1000 for value in np.percentile(taken, (50, 90, 99)))
    return VariantLatency(
        variant=candidate.artifact.variant,
        placement=placement,
        runs=len(taken),
        latency_ms_median=median,
        latency_ms_p90=p90,
        latency_ms_p99=p99,
    )


def _samples(candidate: Candidate, session: Session) -> list[Mapping[str, Tensor]]:
    golden = candidate.read_golden()
    if golden is None:
        return [example_inputs(session.signature)]
    return [golden.sample(index) for index in range(golden.samples)]


def _print(report: BenchReport) -> None:
    print(f"{report.model}, {report.threads} thread(s), one sample per inference, milliseconds")
    print(f"{'variant':<18}{'median':>10}{'p90':>10}{'p99':>10}{'runs':>9}  runs on")
    for found in report.variants:
        print(
            f"{found.variant:<18}{found.latency_ms_median:>10.3f}{found.latency_ms_p90:>10.3f}"
            f"{found.latency_ms_p99:>10.3f}{found.runs:>9}  {found.placement}"
        )
    for variant, reason in report.not_run.items():
        print(f"{variant:<18}not run here: {reason}")
