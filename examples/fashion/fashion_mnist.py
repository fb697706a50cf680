"""Reads Fashion-MNIST from the gzipped IDX files it is published in."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

CLASS_COUNT = 10

# Mean and standard deviation of all 60,000 training images, pixel values scaled to 0..1.
PIXEL_MEAN = 0.2860
PIXEL_STD = 0.3530

_FILE_PREFIX = {"train": "train", "test": "t10k"}
# IDX magic numbers: two zero bytes, 0x08 for unsigned bytes, then the number of dimensions.
_MAGIC_IMAGES = 0x0803
_MAGIC_LABELS = 0x0801


@dataclass(frozen=True, slots=True)
class Split:
    """One split: `images` uint8 [count, 1, 28, 28], pixels 0..255; `labels` int64 [count], 0..9."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def load_split(folder: Path, name: Literal["train", "test"]) -> Split:
    """The 60,000 training or 10,000 test images and their labels.

    Raises:
        OSError: a file is not in `folder`; install the data set or correct `--data`.
        ValueError: a file is not IDX of the expected kind; fetch it again.
    """
    prefix = _FILE_PREFIX[name]
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", _MAGIC_IMAGES)
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", _MAGIC_LABELS)
    return Split(images=images[:, np.newaxis], labels=labels.astype(np.int64))


def pick_stratified(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """`count` distinct row numbers, as many from each class as divides evenly, in mixed order.

    Where `count` is no multiple of the class count, the first classes give one more each.
    """
    generator = np.random.default_rng(seed)
    per_class, left_over = divmod(count, CLASS_COUNT)
    chosen = [
        generator.choice(
            np.flatnonzero(labels == label), per_class + (label < left_over), replace=False
        )
        for label in range(CLASS_COUNT)
    ]
    return generator.permutation(np.concatenate(chosen)).astype(np.int64)


def _read_idx(path: Path, expected_magic: int) -> npt.NDArray[np.uint8]:
    """The array in one gzipped IDX file: big-endian magic, one uint32 per dimension, then bytes."""
    with gzip.open(path, "rb") as file:
        content = file.read()
    magic = int.from_bytes(content[:4], "big")
    if magic != expected_magic:
        raise ValueError(f"{path}: magic is {magic:#010x}, expected {expected_magic:#010x}")
    rank = magic & 0xFF
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, offset=4))
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
