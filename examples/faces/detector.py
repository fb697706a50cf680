"""BlazeFace's pictures and answers: the square that goes in, the boxes that come out.

Bazarevsky et al., BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, 2019. The
short-range network lays 2 anchors on each of 16 x 16 places and 6 on each of 8 x 8.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]  # Any: float32 and float64 alike

SIZE = 128
"""Pixels of the square picture's side."""
GRIDS = ((16, 2), (8, 6))
"""Places in a row and anchors on each, in the order of the network's answers."""
SURE = 0.6
"""A box counts from here on. MediaPipe asks for 0.5, which is just over what it says of a cat."""
OVERLAP = 0.3
"""Boxes that share more of their area (intersection over union) are one face; MediaPipe's."""


@dataclass(frozen=True, slots=True)
class Square:
    """A picture fitted into the network's square, the rest of it black."""

    pixels: NDArray[np.float32]
    """[128, 128, 3], RGB in -1..1."""
    scale: float
    """Pixels of the square for one of the picture."""
    left: int
    top: int
    """Where the picture begins in the square."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face, in the picture's own pixels."""

    left: float
    top: float
    right: float
    bottom: float
    sureness: float
    """0 to 1."""
    points: NDArray[np.float64]
    """[6, 2], x and y: right eye, left eye (the person's own), nose, mouth, right ear, left ear."""

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom


def fit(picture: Image.Image) -> Square:
    """The picture in the middle of the square, its proportions kept."""
    scale = SIZE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    small = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    left, top = (SIZE - width) // 2, (SIZE - height) // 2
    pixels = np.full((SIZE, SIZE, 3), -1, np.float32)
    pixels[top : top + height, left : left + width] = np.asarray(small, np.float32) / 127.5 - 1
    return Square(pixels, scale, left, top)


def lay_anchors() -> NDArray[np.float32]:
    """[896, 2]: x and y of every anchor's centre, 0 to 1."""
    rows = []
    for side, each in GRIDS:
        y, x = np.divmod(np.arange(side * side), side)
        centres = (np.stack([x, y], axis=1) + 0.5) / side
        rows.append(np.repeat(centres, each, axis=0))
    return np.concatenate(rows).astype(np.float32)


def find_faces(
    regressors: Floats, scores: Floats, square: Square, anchors: NDArray[np.float32]
) -> list[Face]:
    """The faces of one picture, the surest first.

    `regressors` [896, 16]: centre, size and six points (x, y), in pixels of the square from the
    anchor; `scores` [896] before the sigmoid.
    """
    sureness = 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
    (kept,) = np.nonzero(sureness >= SURE)
    kept = kept[np.argsort(-sureness[kept], kind="stable")]
    values = regressors[kept].reshape(-1, 8, 2).astype(np.float64)
    places = anchors[kept, None, :] * SIZE
    centre, size = values[:, :1] + places, values[:, 1:2]
    points = values[:, 2:] + places
    corners = np.concatenate([centre - size / 2, centre + size / 2, points], axis=1)
    corners = (corners - (square.left, square.top)) / square.scale
    return _one_a_face(corners, sureness[kept].astype(np.float64))


def _one_a_face(corners: NDArray[np.float64], sureness: NDArray[np.float64]) -> list[Face]:
    """Boxes that overlap the surest are blended with it, by their sureness.

    Weighted non-maximum suppression: the network's boxes tremble less than by choosing one.
    """
    faces: list[Face] = []
    boxes = np.arange(len(corners))
    while len(boxes):
        same = _overlap(corners[boxes[0]], corners[boxes]) > OVERLAP
        same[0] = True  # also a box without area, which overlaps nothing
        group = boxes[same]
        blended = np.average(corners[group], axis=0, weights=sureness[group])
        (left, top), (right, bottom) = blended[:2].tolist()
        surest = float(sureness[group[0]])
        faces.append(Face(left, top, right, bottom, surest, blended[2:]))
        boxes = boxes[~same]
    return faces


def _overlap(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box [8, 2] with others [n, 8, 2]: [n]."""
    low = np.maximum(one[0], others[:, 0])
    high = np.minimum(one[1], others[:, 1])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 1] - others[:, 0], axis=1)
    union = np.prod(one[1] - one[0]) + areas - shared
    share: NDArray[np.float64] = np.zeros_like(shared)
    np.divide(shared, union, out=share, where=union > 0)
    return share
