"""Measures what was made: quality on the same held-out samples, latency side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from edgewright_converter.measure import Reference, evaluate, measure_latency, run_samples
from edgewright_converter.measure.gates import gate_problem
from edgewright_converter.measure.metrics import build_metrics, parse_metric
from edgewright_converter.measure.mil_evaluator import open_package
from edgewright_converter.noise import silenced
from edgewright_converter.request import Gates
from edgewright_converter.samples import Samples
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.variant import Quality, Target
from edgewright_runtime.engine import Session, open_session
from msgspec.structs import replace

from benchmarks.peers_converter.adaptation import Adapted
from benchmarks.peers_converter.cells import Cell, Judged, Right, Timed
from benchmarks.peers_converter.making import Inputs
from benchmarks.peers_converter.registry import FLOAT

METRICS: Mapping[str, str] = {
    "basic-pitch": "frames",
    "pp-ocr-det": "iou",
    "pp-ocr-rec": "lines",
    "silero-vad": "frames:output=output",
    "openwakeword-embedding": "cosine",
}
"""What knows the task, by model; classifiers have labels."""
_SECONDS_EACH = 1.5
_TIMED_ROWS = 16


@dataclass(frozen=True, slots=True)
class Judge:
    """One model's float answers and held-out samples."""

    source: Session
    samples: Samples
    reference: Reference

    @classmethod
    def of(cls, inputs: Inputs) -> "Judge":
        """Runs the float ONNX model on the samples. Raises EdgewrightError."""
        arrays = dict(np.load(inputs.evaluation))
        labels = arrays.pop("labels", None)
        samples = Samples(arrays, labels, inputs.evaluation.name)
        source = open_session("onnx", inputs.model)
        named = METRICS.get(inputs.name)
        wanted = () if named is None else (parse_metric(named),)
        outputs = run_samples(source, samples)
        return cls(source, samples, Reference.of(outputs, samples, build_metrics(wanted, ())))

    def judge(self, cell: Cell, target: Target) -> Cell:
        """`cell` with its quality, or with the problem that running it shows."""
        # Kept first: where the file takes this process down, the next run goes on after it.
        replace(cell, problem="running its file takes the process down").keep()
        try:
            with silenced():
                session = self.open(cell, target)
                quality = evaluate(session, self.samples, self.reference).quality
                session.close()
        except EdgewrightError as error:
            told = str(error).replace(f"{cell.folder / cell.file}: ", "")
            return replace(cell, problem=" ".join(f"does not run: {told}".split())).keep()
        judged = Judged(
            samples=quality.samples,
            snr_db=float(quality.snr_db or 0.0),
            right=_right(quality),
            gate=gate_problem(quality, Gates()),
        )
        return replace(cell, judged=judged, timed=None, problem="").keep()

    def open(self, cell: Cell, target: Target) -> Adapted:
        """A session over a cell's file. Raises EdgewrightError."""
        path = cell.folder / cell.file
        opened: Session = open_package(path) if target == "coreml" else open_session(target, path)
        return Adapted(opened, self.source.signature)


def time_cells(judge: Judge, cells: Sequence[Cell], target: Target) -> list[Cell]:
    """`cells` of one target with their latency, all in turn; Core ML has no engine here."""
    running = [cell for cell in cells if cell.judged is not None]
    if target == "coreml" or not any(cell.by == FLOAT for cell in running):
        return list(cells)
    running.sort(key=lambda cell: cell.by != FLOAT)
    rows = judge.samples.take(range(min(judge.samples.count, _TIMED_ROWS)), "timed")
    with silenced():
        sessions = [judge.open(cell, target).ready(rows) for cell in running]
        numbers = Samples({"row": np.arange(rows.count)}, None, "timed")
        found = measure_latency(sessions, numbers, budget_s=_SECONDS_EACH * len(sessions))
        for session in sessions:
            session.close()
    timed = {
        cell.by: Timed(us_p50=latency.us_p50, speed_up=1 / latency.ratio_to_float)
        for cell, latency in zip(running, found, strict=True)
    }
    return [replace(cell, timed=timed.get(cell.by)).keep() for cell in cells]


def _right(quality: Quality) -> Right | None:
    if quality.accuracy is not None:
        return Right(name="accuracy", value=quality.accuracy, value_float=quality.accuracy_float)
    if quality.metrics:
        figure = quality.metrics[0]
        return Right(name=figure.name, value=figure.value, value_float=figure.value_float)
    if quality.top1_agreement is not None:
        return Right(name="top1", value=quality.top1_agreement)
    return None
