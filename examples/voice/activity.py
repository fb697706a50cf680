"""From a probability per window to segments of speech, and both as a line of text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.voice.sound import RATE, Sound

WINDOW = 512
"""Samples of one step: 32 ms."""
WINDOW_S = WINDOW / RATE
ON, OFF = 0.5, 0.35
"""Speech begins over the one and goes on until under the other, so that it does not flutter."""
MIN_SILENCE_S = 0.1
MIN_SPEECH_S = 0.25
_SHADES = " ▁▂▃▄▅▆▇█"
_COLUMN_S = 0.2


@dataclass(frozen=True, slots=True)
class Segment:
    """Somebody speaks from `start_s` to `end_s`."""

    start_s: float
    end_s: float


def segments_of(probabilities: Sequence[float]) -> list[Segment]:
    """The stretches of speech; a gap or a stretch that is too short is none."""
    found: list[Segment] = []
    start: int | None = None
    quiet_since = 0
    for index, probability in enumerate((*probabilities, 0.0)):
        if probability >= ON:
            start = index if start is None else start
            quiet_since = index + 1
        elif start is not None and probability >= OFF:
            quiet_since = index + 1
        last = index == len(probabilities)
        if start is None or not (last or (index + 1 - quiet_since) * WINDOW_S >= MIN_SILENCE_S):
            continue
        if (quiet_since - start) * WINDOW_S >= MIN_SPEECH_S:
            found.append(Segment(start * WINDOW_S, quiet_since * WINDOW_S))
        start = None
    return found


def plot(sound: Sound, probabilities: Sequence[float], segments: Sequence[Segment]) -> str:
    """Three rows over time: how loud it was, how sure the model was, what was taken for speech."""
    count = int(np.ceil(sound.seconds / _COLUMN_S))
    starts = np.arange(count) * _COLUMN_S
    columns = np.array_split(sound.samples, count)
    loudness = np.array([np.sqrt(np.mean(column**2)) for column in columns])
    sure = np.array(
        [
            max(probabilities[int(start / WINDOW_S) : int((start + _COLUMN_S) / WINDOW_S) + 1])
            for start in starts
        ]
    )
    inside = [
        any(each.start_s < start + _COLUMN_S and start < each.end_s for each in segments)
        for start in starts
    ]
    ruler = "".join(f"{second:<10d}" for second in range(0, int(sound.seconds) + 1, 2))
    return "\n".join(
        (
            f"sound   {_shaded(loudness / max(loudness.max(), 1e-9))}",
            f"speech  {_shaded(sure)}",
            f"        {''.join('━' if each else ' ' for each in inside)}",
            f"seconds {ruler[:count]}",
        )
    )


def _shaded(values: NDArray[np.floating]) -> str:
    steps = np.clip(np.round(values * (len(_SHADES) - 1)), 0, len(_SHADES) - 1)
    return "".join(_SHADES[int(step)] for step in steps)
