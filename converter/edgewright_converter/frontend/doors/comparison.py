"""Holds the ONNX file that a door wrote against the original, answer by answer."""

from pathlib import Path

import numpy as np
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.golden import EXACT_SNR_DB, snr_db
from edgewright_runtime.engine import Session, open_session

from edgewright_converter.frontend.doors.original import Attempt, Original, rows
from edgewright_converter.samples import Tensor, Tensors


def answers_of(original: Original, examples: Tensors) -> dict[str, Tensor]:
    """The original's outputs on the examples, each run as a batch of one, stacked."""
    count = len(next(iter(examples.values())))
    return _stacked([original.run(_row(examples, index)) for index in range(count)])


def compare(attempt: Attempt, path: Path, examples: Tensors, wanted: Tensors) -> tuple[str, float]:
    """What tells the ONNX file from the original, "" when nothing does; and the SNR in dB.

    The figure is that of the samples one by one, or of all in one batch where that is worse.
    """
    count = len(next(iter(examples.values())))
    try:
        session = open_session("onnx", path, threads=1)
        try:
            single = _stacked([_run(session, _row(examples, index)) for index in range(count)])
            problem, similar_db = _told(attempt, wanted, single)
            if attempt.dynamic_batch and not problem:
                problem, together_db = _told(attempt, wanted, _run(session, rows(examples, count)))
                similar_db = min(similar_db, together_db)
        finally:
            session.close()
    except EdgewrightError as error:
        reason = str(error).replace(f"{path}: ", "").replace(str(path), "the result")
        return f"ONNX Runtime cannot run it: {reason}", -EXACT_SNR_DB
    return problem, similar_db


def _run(session: Session, batch: Tensors) -> Tensors:
    return session.run({spec.name: batch[spec.name] for spec in session.signature.inputs})


def _row(examples: Tensors, index: int) -> dict[str, Tensor]:
    return {name: value[index : index + 1] for name, value in examples.items()}


def _stacked(answers: list[Tensors]) -> dict[str, Tensor]:
    return {
        name: np.concatenate([np.atleast_1d(answer[name]) for answer in answers])
        for name in answers[0]
    }


def _told(attempt: Attempt, wanted: Tensors, found: Tensors) -> tuple[str, float]:
    problem = _unlike(wanted, found)
    if problem:
        return problem, -EXACT_SNR_DB
    similar_db = snr_db(wanted, found)
    if not similar_db >= attempt.same_snr_db:
        asked = f"{attempt.same_snr_db:.0f} wanted"
        return f"it answers differently ({similar_db:.1f} dB SNR, {asked})", similar_db
    return "", similar_db


def _unlike(wanted: Tensors, found: Tensors) -> str:
    if list(wanted) != list(found):
        return f"it has the outputs {list(found)} instead of {list(wanted)}"
    for name, value in wanted.items():
        if value.shape != np.atleast_1d(found[name]).shape:
            return f"its output {name!r} is {list(found[name].shape)}, not {list(value.shape)}"
        if not np.isfinite(value.astype(np.float64)).all():
            return f"the original's output {name!r} is not finite on the examples"
    return ""
