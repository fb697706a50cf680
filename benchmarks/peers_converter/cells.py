"""What is kept of one comparison (model, target, by): what was made, and what it measured."""

import re
import shutil
from pathlib import Path

from edgewright_manifests.documents import Document, encode, read_json

CACHE = Path(".cache/bench-converter")


class Right(Document, frozen=True):
    """A figure that knows the task: ours, and the float model's own where it has one."""

    name: str
    value: float
    value_float: float | None = None


class Judged(Document, frozen=True):
    """On the held-out samples, against the float ONNX model on ONNX Runtime."""

    samples: int
    snr_db: float
    right: Right | None
    gate: str
    """Why it would not pass `edgewright convert`'s gates; "" where it would."""


class Timed(Document, frozen=True):
    """One thread, batch 1, interleaved with all others of its model and target."""

    us_p50: float
    speed_up: float


class Cell(Document, frozen=True):
    """One (model, target, by). Without `judged` there is a `problem`."""

    model: str
    target: str
    by: str
    seconds: float = 0.0
    """Wall time of the whole process, its imports included."""
    file: str = ""
    """Where in the folder of this cell the artifact lies."""
    size_bytes: int = 0
    recipe: str = ""
    judged: Judged | None = None
    timed: Timed | None = None
    problem: str = ""

    @property
    def folder(self) -> Path:
        """Its artifact's."""
        return folder_of(self.model, self.target, self.by)

    def keep(self) -> "Cell":
        """Write it to the cache; gives it back."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _document(self.folder).write_bytes(encode(self))
        return self


def folder_of(model: str, target: str, by: str) -> Path:
    """Of one cell; its document lies beside it."""
    return CACHE / model / target / re.sub(r"[^a-z0-9]+", "-", by.lower())


def kept_cell(model: str, target: str, by: str) -> Cell | None:
    """What an earlier run found, None where it did not come to it."""
    path = _document(folder_of(model, target, by))
    return read_json(path, Cell) if path.is_file() else None


def forget(model: str, target: str, by: str) -> Path:
    """Its folder, empty."""
    folder = folder_of(model, target, by)
    shutil.rmtree(folder, ignore_errors=True)
    _document(folder).unlink(missing_ok=True)
    folder.mkdir(parents=True)
    return folder


def _document(folder: Path) -> Path:
    return folder.with_suffix(".json")
