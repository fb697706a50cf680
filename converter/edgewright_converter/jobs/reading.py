"""Reads the model and the samples, and makes sure that they fit each other."""

from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.signature import ModelSignature
from edgewright_runtime.engine import Session
from edgewright_runtime.errors import RuntimeFault

from edgewright_converter.annotations import check_preprocessing
from edgewright_converter.errors import ModelFileError
from edgewright_converter.fixed_size import fix_asked_sizes, fix_sample_sizes
from edgewright_converter.frontend import OnnxSource, open_model
from edgewright_converter.held_out import SampleSplit, check_batch_axis, split_samples
from edgewright_converter.jobs.sign import Sign
from edgewright_converter.preparation import open_source
from edgewright_converter.request import ConversionRequest
from edgewright_converter.sample_file import read_samples


@dataclass(frozen=True, slots=True)
class Reading:
    """The source in the size of the samples, the samples, and notes about door and size."""

    source: OnnxSource
    split: SampleSplit
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadJob:
    """Open what the request names. The first inference of an untrusted model is here."""

    request: ConversionRequest

    def run(self, scratch: Path, sign: Sign) -> Reading:
        """Raises ModelFileError, SampleError, ConverterError."""
        request = self.request
        source, door_notes = open_model(
            request.model,
            request.calibration or request.evaluation,
            dict(request.input_sizes),
            scratch,
            sign.beat,
        )

        def reopen(model: OnnxSource) -> Session:
            return open_source(model, request.model, scratch)

        if request.input_sizes:
            session = reopen(source)
            session.close()
            source = fix_asked_sizes(source, session.signature, dict(request.input_sizes))
        session = reopen(source)
        try:
            check_batch_axis(session.signature)
            split = _read_samples(request, session.signature)
            sign.beat()
            fixed, notes = fix_sample_sizes(
                source, session, split.evaluation, request.model, reopen
            )
            _run_once(session, split, request)
        finally:
            session.close()
        return Reading(fixed, split, (*door_notes, *notes))


def _run_once(session: Session, split: SampleSplit, request: ConversionRequest) -> None:
    """Here patience is short: a model that hangs is found before it is given more."""
    try:
        session.run(split.evaluation.sample(0))
    except RuntimeFault as error:
        raise ModelFileError(
            request.model,
            f"cannot be run on the first sample: {error}",
            "give samples that it takes",
        ) from error


def _read_samples(request: ConversionRequest, signature: ModelSignature) -> SampleSplit:
    check_preprocessing(request.preprocessing, signature)
    calibration = (
        read_samples(request.calibration, signature, request.preprocessing)
        if request.calibration is not None
        else None
    )
    evaluation = (
        read_samples(request.evaluation, signature, request.preprocessing)
        if request.evaluation is not None
        else None
    )
    path = request.evaluation or request.calibration or request.model
    return split_samples(calibration, evaluation, signature, path)
