"""Which samples are calibrated with, which are measured on, and which become golden vectors.

No rule here looks at a clock or a file: the same samples give the same choice, always.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES

from edgewright_converter.errors import ConverterError, SampleError
from edgewright_converter.samples import Samples, Tensor

_SEED = 20240229  # any fixed number; changing it changes every bundle
_HELD_OUT_SHARE = 0.25
_MIN_TO_SPLIT = 8
"""With fewer, a quarter is one sample, and no figure from it means anything."""
_SYNTHETIC_SAMPLES = 64
_MAX_SYNTHETIC_ELEMENTS = 1 << 27
"""1 GiB while they are drawn: 64 images of 3 x 800 x 800."""


@dataclass(frozen=True, slots=True)
class SampleSplit:
    """`calibration` and `evaluation` have no sample in common; `note` says how that was done."""

    calibration: Samples | None
    evaluation: Samples
    synthetic: bool
    """True when there was nothing real and `evaluation` is noise."""
    note: str


def split_samples(
    calibration: Samples | None,
    evaluation: Samples | None,
    signature: ModelSignature,
    path: Path,
) -> SampleSplit:
    """Decide who is measured on; `path` is the model's or the sample file's, for messages.

    Raises SampleError when nothing is left to measure on.
    """
    if evaluation is None and calibration is None:
        return SampleSplit(
            None,
            _synthetic(signature),
            True,
            "no samples were given: figures are on random numbers and say only that the "
            "converted model computes what the source computes",
        )
    if evaluation is None:
        assert calibration is not None
        return _hold_out(calibration, path)
    if calibration is None:
        return SampleSplit(None, evaluation, False, "no calibration samples were given")
    seen = set(calibration.row_digests())
    fresh = [i for i, digest in enumerate(evaluation.row_digests()) if digest not in seen]
    shared = evaluation.count - len(fresh)
    if not fresh:
        raise SampleError(
            path,
            "holds only samples that are in the calibration set too",
            "evaluate on samples that the quantizer has not seen",
        )
    if shared:
        return SampleSplit(
            calibration,
            evaluation.take(fresh, evaluation.origin),
            False,
            f"{shared} evaluation samples are in the calibration set and were left out",
        )
    return SampleSplit(calibration, evaluation, False, "a file of its own")


def draw_golden(evaluation: Samples, wanted: int) -> tuple[int, ...]:
    """Indices of the samples that become golden vectors: as many of each label as possible.

    Every label is shuffled by a fixed seed, then they are drawn from in turn.
    """
    order = np.random.default_rng(_SEED).permutation(evaluation.count)
    if evaluation.labels is not None:
        rank = np.empty(evaluation.count, dtype=np.intp)
        for label in np.unique(evaluation.labels):
            of_label = order[evaluation.labels[order] == label]
            rank[of_label] = np.arange(len(of_label))
        order = order[np.lexsort((evaluation.labels[order], rank[order]))]
    return tuple(sorted(int(index) for index in order[:wanted]))


def check_batch_axis(signature: ModelSignature) -> None:
    """Raise ConverterError unless every input and output starts with a batch of any size or 1."""
    for kind, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if not spec.shape or spec.shape[0] not in (-1, 1):
                raise ConverterError(
                    f"{kind} {spec.name!r} has shape {list(spec.shape)}; its first axis must be "
                    "the batch, of any size or 1; export the model with a dynamic batch axis"
                )
            if NUMPY_DTYPES.get(spec.datatype) is None:
                raise ConverterError(
                    f"{kind} {spec.name!r} is of type {spec.datatype}, which cannot be measured; "
                    "move that part out of the model"
                )


def _hold_out(samples: Samples, path: Path) -> SampleSplit:
    if samples.count < _MIN_TO_SPLIT:
        raise SampleError(
            path,
            f"holds {samples.count} samples, too few to keep a quarter back to measure on",
            f"give at least {_MIN_TO_SPLIT}, or samples to measure on with --evaluate",
        )
    order = np.random.default_rng(_SEED).permutation(samples.count)
    held = max(1, round(samples.count * _HELD_OUT_SHARE))
    kept, out = sorted(order[held:].tolist()), sorted(order[:held].tolist())
    return SampleSplit(
        samples.take(kept, samples.origin),
        samples.take(out, samples.origin),
        False,
        f"{held} of {samples.count} calibration samples, held out by a fixed seed",
    )


def _synthetic(signature: ModelSignature) -> Samples:
    rng = np.random.default_rng(_SEED)
    return Samples(
        {spec.name: _noise(rng, spec) for spec in signature.inputs}, None, "random numbers"
    )


def _noise(rng: np.random.Generator, spec: TensorSpec) -> Tensor:
    shape = (_SYNTHETIC_SAMPLES, *(max(size, 1) for size in spec.shape[1:]))
    real = spec.datatype in ("FP32", "FP64", "FP16")
    if not real or -1 in spec.shape[1:] or math.prod(shape) > _MAX_SYNTHETIC_ELEMENTS:
        raise ConverterError(
            f"input {spec.name!r} is {spec.datatype} {list(spec.shape)}, for which no random "
            "numbers make sense; give real samples with --evaluate"
        )
    return rng.standard_normal(shape).astype(NUMPY_DTYPES[spec.datatype])
