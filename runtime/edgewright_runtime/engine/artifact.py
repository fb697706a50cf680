"""What to open: the file for the engine, and what its variant says that it must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.bundle import read_unpacked
from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec
from edgewright_manifests.variant import Target

from edgewright_runtime.engine.describing import shown
from edgewright_runtime.engine.providers import ANYWHERE, Wanted, fell_back
from edgewright_runtime.engine.session import Session, open_session
from edgewright_runtime.errors import ModelRejected

BARE_FILES: Mapping[str, Target] = {".onnx": "onnx", ".tflite": "tflite", ".xml": "openvino"}
"""What a file without a variant is for, by its suffix."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One variant on disk. `signature` is None for a bare file, which promises nothing."""

    version: str
    variant: str
    target: Target
    path: Path
    signature: ModelSignature | None = None
    wanted: Wanted = ANYWHERE

    def open(self, *, threads: int = 1, isolated: bool = False) -> Session:
        """Load it, `isolated` in a process of its own, which may crash and is started again.

        Raises BackendUnavailable; ModelRejected also for another signature.
        """
        session: Session
        if isolated:
            from edgewright_runtime.engine.isolation.session import IsolatedSession

            session = IsolatedSession(self.target, self.path, threads=threads, wanted=self.wanted)
        else:
            session = open_session(self.target, self.path, threads=threads, wanted=self.wanted)
        if self.signature is not None and not _serves(session.signature, self.signature):
            found = shown(session.signature)
            session.close()
            raise ModelRejected(
                self.path, f"takes and gives {found}, its variant says {shown(self.signature)}"
            )
        return session


def misplaced(artifact: Artifact, session: Session) -> str | None:
    """What does not run where it was wanted, in one line; None when all is well."""
    return fell_back(artifact.wanted, session.placement)


def unpacked_artifact(folder: Path) -> Artifact:
    """The variant unpacked in `folder`. Raises BundleError when it is damaged or incomplete."""
    variant = read_unpacked(folder)
    return Artifact(
        version=variant.version,
        variant=variant.id,
        target=variant.target,
        path=folder / variant.files[0].name,
        signature=variant.signature,
    )


def _serves(found: ModelSignature, wanted: ModelSignature) -> bool:
    """Equal, but for a batch that is 1 in the engine (Core ML) and of any size in the variant."""
    alone = ModelSignature(
        inputs=tuple(map(_of_one, wanted.inputs)), outputs=tuple(map(_of_one, wanted.outputs))
    )
    return found in (wanted, alone)


def _of_one(spec: TensorSpec) -> TensorSpec:
    if spec.shape[:1] != (DYNAMIC,):
        return spec
    return TensorSpec(name=spec.name, datatype=spec.datatype, shape=(1, *spec.shape[1:]))
