"""Finds what the float model, or an artifact, looks at in a few samples."""

from dataclasses import dataclass
from pathlib import Path

from edgewright_converter.crate import read_crate
from edgewright_converter.jobs.opening import open_artifact
from edgewright_converter.jobs.preparing import Preparation
from edgewright_converter.jobs.reading import Reading
from edgewright_converter.jobs.sign import Living, Sign
from edgewright_converter.jobs.trial import Trial
from edgewright_converter.measure.saliency import SaliencyMaps, fit_parts, saliency_maps
from edgewright_converter.measure.view import find_view
from edgewright_converter.preparation import open_source

_BUDGET_S = 6.0
"""For the float model; a variant takes about as long. It is one part of a report."""


@dataclass(frozen=True, slots=True)
class SaliencyJob:
    """`trial` is the crate of a Trial; None stands for the float model as it was given."""

    reading: Path
    preparation: Path
    model: Path
    trial: Path | None
    of: str
    """The target and recipe of the trial; empty for float."""
    rows: tuple[int, ...]
    """Held-out samples."""
    answers: tuple[int, ...]
    """The float model's class for each, -1 where it does not classify."""
    parts: int
    """Along each side; 0: as many as there is time for."""

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells it from other jobs over the same source and samples."""
        return ("saliency", self.of, repr(self.rows), repr(self.answers), str(self.parts))

    def run(self, scratch: Path, sign: Sign) -> SaliencyMaps:
        """Raises Unusable, and InferenceFailed where a covered sample cannot be run."""
        reading: Reading = read_crate(self.reading)
        preparation: Preparation = read_crate(self.preparation)
        samples = reading.split.evaluation
        view = find_view(samples.inputs)
        if view is None:
            return SaliencyMaps(0, ())
        if self.trial is None:
            session = open_source(reading.source, self.model, scratch)
        else:
            trial: Trial = read_crate(self.trial)
            session = open_artifact(trial.artifact, scratch / "artifact", preparation.signature)
        try:
            living = Living(session, sign)
            parts = self.parts or fit_parts(living, samples, view, len(self.rows), _BUDGET_S)
            if not parts:
                return SaliencyMaps(0, ())
            return saliency_maps(living, samples, view, self.rows, self.answers, parts)
        finally:
            session.close()
