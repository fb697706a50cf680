"""The pre-processing that a model's samples went through: a small list of steps per input.

Each step says all that its result depends on, so that `raw_input.preprocess` gives the same
values on every machine. A step that is not here is refused by name: a guess at the
normalisation costs more accuracy than INT8 does.
"""

from typing import Annotated, Literal

import msgspec

from edgewright_manifests.documents import Document

Size = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
Rate = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class Step(Document, frozen=True, tag_field="step"):
    """One step; the sample it takes is what the step before gave, without the batch axis."""


class Resize(Step, frozen=True, tag="resize"):
    """[h, w] or [h, w, c] -> the size, pixel centres at 0.5, edges repeated, no antialiasing."""

    height: Size
    width: Size
    method: Literal["nearest", "bilinear"]


class CenterCrop(Step, frozen=True, tag="center_crop"):
    """[h, w] or [h, w, c] -> its middle; an odd margin loses one row more at the end."""

    height: Size
    width: Size


class Scale(Step, frozen=True, tag="scale"):
    """x -> x * factor + offset."""

    factor: float
    offset: float = 0.0


class Normalize(Step, frozen=True, tag="normalize"):
    """x -> (x - mean) / deviation, one of each per entry of `axis`."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    axis: int = -1


class ReverseChannels(Step, frozen=True, tag="reverse_channels"):
    """RGB to BGR and back: the entries of `axis` in reverse."""

    axis: int = -1


class Transpose(Step, frozen=True, tag="transpose"):
    """The layout: [2, 0, 1] makes [c, h, w] of [h, w, c]."""

    axes: tuple[int, ...]


class Grey(Step, frozen=True, tag="grey"):
    """[..., 3] RGB -> [...] luma of ITU-R BT.601 (0.299, 0.587, 0.114)."""


class Mono(Step, frozen=True, tag="mono"):
    """[n, channels] -> [n], their mean."""


class Resample(Step, frozen=True, tag="resample"):
    """[n] at `from_hz` -> [floor(n * to_hz / from_hz)] at `to_hz`, linear between the samples."""

    from_hz: Rate
    to_hz: Rate


class FitLength(Step, frozen=True, tag="fit_length"):
    """[n, ...] -> [length, ...]: cut at the end, or filled up with `fill`."""

    length: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
    fill: float = 0.0


class Window(Step, frozen=True, tag="window"):
    """[n] -> [1 + (n - size) // hop, size]: frames, each `hop` after the one before."""

    size: Size
    hop: Size


class Reshape(Step, frozen=True, tag="reshape"):
    """The same values in this shape."""

    shape: tuple[Annotated[int, msgspec.Meta(ge=1)], ...]


AnyStep = (
    Resize
    | CenterCrop
    | Scale
    | Normalize
    | ReverseChannels
    | Transpose
    | Grey
    | Mono
    | Resample
    | FitLength
    | Window
    | Reshape
)


class Preprocessing(Document, frozen=True):
    """What is done to the raw samples of each input, in order; values are cast at the end."""

    format: Literal["edgewright.preprocessing.v1"]
    inputs: dict[str, tuple[AnyStep, ...]]
    """By the model's input name."""
