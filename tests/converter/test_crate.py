"""Crates: what crosses between processes and lies in the cache is whole, ours, or refused."""

import hashlib
import pickle
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.candidate import Artifact, Failure
from edgewright_converter.crate import CrateDamaged, read_crate, write_crate
from edgewright_converter.errors import (
    ConverterError,
    ModelFileError,
    TargetRefused,
    Unexpected,
    UnsupportedOperator,
)
from edgewright_converter.jobs import Trial
from edgewright_converter.samples import Samples
from edgewright_manifests.signature import TensorSpec
from edgewright_manifests.tensors import Array


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    artifact = Artifact("onnx", "int8", "recipe", (("model.onnx", b"bytes" * 1000),))
    trial = Trial(artifact, "cpu", {"y": values, "flags": np.array([True, False])})
    write_crate(tmp_path / "c", trial)
    found: Trial = read_crate(tmp_path / "c")
    assert found.artifact == artifact
    assert np.array_equal(found.outputs["y"], values)
    assert found.outputs["y"].flags.aligned
    assert not found.outputs["y"].flags.writeable
    write_crate(tmp_path / "c", (tmp_path, TensorSpec(name="x", datatype="FP32", shape=(-1, 2))))
    assert read_crate(tmp_path / "c")[0] == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_arrays_of_every_order_type_and_size_survive(tmp_path: Path) -> None:
    plain = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    arrays: dict[str, Array] = {
        "turned": plain.transpose(2, 0, 1),
        "every other": plain[:, ::2],
        "none": np.zeros((0, 3), np.float16),
        "one": np.array(7, np.uint8),
        "texts": np.array(["a", "bc"]),
    }
    write_crate(tmp_path / "c", Samples(arrays, None, "here"))
    for name, value in read_crate(tmp_path / "c").inputs.items():
        assert value.dtype == arrays[name].dtype
        assert np.array_equal(value, arrays[name])


@pytest.mark.parametrize(
    "error",
    [
        ConverterError("plain"),
        ModelFileError(Path("m.onnx"), "is cut short", "copy it again"),
        TargetRefused("tflite", "no"),
        UnsupportedOperator(target="tflite", operator="Det", node="n", reason="none"),
        Unexpected(KeyError("x")),
    ],
)
def test_errors_keep_their_fields_and_their_line(tmp_path: Path, error: ConverterError) -> None:
    write_crate(tmp_path / "c", error)
    found = read_crate(tmp_path / "c")
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


def test_any_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "c"
    write_crate(path, Samples({"x": np.arange(300.0)}, None, "here"))
    whole, chance = path.read_bytes(), random.Random(5)
    for _ in range(300):
        spoilt = bytearray(whole)
        place = chance.randrange(len(spoilt))
        match chance.randrange(3):
            case 0:
                spoilt[place] ^= 1 << chance.randrange(8)
            case 1:
                del spoilt[place:]
            case _:
                spoilt[place:place] = b"\0"
        path.write_bytes(spoilt)
        with pytest.raises(CrateDamaged):
            read_crate(path)


class _Foreign:
    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.call, (["touch", "/tmp/never"],)


@pytest.mark.parametrize("value", [_Foreign(), print, random.Random, Failure.__init__])
def test_a_crate_runs_no_foreign_code(tmp_path: Path, value: object) -> None:
    write_crate(tmp_path / "c", value)
    with pytest.raises(CrateDamaged, match="has no place in a crate"):
        read_crate(tmp_path / "c")


@pytest.mark.parametrize("head", [b"", b"\x80\x05", pickle.dumps(1)[:-1], b"cos\nsystem\n."])
def test_a_right_digest_over_nonsense_is_refused_too(tmp_path: Path, head: bytes) -> None:
    magic = b"edgewright crate 1\n"
    for body in (head, (1).to_bytes(8, "little") + len(head).to_bytes(8, "little") + head):
        (tmp_path / "c").write_bytes(magic + hashlib.sha256(body).digest() + body)
        with pytest.raises(CrateDamaged):
            read_crate(tmp_path / "c")
