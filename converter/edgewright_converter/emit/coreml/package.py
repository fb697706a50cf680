"""An .mlpackage as one file: a bundle's files have flat names, and a package is a folder.

The zip holds `model.mlpackage/...`, stored and with one fixed time, so equal models give equal
bytes; what coremltools makes anew each time (random identifiers, the date) is replaced.
"""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FILE_NAME = "model.mlpackage.zip"
FEATURES_KEY = "edgewright.features"
_ROOT = "model.mlpackage"
_MODEL = "com.apple.CoreML/model.mlmodel"
_WEIGHTS = "com.apple.CoreML/weights"
_BLOB = f"{_WEIGHTS}/weight.bin"
_NEVER = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can say
# Says when, not what: two conversions on two days shall be equal.
_DATE_KEY = "com.github.apple.coremltools.conversion_date"


@dataclass(frozen=True, slots=True)
class Feature:
    """What an input or output of the package stands for in the source model."""

    feature: str
    source: str
    dtype: str
    is_scalar: bool
    """Core ML has no features without axes: a scalar is an array of one element."""
    is_input: bool


def pack_model(model: Any, features: Sequence[Feature]) -> bytes:  # model: coremltools' MLModel
    """The zip of a coremltools model, with `features` in its metadata."""
    with TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name) / _ROOT
        model.save(str(folder))
        data = folder / "Data"
        spec = model.get_spec()
        blob = (data / _BLOB).read_bytes() if (data / _BLOB).is_file() else None
    metadata = spec.description.metadata.userDefined
    metadata.pop(_DATE_KEY, None)
    metadata[FEATURES_KEY] = json.dumps([asdict(feature) for feature in features])
    items = {_MODEL: ("model.mlmodel", "CoreML Model Specification")}
    entries = {f"Data/{_MODEL}": spec.SerializeToString(deterministic=True)}
    if blob is not None:
        items[_WEIGHTS] = ("weights", "CoreML Model Weights")
        entries[f"Data/{_BLOB}"] = blob
    return _zipped({"Manifest.json": _manifest(items), **entries})


def _manifest(items: Mapping[str, tuple[str, str]]) -> bytes:
    """The package's manifest; identifiers follow from the paths instead of chance."""
    identifiers = {path: str(uuid.uuid5(uuid.NAMESPACE_URL, path)) for path in items}
    document = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            identifiers[path]: {
                "author": "com.apple.CoreML",
                "description": description,
                "name": name,
                "path": path,
            }
            for path, (name, description) in items.items()
        },
        "rootModelIdentifier": identifiers[_MODEL],
    }
    return json.dumps(document, indent=4).encode()


def _zipped(entries: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path, data in entries.items():
            info = zipfile.ZipInfo(f"{_ROOT}/{path}", _NEVER)
            info.create_system, info.external_attr = 3, 0o644 << 16  # Unix, a plain file
            archive.writestr(info, data)
    return sink.getvalue()


def unpack(data: bytes, folder: Path) -> Path:
    """Write a zip of `pack_model` as a folder that coremltools and macOS open; gives its path."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder / _ROOT


def features_of(spec: Any) -> list[Feature]:  # spec: the Model protobuf
    """What `pack_model` wrote into a package's metadata."""
    return [
        Feature(**entry)
        for entry in json.loads(spec.description.metadata.userDefined[FEATURES_KEY])
    ]
