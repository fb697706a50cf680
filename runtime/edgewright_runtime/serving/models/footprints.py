"""What loading each artifact took when it was last loaded here, remembered over restarts."""

import hashlib
import logging
from pathlib import Path

import msgspec

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.serving.batching import BatchPlans

_log = logging.getLogger(__name__)
_GUESS = 3
"""An artifact that was never loaded: ONNX Runtime holds the file, its tensors and their packed
copies at the same time."""
_SAMPLE_BYTES = 1 << 20
_KEPT = 64


class Footprint(msgspec.Struct, frozen=True):
    """Of one artifact. Sizes in bytes, durations in seconds."""

    peak_bytes: int
    kept_bytes: int
    load_s: float
    measured: bool = True


class Footprints:
    """By the artifact's content; in a file where one is named."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.plans = BatchPlans()
        """What batches bring, measured in this process: a library's next version may differ."""
        self._found: dict[str, Footprint] = {}
        if path is not None and path.exists():
            try:
                self._found = msgspec.json.decode(path.read_bytes(), type=dict[str, Footprint])
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                # Only measurements: they are taken again.
                _log.warning("footprints are not readable path=%s reason=%s", path, error)

    def of(self, artifact: Artifact) -> Footprint:
        """As measured, else a guess by size. Reads two pieces of the file."""
        found = self._found.get(content_key(artifact))
        if found is not None:
            return found
        size = size_bytes(artifact)
        return Footprint(size * _GUESS, size, size / (100 << 20), measured=False)

    def note(self, key: str, footprint: Footprint) -> None:
        """Remember it by its `content_key`: the most that any load of it took, since pages that
        were free hide growth.
        """
        before = self._found.pop(key, footprint)
        self._found[key] = Footprint(
            max(before.peak_bytes, footprint.peak_bytes),
            max(before.kept_bytes, footprint.kept_bytes),
            footprint.load_s,
        )
        while len(self._found) > _KEPT:
            del self._found[next(iter(self._found))]
        if self._path is None:
            return
        try:
            temporary = self._path.with_name(f".{self._path.name}")
            temporary.write_bytes(msgspec.json.encode(self._found))
            temporary.replace(self._path)
        except OSError as error:
            _log.warning("footprints are not kept path=%s reason=%s", self._path, error)


def content_key(artifact: Artifact) -> str:
    """Size, first and last MB of the file: enough to tell releases apart, at 2 ms."""
    digest = hashlib.sha256()
    with artifact.path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        size = file.seek(0, 2)
        file.seek(max(0, size - _SAMPLE_BYTES))
        digest.update(file.read(_SAMPLE_BYTES))
    digest.update(str(size).encode())
    return f"{artifact.target}:{digest.hexdigest()}"


def size_bytes(artifact: Artifact) -> int:
    """Of the artifact, with what lies beside it, such as OpenVINO's `.bin`."""
    beside = artifact.path.with_suffix(".bin")
    return sum(path.stat().st_size for path in (artifact.path, beside) if path.is_file())
