"""What samples may say of themselves beside the model's inputs.

`labels` [n]: the index of the right class. `truth` [n, ...]: what is right, for metrics that
take it. `slices` [n] or `slice.<facet>` [n]: which group a sample is in. `raw.<input>`
[n, ...]: the sample before the pre-processing that the bundle records.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from edgewright_manifests.errors import BundleError
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.raw_input import difference, preprocess
from edgewright_manifests.signature import ModelSignature
from numpy.typing import NDArray

from edgewright_converter.errors import ConverterError, SampleError
from edgewright_converter.samples import Labels, Samples, Tensor, Tensors

LABELS, TRUTH, SLICES, SLICE, RAW = "labels", "truth", "slices", "slice.", "raw."
_MAX_GROUPS = 200
"""More groups than this are no slices but identifiers, and no table is read so far."""
_MAX_WORD = 64
_FACET = re.compile(r"[A-Za-z0-9_-]{1,32}")


def is_annotation(name: str, inputs: Sequence[str]) -> bool:
    """Whether an array that is no input may be in a sample file."""
    if name.startswith(RAW):
        return name.removeprefix(RAW) in inputs
    return name in (LABELS, TRUTH, SLICES) or name.startswith(SLICE)


def check_preprocessing(preprocessing: Preprocessing | None, signature: ModelSignature) -> None:
    """Raise ConverterError when the document speaks of an input that the model does not have."""
    names = [spec.name for spec in signature.inputs]
    for name in preprocessing.inputs if preprocessing is not None else ():
        if name not in names:
            raise ConverterError(
                f"pre-processing of {name!r}, which is no input of the model; it has {names}"
            )


def read_raw(
    path: Path,
    arrays: Tensors,
    signature: ModelSignature,
    preprocessing: Preprocessing | None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Per input that has raw samples: these, and the input that pre-processing makes of them.

    Raises SampleError when no pre-processing is known, does not fit, or when the file has the
    input too and it differs.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for spec in signature.inputs:
        raw = arrays.get(RAW + spec.name)
        if raw is None:
            continue
        where = f"array {RAW + spec.name!r}"
        if preprocessing is None or spec.name not in preprocessing.inputs:
            raise SampleError(
                path, f"{where} has raw samples", "say how they become the input, --preprocessing F"
            )
        if raw.ndim == 0 or raw.dtype.kind not in "biuf" or not len(raw):
            raise SampleError(path, f"{where} is {raw.dtype} {list(raw.shape)}", "give numbers")
        if raw.dtype.kind == "f" and not np.isfinite(raw).all():
            raise SampleError(path, f"{where} has NaN or infinite values", "take them out")
        try:
            if spec.name in arrays:
                apart = difference(preprocessing, spec, raw, arrays[spec.name])
                if apart:
                    raise SampleError(
                        path,
                        f"array {spec.name!r} {apart}",
                        f"leave {spec.name!r} out, or correct the pre-processing",
                    )
                found[spec.name] = raw, arrays[spec.name]
            else:
                found[spec.name] = raw, preprocess(preprocessing, spec, raw)
        except BundleError as error:
            raise SampleError(path, str(error), "correct the document of --preprocessing") from None
    return found


def read_annotations(path: Path, arrays: Tensors, inputs: Tensors, raw: Tensors) -> Samples:
    """The samples `inputs` with what `arrays` (no inputs among them) say of them.

    Raises SampleError for what does not fit.
    """
    count = len(next(iter(inputs.values())))
    labels, truth = arrays.get(LABELS), arrays.get(TRUTH)
    slices = {
        name.removeprefix(SLICE): _fit_slices(path, name, value, count)
        for name, value in arrays.items()
        if name == SLICES or name.startswith(SLICE)
    }
    return Samples(
        inputs,
        None if labels is None else _fit_labels(path, labels, count),
        path.name,
        None if truth is None else _fit_truth(path, truth, count),
        slices,
        raw,
    )


def join_annotations(
    files: Sequence[Path], parts: Sequence[Samples], inputs: Tensors, origin: str
) -> Samples:
    """One set of samples from several files. Raises SampleError where only some say something."""
    _same_in_all(files, [part.labels is not None for part in parts], "`labels`")
    _same_in_all(files, [part.truth is not None for part in parts], "`truth`")
    facets = sorted({facet for part in parts for facet in part.slices})
    for facet in facets:
        _same_in_all(files, [facet in part.slices for part in parts], f"slices of {facet!r}")
    raws = sorted({name for part in parts for name in part.raw})
    for name in raws:
        _same_in_all(files, [name in part.raw for part in parts], f"`{RAW}{name}`")
    try:
        return Samples(
            inputs,
            _joined([part.labels for part in parts if part.labels is not None]),
            origin,
            _joined([part.truth for part in parts if part.truth is not None]),
            {facet: np.concatenate([part.slices[facet] for part in parts]) for facet in facets},
            {name: np.concatenate([part.raw[name] for part in parts]) for name in raws},
        )
    except ValueError as error:
        raise SampleError(
            files[0],
            f"`truth` or raw samples have another shape than in other files ({error})",
            "give all samples one shape",
        ) from error


def _joined(values: Sequence[NDArray[np.generic]]) -> Tensor | None:
    return np.concatenate(values) if values else None


def _same_in_all(files: Sequence[Path], has: Sequence[bool], what: str) -> None:
    if any(has) and not all(has):
        raise SampleError(
            files[list(has).index(False)],
            f"has no {what}, while other files in the folder do",
            f"add {what.strip('`')} to every file or to none",
        )


def _fit_labels(path: Path, labels: Tensor, count: int) -> Labels:
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != count:
        raise SampleError(
            path,
            f"labels are {labels.dtype} {list(labels.shape)}; expected integers [{count}]",
            "give the index of the right class of each sample",
        )
    if len(labels) and int(labels.min()) < 0:
        raise SampleError(path, f"labels go down to {labels.min()}", "number the classes from 0")
    return labels.astype(np.int64)


def _fit_truth(path: Path, truth: Tensor, count: int) -> Tensor:
    if truth.ndim == 0 or len(truth) != count or truth.dtype.kind not in "biuf":
        raise SampleError(
            path,
            f"truth is {truth.dtype} {list(truth.shape)}; expected numbers [{count}, ...]",
            "give what is right for each sample",
        )
    if truth.dtype.kind == "f" and not np.isfinite(truth).all():
        raise SampleError(path, "truth has NaN or infinite values", "take those samples out")
    return truth


def _fit_slices(path: Path, name: str, words: Tensor, count: int) -> NDArray[np.str_]:
    if not _FACET.fullmatch(name.removeprefix(SLICE)):
        raise SampleError(path, f"array {name!r} names no facet", "use letters, digits, _ and -")
    if words.ndim != 1 or words.dtype.kind not in "biuU" or len(words) != count:
        raise SampleError(
            path,
            f"{name} are {words.dtype} {list(words.shape)}; expected words or integers [{count}]",
            "give the group that each sample is in",
        )
    told = words.astype(np.str_)
    groups = np.unique(told)
    if len(groups) > _MAX_GROUPS:
        raise SampleError(
            path, f"{name} has {len(groups)} groups", f"make it {_MAX_GROUPS} or fewer"
        )
    for word in groups:
        if not 0 < len(word) <= _MAX_WORD or not word.isprintable():
            raise SampleError(
                path,
                f"{name} has a group {str(word)!r}",
                f"use 1 to {_MAX_WORD} printable characters",
            )
    return told
