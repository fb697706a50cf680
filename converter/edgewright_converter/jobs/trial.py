"""Makes one artifact and runs it over the held-out samples."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.golden import snr_db
from edgewright_manifests.variant import Target

from edgewright_converter.candidate import Artifact, Failure, Recipe
from edgewright_converter.crate import read_crate
from edgewright_converter.emit.coreml import emit_coreml
from edgewright_converter.emit.onnx_model import emit_onnx
from edgewright_converter.emit.openvino import emit_openvino
from edgewright_converter.emit.tensorrt import emit_tensorrt
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import ConverterError, RecipeFailed, TargetRefused
from edgewright_converter.jobs.opening import Unusable, open_artifact, told_without
from edgewright_converter.jobs.preparing import Preparation
from edgewright_converter.jobs.reading import Reading
from edgewright_converter.jobs.sign import Living, Sign
from edgewright_converter.measure import run_samples
from edgewright_converter.noise import silenced
from edgewright_converter.samples import Tensors


@dataclass(frozen=True, slots=True)
class Trial:
    """An artifact, and its outputs [n, ...] over the held-out samples."""

    artifact: Artifact
    placement: str
    outputs: Tensors


_WISHED_SNR_DB = 100.0
"""A float TFLite file below this is written once more with short sums (PP-OCRv4 rec: 98.7 dB,
then 103.0, as fast)."""


def _emit_tflite(data: bytes, *, short_sums: bool = False) -> Artifact:
    try:
        with silenced():
            written = write_tflite(onnx.load_model_from_string(data), short_sums=short_sums)
    except TargetRefused:
        raise
    except ConverterError as error:
        raise TargetRefused("tflite", str(error)) from error
    return Artifact("tflite", "float", "float", (("model.tflite", written),))


EMITTERS: Mapping[Target, Callable[[bytes], Artifact]] = {
    "onnx": emit_onnx,
    "openvino": emit_openvino,
    "tflite": _emit_tflite,
    "coreml": emit_coreml,
    "tensorrt": emit_tensorrt,
}
"""ONNX bytes -> the float artifact. A new target is one line here, one in RECIPES, and one in
opening._EVALUATED where no engine here runs it."""


@dataclass(frozen=True, slots=True)
class FloatJob:
    """The float form of one target; `reading` and `preparation` are crates."""

    target: Target
    reading: Path
    preparation: Path

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells it from other jobs over the same source and samples."""
        return ("float", self.target)

    def run(self, scratch: Path, sign: Sign) -> Trial:
        """Raises TargetRefused."""
        reading: Reading = read_crate(self.reading)
        preparation: Preparation = read_crate(self.preparation)
        data = preparation.prepared.simplified
        artifact = EMITTERS[self.target](data)
        sign.beat()
        try:
            made = _try(artifact, reading, preparation, scratch, sign)
            reached_db = snr_db(preparation.outputs, made.outputs)
            if self.target == "tflite" and reached_db < _WISHED_SNR_DB:
                artifact = _emit_tflite(data, short_sums=True)
                other = _try(artifact, reading, preparation, scratch, sign)
                made = max(made, other, key=lambda one: snr_db(preparation.outputs, one.outputs))
            return made
        except Unusable as error:
            raise TargetRefused(
                self.target, f"the converted model cannot be run: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class RecipeJob:
    """One recipe of one target; `plain` is the crate of the target's float Trial."""

    target: Target
    recipe: Recipe
    reading: Path
    preparation: Path
    plain: Path

    @property
    def identity(self) -> tuple[str, ...]:
        """The recipe with all its settings."""
        return ("recipe", self.target, repr(self.recipe))

    def run(self, scratch: Path, sign: Sign) -> Trial | Failure:
        """A recipe that gives nothing is a result too: it will give nothing again."""
        reading: Reading = read_crate(self.reading)
        preparation: Preparation = read_crate(self.preparation)
        plain: Trial = read_crate(self.plain)
        source = preparation.prepared.source_of(plain.artifact)
        recipe = self.recipe
        try:
            artifact = recipe.build(source, reading.split.calibration)
            sign.beat()
            return _try(artifact, reading, preparation, scratch, sign)
        except (RecipeFailed, TargetRefused) as error:
            return Failure(recipe.precision, recipe.name, error.reason)
        except Unusable as error:
            return Failure(recipe.precision, recipe.name, str(error))


def _try(
    artifact: Artifact, reading: Reading, preparation: Preparation, scratch: Path, sign: Sign
) -> Trial:
    session = open_artifact(artifact, scratch / "artifact", preparation.signature)
    try:
        outputs = run_samples(Living(session, sign), reading.split.evaluation)
        return Trial(artifact, session.placement, outputs)
    except EdgewrightError as error:
        raise told_without(scratch / "artifact", error) from error
    finally:
        session.close()
