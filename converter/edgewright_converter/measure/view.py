"""How a person can look at an input: as a picture, as a sound, or not at all."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgewright_converter.samples import Tensor, Tensors

_LEAST_SIDE = 8
_LEAST_SOUND = 256


@dataclass(frozen=True, slots=True)
class View:
    """An input that can be looked at."""

    name: str
    kind: Literal["picture", "sound"]
    channels: int | None
    """Axis of the channels in [n, ...], where there is one."""

    def flat(self, value: Tensor) -> Tensor:
        """One sample [...] as [h, w, c], or [length] of a sound."""
        if self.kind == "sound":
            return value.reshape(-1)
        if self.channels is None:
            return value[..., None]
        return np.moveaxis(value, self.channels - 1, -1)

    def shaped(self, flat: Tensor, like: Tensor) -> Tensor:
        """The way back, to the shape of the sample `like`."""
        if self.kind == "sound" or self.channels is None:
            return flat.reshape(like.shape)
        return np.moveaxis(flat, -1, self.channels - 1)


def find_view(inputs: Tensors) -> View | None:
    """The first input [n, ...] that is like a picture (one or three channels, either layout) or
    like a sound (one long row of numbers); None where there is none.
    """
    for name, value in inputs.items():
        if view := _view(name, value):
            return view
    return None


def _view(name: str, value: Tensor) -> View | None:
    if value.dtype.kind != "f" and value.dtype != np.uint8:
        return None  # token and byte numbers are no brightness
    sides = value.shape[1:]
    if len(sides) == 3:
        if sides[0] in (1, 3) and min(sides[1:]) >= _LEAST_SIDE:
            return View(name, "picture", 1)
        if sides[2] in (1, 3) and min(sides[:2]) >= _LEAST_SIDE:
            return View(name, "picture", 3)
    if len(sides) == 2 and min(sides) >= _LEAST_SIDE:
        return View(name, "picture", None)
    if value[:1].size >= _LEAST_SOUND and max(sides) == value[:1].size:
        return View(name, "sound", None)
    return None
