"""What the tables of one-node models are made of."""

from typing import Any, NamedTuple

import numpy as np
import onnx

from tests.converter.tflite.side_by_side import Dims

_RANDOM = np.random.default_rng(7)


class Case(NamedTuple):
    """One node to convert and compare; `name` says what is special about it."""

    name: str
    model: onnx.ModelProto


def weights(*shape: int) -> np.ndarray[Any, Any]:
    """Normal float32 weights."""
    return (_RANDOM.standard_normal(shape) * 0.5).astype(np.float32)


def floats(*values: float) -> np.ndarray[Any, Any]:
    return np.asarray(values, np.float32)


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.asarray(values, np.int64)


def scalar(value: float) -> np.ndarray[Any, Any]:
    return np.asarray(value, np.float32)


IMAGE: dict[str, Dims] = {"x": ("n", 4, 9, 7)}
SEQUENCE: dict[str, Dims] = {"x": ("n", 4, 9)}
MATRIX: dict[str, Dims] = {"x": ("n", 6)}
