"""Reads calibration and evaluation samples from .npz; what does not fit is one clear line.

One array per model input, by name. An array of the input's rank holds the samples along its
batch axis; one of rank + 1 has them on an extra first axis. What may be added is read by
annotations.py. An input may be given as `raw.<input>` where a pre-processing is recorded.
"""

import difflib
import lzma
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES

from edgewright_converter.annotations import (
    is_annotation,
    join_annotations,
    read_annotations,
    read_raw,
)
from edgewright_converter.errors import SampleError
from edgewright_converter.samples import Samples, Tensor, shape_words

MAX_SAMPLE_BYTES = 4 << 30
"""All arrays of one file, unpacked: what a build machine can hold; stops zip bombs."""


def read_samples(
    path: Path, signature: ModelSignature, preprocessing: Preprocessing | None = None
) -> Samples:
    """The samples in the .npz `path`, or in all .npz of the folder `path`, in name order.

    Raises SampleError, naming the file and the array, for anything that does not fit.
    """
    if path.is_dir():
        files = sorted(path.glob("*.npz"))
        if not files:
            raise SampleError(path, "holds no .npz file", "save samples with numpy.savez")
    else:
        files = [path]
    parts = [_fit(file, load_arrays(file), signature, preprocessing) for file in files]
    for file, part in zip(files[1:], parts[1:], strict=True):
        for name, value in part.inputs.items():
            first = parts[0].inputs[name].shape[1:]
            if value.shape[1:] != first:
                raise SampleError(
                    file,
                    f"array {name!r} has samples of shape {list(value.shape[1:])}, those of "
                    f"{files[0].name} are {list(first)}",
                    "give all samples one shape",
                )
    return join_annotations(
        files,
        parts,
        {
            spec.name: np.concatenate([part.inputs[spec.name] for part in parts])
            for spec in signature.inputs
        },
        path.name,
    )


def load_arrays(path: Path) -> dict[str, Tensor]:
    """The arrays of one .npz as they are. Raises SampleError for anything that is none."""
    remedy = "save it with numpy.savez(path, **{input name: array})"
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total > MAX_SAMPLE_BYTES:
            raise SampleError(
                path, f"unpacks to {total} bytes, over {MAX_SAMPLE_BYTES}", "use fewer samples"
            )
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (FileNotFoundError, PermissionError) as error:
        raise SampleError(path, f"cannot be read: {error.strerror}", "check the path") from error
    # What zipfile and numpy raise on hostile archives; RuntimeError: encrypted members,
    # MemoryError: a header that claims more than there is.
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        OSError,
        EOFError,
        LookupError,
        RuntimeError,
        OverflowError,
        MemoryError,
        TypeError,
    ) as error:
        raise SampleError(path, "is no .npz file, or is damaged", remedy) from error
    except ValueError as error:
        if "pickle" in str(error):
            raise SampleError(
                path,
                "holds pickled Python objects, which are never loaded because they can run code",
                "save plain numeric arrays of one shape",
            ) from error
        raise SampleError(path, f"holds a damaged array ({error})", remedy) from error
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):  # numpy gives a member that is no .npy as bytes
            raise SampleError(path, f"holds {name!r}, which is no array", remedy)
    return arrays


def _fit(
    path: Path,
    arrays: dict[str, Tensor],
    signature: ModelSignature,
    preprocessing: Preprocessing | None,
) -> Samples:
    names = [spec.name for spec in signature.inputs]
    for name in arrays:
        if name not in names and not is_annotation(name, names):
            missing = {n.casefold(): n for n in names if n not in arrays}
            near = difflib.get_close_matches(name.casefold(), missing, 1, 0.5)
            raise SampleError(
                path,
                f"has an array {name!r}, which is no input of the model",
                f"did you mean {missing[near[0]]!r}?"
                if near
                else f"name it as the model does: {names}",
            )
    raw = read_raw(path, arrays, signature, preprocessing)
    arrays = {**arrays, **{name: made for name, (_, made) in raw.items() if name not in arrays}}
    inputs = {}
    for spec in signature.inputs:
        if spec.name not in arrays:
            raise SampleError(
                path, f"has no array for the input {spec.name!r}", f"it needs {sorted(names)}"
            )
        inputs[spec.name] = _fit_input(path, arrays[spec.name], spec)
    counts = {name: len(value) for name, value in inputs.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise SampleError(
            path, f"has different numbers of samples ({told})", "give one of each per sample"
        )
    return read_annotations(
        path,
        {name: value for name, value in arrays.items() if name not in names},
        inputs,
        {name: given for name, (given, _) in raw.items()},
    )


def _fit_input(path: Path, value: Tensor, spec: TensorSpec) -> Tensor:
    where, expected = f"array {spec.name!r}", f"{spec.datatype} {shape_words(spec.shape)}"
    rank = len(spec.shape)
    if value.ndim == rank + 1 and value.shape[1:2] == (1,):
        value = value.reshape(value.shape[0], *value.shape[2:])
    elif value.ndim == rank + 1:
        raise SampleError(
            path,
            f"{where} is {list(value.shape)}: each sample is a batch of {value.shape[1]}",
            "give one item a sample",
        )
    item = value.shape[1:]
    fits = value.ndim == rank and all(
        want in (DYNAMIC, have) for want, have in zip(spec.shape[1:], item, strict=True)
    )
    if not fits:
        raise SampleError(
            path,
            f"{where} has shape {list(value.shape)}, the model takes {expected}",
            f"give samples stacked on the first axis, [samples, {shape_words(spec.shape[1:])[1:]}",
        )
    if len(value) == 0:
        raise SampleError(path, f"{where} holds no samples", "give at least one")
    wanted = NUMPY_DTYPES[spec.datatype]
    if not np.can_cast(value.dtype, wanted, "safe"):
        raise SampleError(
            path,
            f"{where} is {value.dtype}, which does not fit into the model's {wanted} without loss",
            f"store it with .astype({str(wanted)!r}) where that is what you want",
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        bad = np.flatnonzero(~np.isfinite(value.reshape(len(value), -1)).all(axis=1))
        raise SampleError(
            path,
            f"{where} has NaN or infinite values, first in sample {bad[0]} ({len(bad)} samples)",
            "take those samples out, or find out how they got there",
        )
    return np.ascontiguousarray(value.astype(wanted))
