"""The promise that a bundle makes: how near the golden vectors a variant stays on any machine."""

from edgewright_manifests.golden import EXACT_SNR_DB, GoldenVectors, judge
from edgewright_manifests.tensors import Array
from edgewright_manifests.variant import Precision, Tolerance

_SNR_MARGIN_DB = 3.0
"""Twice the noise power: integer kernels of x86-64 and aarch64 round differently."""
_SAMPLES_MARGIN = 2
_SNR_CEILING_DB = {"float": 60.0, "fp16": 30.0, "mixed": EXACT_SNR_DB, "int8": EXACT_SNR_DB}
"""Float files measure 104 dB and more here, but another processor's fast kernels may sum in
another order, or compute fp16 in fp16; a wrong model is under 20 dB."""


def tolerance_for(
    golden: GoldenVectors, outputs: dict[str, Array], precision: Precision
) -> Tolerance:
    """Floors a margin below what `outputs` (the variant's, for golden.inputs) measured."""
    measured = judge(golden, outputs, Tolerance())
    step = _SAMPLES_MARGIN / golden.samples
    classifies = next(iter(golden.outputs.values())).ndim == 2
    assert measured.snr_db is not None  # judge gives it for outputs that are all finite
    return Tolerance(
        min_snr_db=round(min(measured.snr_db - _SNR_MARGIN_DB, _SNR_CEILING_DB[precision]), 1),
        min_top1_agreement=_below(measured.top1_agreement, step) if classifies else None,
        min_accuracy=_below(measured.accuracy, step),
    )


def _below(share: float | None, step: float) -> float | None:
    return None if share is None else max(0.0, share - step)
