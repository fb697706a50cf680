"""Core ML packages, by coremltools on macOS. Written from Apple's documentation; never run.

No Apple device was available when this was written: what it does is checked by its types and, on
other systems, by its refusal. `MLModel.predict`: https://apple.github.io/coremltools/
"""

import json
import platform
import sys
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from edgewright_manifests.signature import DataType, ModelSignature, TensorSpec

from edgewright_runtime.engine.tensors import NUMPY_DTYPES, Tensor, check_inputs
from edgewright_runtime.errors import (
    BackendUnavailable,
    InferenceFailed,
    ModelRejected,
    one_line,
)

_FEATURES_KEY = "edgewright.features"
"""Metadata of the packages that edgewright's converter writes: names, types and scalars."""
_PACKAGE = "model.mlpackage"
_MAX_PACKAGE_BYTES = 8 << 30
_TYPES: Mapping[str, DataType] = {
    "float32": "FP32",
    "float16": "FP16",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}


class CoreMlSession:
    """A loaded package; `predict` is called by one thread at a time."""

    def __init__(self, path: Path, model: Any, folder: "tempfile.TemporaryDirectory[str]") -> None:
        description = model.get_spec().description
        told = description.metadata.userDefined.get(_FEATURES_KEY)
        if told is None:
            raise ModelRejected(path, "was not written by edgewright; convert the model again")
        shapes = {
            feature.name: tuple(int(size) for size in feature.type.multiArrayType.shape)
            for feature in (*description.input, *description.output)
        }
        self._features: dict[str, str] = {}
        specs: dict[bool, list[TensorSpec]] = {True: [], False: []}
        try:
            for entry in json.loads(told):
                self._features[entry["source"]] = entry["feature"]
                specs[entry["is_input"]].append(
                    TensorSpec(
                        name=entry["source"],
                        datatype=_TYPES[entry["dtype"]],
                        shape=() if entry["is_scalar"] else shapes[entry["feature"]],
                    )
                )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelRejected(path, f"its metadata is damaged: {one_line(error)}") from error
        self.signature = ModelSignature(inputs=tuple(specs[True]), outputs=tuple(specs[False]))
        self.placement = f"Core ML {platform.mac_ver()[0]} (all compute units)"
        self._model = model
        self._folder = folder
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Session.run`."""
        check_inputs(self.signature, inputs)
        given = {
            # Core ML's arrays are FP32, FP16 or INT32, and have an axis.
            self._features[name]: np.atleast_1d(array)
            if array.dtype.kind == "f"
            else np.atleast_1d(array).astype(np.int32)
            for name, array in inputs.items()
        }
        with self._lock:
            if self._model is None:
                raise InferenceFailed("the model was unloaded")
            try:
                found = self._model.predict(given)
            except (RuntimeError, TypeError, ValueError) as error:
                raise InferenceFailed(f"Core ML: {one_line(error)}") from error
        outputs: dict[str, Tensor] = {}
        for spec in self.signature.outputs:
            value = np.asarray(found[self._features[spec.name]])
            outputs[spec.name] = value.astype(NUMPY_DTYPES[spec.datatype]).reshape(spec.shape)
        return outputs

    def close(self) -> None:
        """See `Session.close`."""
        with self._lock:
            self._model = None
        self._folder.cleanup()


def open_artifact(path: Path, *, threads: int) -> CoreMlSession:
    """Load an `.mlpackage.zip`; Core ML decides about `threads` itself.

    Raises BackendUnavailable, ModelRejected.
    """
    if sys.platform != "darwin":
        raise BackendUnavailable(
            "coreml", "Core ML runs on macOS only", "use another variant of the bundle here"
        )
    try:
        import coremltools
    except ImportError as error:
        raise BackendUnavailable(
            "coreml",
            f"coremltools cannot be imported ({one_line(error)})",
            "pip install 'edgewright-runtime[coreml]'",
        ) from error
    folder = tempfile.TemporaryDirectory(prefix="edgewright-coreml-")
    try:
        unpack_package(path, Path(folder.name))
        model = coremltools.models.MLModel(str(Path(folder.name) / _PACKAGE))
        return CoreMlSession(path, model, folder)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        folder.cleanup()
        raise ModelRejected(path, f"Core ML refuses it: {one_line(error)}") from error
    except ModelRejected:
        folder.cleanup()
        raise


def unpack_package(path: Path, folder: Path) -> None:
    """The package's files under `folder`; nothing outside it, and no more than 8 GiB.

    Raises ModelRejected.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                parts = PurePosixPath(item.filename).parts
                if not parts or parts[0] != _PACKAGE or ".." in parts:
                    raise ModelRejected(path, f"holds {item.filename!r}, which is no part of it")
            if sum(item.file_size for item in archive.infolist()) > _MAX_PACKAGE_BYTES:
                raise ModelRejected(path, "unpacks to more than 8 GiB")
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelRejected(path, f"is no .mlpackage.zip: {one_line(error)}") from error
