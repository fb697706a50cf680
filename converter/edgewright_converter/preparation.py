"""From the source file to the forms that targets start from, each compared with the source."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.golden import snr_db
from edgewright_manifests.signature import ModelSignature
from edgewright_runtime.engine import Session, open_session

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.errors import ModelFileError
from edgewright_converter.frontend import OnnxSource, Rewrite, raise_opset, simplify
from edgewright_converter.measure import run_samples
from edgewright_converter.noise import silenced
from edgewright_converter.samples import Samples, Tensors

_SAME_SNR_DB = 90.0
"""onnxsim changed outputs by at most 1.3e-6 on eight models; folding reorders float additions,
dropping an operator does not hide above 90 dB."""
_COMPARED_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Prepared:
    """The forms of the source that were found to compute what the source computes."""

    simplified: bytes
    quantizable: bytes | None
    quantizable_problem: str
    notes: tuple[str, ...]

    def source_of(self, plain: Artifact) -> RecipeSource:
        """What recipes start from for the target of `plain`, its float artifact."""
        return RecipeSource(plain, self.quantizable, self.quantizable_problem, self.simplified)


def open_source(source: OnnxSource, path: Path, folder: Path) -> Session:
    """The source on the engine; it is the reference for everything that follows.

    Raises ModelFileError when ONNX Runtime cannot run it.
    """
    try:
        return _open(source.data, folder / "source.onnx")
    except EdgewrightError as error:
        # The engine names a scratch file that is gone by the time anyone reads this.
        reason = str(error).replace(str(folder / "source.onnx"), path.name)
        raise ModelFileError(
            path, f"ONNX Runtime cannot load it: {reason}", "export it with supported operators"
        ) from error


def prepare(
    source: OnnxSource, signature: ModelSignature, samples: Samples, outputs: Tensors, folder: Path
) -> Prepared:
    """Simplify, raise the opset, and keep only what gives `outputs` on `samples`."""
    few = samples.take(range(min(samples.count, _COMPARED_SAMPLES)), samples.origin)
    wanted = {name: value[: few.count] for name, value in outputs.items()}

    def same(data: bytes) -> str:
        return _difference(data, signature, few, wanted, folder / "rewritten.onnx")

    simplified, problem = _checked(lambda: simplify(source.data), same)
    notes = [f"onnxsim was not used: {problem}"] if problem else []
    base = source.data if simplified is None else simplified
    if _is_quantized(base):
        # onnxruntime's quantizer looks for ever for the end of pairs that it did not make.
        return Prepared(base, None, "it is quantized already", tuple(notes))
    quantizable, problem = _checked(lambda: raise_opset(base, source.opset), same)
    if problem:
        notes.append(f"the opset could not be raised for quantization: {problem}")
    return Prepared(base, quantizable, problem, tuple(notes))


def _is_quantized(data: bytes) -> bool:
    nodes = onnx.load_model_from_string(data).graph.node
    return any(node.op_type == "QuantizeLinear" for node in nodes)


def _checked(
    rewrite: Callable[[], Rewrite], same: Callable[[bytes], str]
) -> tuple[bytes | None, str]:
    made = rewrite()
    if made.data is None:
        return None, made.problem
    problem = same(made.data)
    return (None, problem) if problem else (made.data, "")


def _difference(
    data: bytes, signature: ModelSignature, samples: Samples, wanted: Tensors, path: Path
) -> str:
    """What tells the rewritten model from the source; "" when nothing does."""
    try:
        session = _open(data, path)
        try:
            if session.signature != signature:
                return "it changed the model's inputs or outputs"
            similar_db = snr_db(wanted, run_samples(session, samples))
        finally:
            session.close()
    except EdgewrightError as error:
        # The engine names a scratch file that is gone by the time anyone reads this.
        reason = str(error).replace(f"{path}: ", "").replace(str(path), "the result")
        return f"its result cannot be run: {reason}"
    if similar_db < _SAME_SNR_DB:
        return f"its result answers differently ({similar_db:.1f} dB SNR)"
    return ""


def _open(data: bytes, path: Path) -> Session:
    path.write_bytes(data)
    with silenced():
        return open_session("onnx", path, threads=1)
