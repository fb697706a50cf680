"""Damaged files of every kind end in one line of ours, never in a library's exception."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.errors import ConverterError
from edgewright_converter.frontend import read_onnx
from edgewright_converter.sample_file import read_samples
from edgewright_manifests.signature import ModelSignature, TensorSpec

from tests.converter.networks import classifier, images

SIGNATURE = ModelSignature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 1, 8, 8)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 4)),),
)


def damage(content: bytes, chance: random.Random) -> bytes:
    """`content` with some bytes changed, taken out or put in."""
    spoilt = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        place = chance.randrange(len(spoilt))
        match chance.randrange(3):
            case 0:
                spoilt[place] = chance.randrange(256)
            case 1:
                del spoilt[place : place + chance.randrange(1, 8)]
            case _:
                spoilt[place:place] = chance.randbytes(chance.randrange(1, 6))
    return bytes(spoilt)


def must_read_or_refuse(path: Path, read: Callable[[Path], object], times: int) -> None:
    whole, chance, refused = path.read_bytes(), random.Random(7), 0
    for _ in range(times):
        path.write_bytes(damage(whole, chance))
        try:
            read(path)
        except ConverterError as error:
            assert "\n" not in str(error)
            assert path.name in str(error)
            refused += 1
    assert refused > times / 2


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_samples_are_read_or_refused(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "s.npz"
    save(path, x=images(4), labels=np.zeros(4, np.int64))
    must_read_or_refuse(path, lambda spoilt: read_samples(spoilt, SIGNATURE), 500)


def test_damaged_models_are_read_or_refused(tmp_path: Path) -> None:
    must_read_or_refuse(classifier(tmp_path / "m.onnx"), read_onnx, 1000)


def test_files_of_a_folder_must_agree_on_a_samples_shape(tmp_path: Path) -> None:
    signature = ModelSignature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, -1)),), outputs=()
    )
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 5), np.float32))
    np.savez(tmp_path / "b.npz", x=np.zeros((2, 6), np.float32))
    with pytest.raises(ConverterError, match=r"b.npz: array 'x' has samples of shape \[6\]"):
        read_samples(tmp_path, signature)
