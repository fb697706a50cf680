"""Samples as people see them: pictures and waveforms, with what a model looks at over them."""

import base64

import numpy as np
from numpy.typing import NDArray

from edgewright_converter.measure.saliency import Map
from edgewright_converter.measure.view import View
from edgewright_converter.report.png import encode_png
from edgewright_converter.samples import Tensor

MAX_SIDE = 160
"""Pixels; larger pictures are thinned out, since a report shows dozens of them."""
_SUPPORTS, _OPPOSES = (255, 106, 0), (0, 132, 255)
_STRONGEST = 0.78
"""Opacity: what is under it should still be seen."""
_WIDTH, _HEIGHT = 320, 96


def picture_uri(view: View, sample: Tensor) -> tuple[str, int, int]:
    """A data URI of one sample [...], its width and its height in pixels.

    Bytes are shown as they are; other numbers from their least to their greatest.
    """
    flat = _thinned(view.flat(sample))
    if flat.dtype == np.uint8:
        pixels = flat
    else:
        exact = flat.astype(np.float64)
        low, high = float(exact.min()), float(exact.max())
        pixels = np.rint((exact - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    return png_uri(pixels), pixels.shape[1], pixels.shape[0]


def heat_uri(values: Map, scale: float) -> str:
    """A data URI of a small, see-through picture; `scale` is what shows strongest."""
    strength = np.clip(np.abs(values) / max(scale, 1e-12), 0, 1) * _STRONGEST
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((values >= 0)[..., None], _SUPPORTS, _OPPOSES)
    pixels[..., 3] = np.rint(strength * 255)
    return png_uri(pixels)


def wave_svg(sample: Tensor, values: Map | None, scale: float) -> str:
    """An SVG of one sound: its envelope, over what a model looks at where that is known."""
    sound = sample.reshape(-1).astype(np.float64)
    bins = min(_WIDTH // 2, len(sound))
    edges = np.linspace(0, len(sound), bins + 1).astype(np.intp)
    highs = np.maximum.reduceat(sound, edges[:-1])
    lows = np.minimum.reduceat(sound, edges[:-1])
    largest = max(float(np.abs(sound).max()), 1e-12)
    x = (np.arange(bins) + 0.5) * _WIDTH / bins
    there = [f"{a:.1f},{_up(high / largest):.1f}" for a, high in zip(x, highs, strict=True)]
    back = [f"{a:.1f},{_up(low / largest):.1f}" for a, low in zip(x, lows, strict=True)]
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    parts = [f'<svg class="wave" viewBox="{box}" role="img" aria-label="waveform">']
    if values is not None:
        width = _WIDTH / values.shape[1]
        for index, value in enumerate(values[0].tolist()):
            strength = min(1.0, abs(value) / max(scale, 1e-12)) * _STRONGEST
            colour = _SUPPORTS if value >= 0 else _OPPOSES
            parts.append(
                f'<rect x="{index * width:.1f}" y="0" width="{width:.2f}" height="{_HEIGHT}" '
                f'fill="rgb{colour}" fill-opacity="{strength:.2f}"/>'
            )
    parts.append(f'<polygon points="{" ".join([*there, *back[::-1]])}"/></svg>')
    return "".join(parts)


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """A data URI of [h, w, c] pixels."""
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


def _thinned(flat: Tensor) -> Tensor:
    """At most MAX_SIDE high and wide: every k-th block's mean, of bytes its middle."""
    step = -(-max(flat.shape[:2]) // MAX_SIDE)
    if step == 1:
        return flat
    height, width = (size // step for size in flat.shape[:2])
    if not height or not width:
        return flat[::step, ::step]
    blocks = flat[: height * step, : width * step].reshape(height, step, width, step, -1)
    mean = blocks.mean(axis=(1, 3))
    return np.asarray(np.rint(mean).astype(np.uint8) if flat.dtype == np.uint8 else mean)


def _up(value: float) -> float:
    return _HEIGHT / 2 * (1 - 0.94 * value)
