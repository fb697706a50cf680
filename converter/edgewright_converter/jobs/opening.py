"""Opens artifacts: on the engine that will serve them, or on what stands in for it here."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.variant import Target
from edgewright_runtime.engine import Session, open_session

from edgewright_converter.candidate import Artifact
from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.mil_evaluator import open_package
from edgewright_converter.noise import silenced


class Unusable(ConverterError):
    """The engine refuses an artifact, or what it answers cannot be judged."""


def open_artifact(artifact: Artifact, folder: Path, wanted: ModelSignature) -> Session:
    """A session over the artifact's files in `folder`. Raises Unusable."""
    path = artifact.write(folder)
    try:
        with silenced():
            session = _EVALUATED.get(artifact.target, _open_engine)(artifact.target, path)
        _check_signature(session.signature, wanted)
    except EdgewrightError as error:
        raise told_without(path, error) from error
    return session


def told_without(path: Path, error: EdgewrightError) -> Unusable:
    """The engine's one line, without a scratch file that is gone by the time anyone reads it."""
    return Unusable(str(error).replace(f"{path}: ", "").replace(str(path), path.name))


def has_engine(target: Target) -> bool:
    """Whether a latency measured on this machine says something about the target."""
    return target not in _EVALUATED


def _open_engine(target: Target, path: Path) -> Session:
    return open_session(target, path, threads=1)


def _open_evaluator(_: Target, path: Path) -> Session:
    return open_package(path)


def _open_as_onnx(_: Target, path: Path) -> Session:
    return open_session("onnx", path, threads=1)


_EVALUATED: Mapping[Target, Callable[[Target, Path], Session]] = {
    "coreml": _open_evaluator,
    "tensorrt": _open_as_onnx,
}
"""Targets that nothing here can run: an evaluator gives their outputs, and nobody their latency."""


def _check_signature(found: ModelSignature, wanted: ModelSignature) -> None:
    for kind, have, want in (
        ("input", found.inputs, wanted.inputs),
        ("output", found.outputs, wanted.outputs),
    ):
        if [_key(spec) for spec in have] != [_key(spec) for spec in want]:
            raise ConverterError(
                f"its {kind}s are {[_key(s) for s in have]}, the source's {[_key(s) for s in want]}"
            )


def _key(spec: TensorSpec) -> tuple[str, str, int]:
    return spec.name, spec.datatype, len(spec.shape)
