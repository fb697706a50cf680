"""Runs the float model over the held-out samples, and finds the forms that targets start from."""

from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.signature import ModelSignature
from edgewright_runtime.errors import RuntimeFault

from edgewright_converter.crate import read_crate
from edgewright_converter.errors import ModelFileError
from edgewright_converter.held_out import check_batch_axis
from edgewright_converter.jobs.reading import Reading
from edgewright_converter.jobs.sign import Living, Sign
from edgewright_converter.measure import run_samples
from edgewright_converter.preparation import Prepared, open_source, prepare
from edgewright_converter.samples import Tensors


@dataclass(frozen=True, slots=True)
class Preparation:
    """What every target starts from and is compared with."""

    signature: ModelSignature
    outputs: Tensors
    """The float model's, [n, ...] over the held-out samples."""
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class PrepareJob:
    """`reading` is the crate of a Reading."""

    reading: Path
    model: Path

    @property
    def identity(self) -> tuple[str, ...]:
        """There is one per source and samples."""
        return ("prepare",)

    def run(self, scratch: Path, sign: Sign) -> Preparation:
        """Raises ModelFileError, and ConverterError where an output cannot be measured."""
        reading: Reading = read_crate(self.reading)
        evaluation = reading.split.evaluation
        session = open_source(reading.source, self.model, scratch)
        try:
            signature = session.signature
            check_batch_axis(signature)
            outputs = run_samples(Living(session, sign), evaluation)
        except RuntimeFault as error:
            raise ModelFileError(
                self.model, f"cannot be run on every sample: {error}", "give samples that it takes"
            ) from error
        finally:
            session.close()
        prepared = prepare(reading.source, signature, evaluation, outputs, scratch)
        return Preparation(signature, outputs, prepared)
