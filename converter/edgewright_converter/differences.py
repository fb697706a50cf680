"""Finds the held-out samples that a variant answers most differently from the float model."""

import numpy as np
from edgewright_manifests.golden import EXACT_SNR_DB
from numpy.typing import NDArray

from edgewright_converter.measure import Reference
from edgewright_converter.report.document import Difference
from edgewright_converter.samples import Tensor, Tensors

_SHOWN = 8
"""As many as people look at."""
_FIGURES, _SYMBOLS = 4, 20


def find_differences(reference: Reference, outputs: Tensors) -> tuple[Difference, ...]:
    """Changed answers first, the surest of the float model's before the others; then the worst SNR.

    Samples that are answered exactly alike are left out.
    """
    snr_db = _per_sample_snr_db(reference.outputs, outputs)
    first = next(iter(reference.outputs))
    want, have = reference.outputs[first], outputs[first]
    surprise = np.zeros(len(snr_db))
    if reference.classes:
        rows = np.arange(len(want))
        before, after = want.argmax(axis=1), have.argmax(axis=1)
        margin = want[rows, before].astype(np.float64) - want[rows, after]
        surprise = np.where(before != after, 1 + np.clip(margin, 0, None), 0)
    order = np.lexsort((snr_db, -surprise))
    return tuple(
        Difference(
            sample=int(index),
            label=None if reference.labels is None else int(reference.labels[index]),
            changed=bool(surprise[index]),
            answer_float=_told(want[index], classifies=bool(reference.classes)),
            answer=_told(have[index], classifies=bool(reference.classes)),
            snr_db=round(float(snr_db[index]), 1),
        )
        for index in order[:_SHOWN]
        if snr_db[index] < EXACT_SNR_DB
    )


def _per_sample_snr_db(reference: Tensors, outputs: Tensors) -> NDArray[np.float64]:
    """[n], over all outputs; EXACT_SNR_DB where they are equal."""
    count = len(next(iter(reference.values())))
    signal, noise = np.zeros(count), np.zeros(count)
    for name, value in reference.items():
        exact = value.reshape(count, -1).astype(np.float64)
        signal += np.square(exact).sum(axis=1)
        noise += np.square(exact - outputs[name].reshape(count, -1)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 10 * (np.log10(signal) - np.log10(noise))
    return np.asarray(
        np.clip(np.where(noise == 0, EXACT_SNR_DB, found), -EXACT_SNR_DB, EXACT_SNR_DB)
    )


def _told(output: Tensor, *, classifies: bool) -> str:
    """One sample's first output in a few words: the class and how sure it is, the best symbol of
    each step of a sequence, or the first values.
    """
    values = output.reshape(-1).astype(np.float64)
    if output.ndim == 2 and min(output.shape) > 1 and _probabilities(output):
        best = output.argmax(axis=1)
        symbols = best[np.insert(best[1:] != best[:-1], 0, True)].tolist()
        more = " …" if len(symbols) > _SYMBOLS else ""
        return "symbols " + " ".join(map(str, symbols[:_SYMBOLS])) + more
    if not classifies:
        more = " …" if len(values) > _FIGURES else ""
        return " ".join(f"{value:.3g}" for value in values[:_FIGURES]) + more
    best = int(values.argmax())
    return f"class {best} ({_probability(values)[best]:.0%})"


def _probabilities(rows: Tensor) -> bool:
    """Whether each row [.., k] is a distribution over k."""
    return bool((rows >= 0).all() and (np.abs(rows.sum(axis=-1) - 1) < 1e-3).all())


def _probability(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values where they are probabilities already, else their softmax."""
    if _probabilities(values):
        return values
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())
