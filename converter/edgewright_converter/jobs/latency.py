"""Times all candidates of one target side by side."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from edgewright_converter.candidate import Latency
from edgewright_converter.crate import read_crate
from edgewright_converter.jobs.opening import open_artifact
from edgewright_converter.jobs.preparing import Preparation
from edgewright_converter.jobs.reading import Reading
from edgewright_converter.jobs.sign import Sign
from edgewright_converter.jobs.trial import Trial
from edgewright_converter.measure import measure_latency

LATENCY_BUDGET_S = 2.0
"""Per target: 300 rounds of a 1 ms model, and still 5 rounds of one that takes 50 ms."""


@dataclass(frozen=True, slots=True)
class LatencyJob:
    """`trials` are crates of Trials, the float one first. It must run alone."""

    reading: Path
    preparation: Path
    trials: tuple[Path, ...]

    def run(self, scratch: Path, sign: Sign) -> tuple[Latency, ...]:
        """Raises Unusable where an artifact that ran before does not open."""
        reading: Reading = read_crate(self.reading)
        preparation: Preparation = read_crate(self.preparation)
        with contextlib.ExitStack() as opened:
            sessions = []
            for index, path in enumerate(self.trials):
                trial: Trial = read_crate(path)
                session = open_artifact(trial.artifact, scratch / str(index), preparation.signature)
                opened.callback(session.close)
                sessions.append(session)
                sign.beat()
            return tuple(
                measure_latency(sessions, reading.split.evaluation, budget_s=LATENCY_BUDGET_S)
            )
