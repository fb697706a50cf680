"""What a model looks at, by occlusion: cover a part of the input, see how the answer changes.

Zeiler and Fergus, arXiv:1311.2901, section 4.2. It needs nothing but the engine, so that the
float model and the shipped variant are asked in the same way.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.measure.view import View
from edgewright_converter.samples import Samples, Tensor, Tensors

Map = NDArray[np.float32]
PARTS = (8, 7, 6, 5, 4)
"""Along each side of a picture; a sound has four times as many in its row."""
_SOUND_TIMES = 4


class Model(Protocol):
    """Whatever gives outputs for inputs."""

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One inference."""


@dataclass(frozen=True, slots=True)
class SaliencyMaps:
    """Per asked sample how much each part supports the answer; [] where there was no time."""

    parts: int
    maps: tuple[Map, ...]
    """[parts, parts] for a picture, [1, 4 * parts] for a sound; negative where it speaks against
    the answer. In units of the model's score, or relative change where it does not classify.
    """


def fit_parts(model: Model, samples: Samples, view: View, count: int, budget_s: float) -> int:
    """Into how many parts the budget allows to cut `count` samples; 0 where not even four."""
    inputs = samples.sample(0)
    model.run(inputs)
    started = time.perf_counter()
    model.run(inputs)
    run_s = time.perf_counter() - started
    for parts in PARTS:
        if count * (1 + _runs(view, parts)) * run_s <= budget_s:
            return parts
    return 0


def saliency_maps(
    model: Model,
    samples: Samples,
    view: View,
    rows: Sequence[int],
    answers: Sequence[int],
    parts: int,
) -> SaliencyMaps:
    """Occlude each part of each of `rows`; `answers` are the classes to watch, -1 for all outputs.

    A part is covered with the sample's own mean, per channel.
    """
    found = []
    for row, answer in zip(rows, answers, strict=True):
        inputs = samples.sample(row)
        whole = inputs[view.name][0]
        flat = view.flat(whole)
        base = model.run(inputs)
        base = {name: np.array(value) for name, value in base.items()}
        axes = (0, 1) if view.kind == "picture" else (0,)
        cover = flat.mean(axis=axes).astype(flat.dtype)
        shape = (parts, parts) if view.kind == "picture" else (1, _SOUND_TIMES * parts)
        values = np.zeros(shape, np.float32)
        for place in np.ndindex(shape):
            covered = np.array(flat)
            covered[_part(flat, place, shape, view)] = cover
            inputs[view.name] = np.ascontiguousarray(view.shaped(covered, whole)[None])
            values[place] = _change(base, model.run(inputs), answer)
        found.append(values)
    return SaliencyMaps(parts, tuple(found))


def _runs(view: View, parts: int) -> int:
    return parts * parts if view.kind == "picture" else _SOUND_TIMES * parts


def _part(
    flat: Tensor, place: tuple[int, ...], shape: tuple[int, ...], view: View
) -> tuple[slice, ...]:
    sizes = flat.shape[:2] if view.kind == "picture" else (1, len(flat))
    cut = tuple(
        slice(index * size // parts, (index + 1) * size // parts)
        for index, parts, size in zip(place, shape, sizes, strict=True)
    )
    return cut if view.kind == "picture" else cut[1:]


def _change(base: Tensors, changed: Tensors, answer: int) -> float:
    first = next(iter(base))
    if answer >= 0:
        return float(base[first][0, answer]) - float(changed[first][0, answer])
    apart = power = 0.0
    for name, value in base.items():
        exact = value.astype(np.float64)
        apart += float(np.square(exact - changed[name]).sum())
        power += float(np.square(exact).sum())
    return float(np.sqrt(apart / power)) if power else 0.0
