"""Latency of several artifacts side by side: interleaved, so that load hits all alike."""

import gc
import time
from collections.abc import Sequence

import numpy as np
from edgewright_runtime.engine import Session

from edgewright_converter.candidate import Latency
from edgewright_converter.samples import Samples, Tensor

_WARM_UP_RUNS = 5
_BLOCK_NS = 500_000
"""Runs of one session in a row: half a millisecond's worth, so that its caches are warm."""
_MAX_BLOCK = 20
_MIN_ROUNDS = 5
_MAX_ROUNDS = 300


def measure_latency(
    sessions: Sequence[Session], samples: Samples, *, budget_s: float
) -> list[Latency]:
    """Median and 90th percentile of batch 1 for each session; the first is the float model.

    Takes about `budget_s` in all, more only where five rounds take more. Sessions are run in
    turn, a block each, over the same samples.
    """
    inputs = [samples.sample(index) for index in range(min(samples.count, 16))]
    blocks = [_block_size(session, inputs) for session in sessions]
    times_ns: list[list[int]] = [[] for _ in sessions]
    ratios: list[list[float]] = [[] for _ in sessions]
    deadline = time.monotonic() + budget_s
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a 20 us run would be all that is measured
    try:
        for turn in range(_MAX_ROUNDS):
            if turn >= _MIN_ROUNDS and time.monotonic() > deadline:
                break
            medians = []
            for session, block, kept in zip(sessions, blocks, times_ns, strict=True):
                taken = [
                    _time_ns(session, inputs[(turn * block + k) % len(inputs)])
                    for k in range(block)
                ]
                kept += taken
                medians.append(float(np.median(taken)))
            for ratio, median in zip(ratios, medians, strict=True):
                ratio.append(median / medians[0])
    finally:
        if collecting:
            gc.enable()
    return [
        Latency(
            us_p50=float(np.percentile(kept, 50)) / 1_000,
            us_p90=float(np.percentile(kept, 90)) / 1_000,
            runs=len(kept),
            ratio_to_float=float(np.median(ratio)),
        )
        for kept, ratio in zip(times_ns, ratios, strict=True)
    ]


def _block_size(session: Session, inputs: Sequence[dict[str, Tensor]]) -> int:
    taken = [_time_ns(session, inputs[k % len(inputs)]) for k in range(_WARM_UP_RUNS)]
    return max(1, min(_MAX_BLOCK, _BLOCK_NS // max(1, min(taken))))


def _time_ns(session: Session, inputs: dict[str, Tensor]) -> int:
    started = time.perf_counter_ns()
    session.run(inputs)
    return time.perf_counter_ns() - started
