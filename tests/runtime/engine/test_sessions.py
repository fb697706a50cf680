"""The engines run real models, prove where, and refuse what they cannot take."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgewright_manifests.variant import TARGETS, Target
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.engine.tensors import NUMPY_DTYPES, Tensor
from edgewright_runtime.errors import (
    BackendUnavailable,
    InferenceFailed,
    InvalidInput,
    ModelRejected,
)
from onnx import TensorProto

from tests.runtime import models

BUILDERS: dict[Target, tuple[str, Callable[[Path], Path]]] = {
    "onnx": ("linear.onnx", models.linear_onnx),
    "openvino": ("linear.xml", models.linear_openvino),
    "tflite": ("linear.tflite", models.linear_tflite),
}
PLACEMENTS = {
    "onnx": "onnxruntime CPUExecutionProvider",
    "openvino": "openvino CPU",
    "tflite": "litert XNNPACK CPU",
}
ALL = pytest.mark.parametrize("target", list(BUILDERS))


@pytest.fixture
def built(tmp_path: Path, target: Target) -> Path:
    name, build = BUILDERS[target]
    return build(tmp_path / name)


def expected(x: Tensor) -> Tensor:
    w, b = models.weights()
    return np.asarray(x.astype(np.float64) @ w + b)


@ALL
def test_every_engine_computes_what_numpy_computes_for_any_batch(
    target: Target, built: Path
) -> None:
    session = open_session(target, built)
    random = np.random.default_rng(1)
    for batch in (1, 3, 8, 1, 2, 5, 6, 7, 3):
        x = random.standard_normal((batch, models.FEATURES)).astype(np.float32)
        outputs = session.run({"x": x})
        assert list(outputs) == ["y"]
        assert outputs["y"].dtype == np.float32
        # Four products in FP32: a few units in the last place.
        np.testing.assert_allclose(outputs["y"], expected(x), rtol=1e-5, atol=1e-6)
    session.close()


@ALL
def test_the_signature_shows_the_free_batch_and_the_placement_is_proven(
    target: Target, built: Path
) -> None:
    session = open_session(target, built)
    assert [(s.name, s.datatype, s.shape) for s in session.signature.inputs] == [
        ("x", "FP32", (-1, models.FEATURES))
    ]
    assert [(s.name, s.datatype, s.shape) for s in session.signature.outputs] == [
        ("y", "FP32", (-1, models.CLASSES))
    ]
    assert session.placement == PLACEMENTS[target]


@ALL
def test_wrong_tensors_are_refused_by_name(target: Target, built: Path) -> None:
    session = open_session(target, built)
    x = np.zeros((1, models.FEATURES), np.float32)
    with pytest.raises(InvalidInput, match="'x' is missing; given: 'z'"):
        session.run({"z": x})
    with pytest.raises(InvalidInput, match="'x' is FP64, the model takes FP32"):
        session.run({"x": x.astype(np.float64)})
    with pytest.raises(InvalidInput, match=r"'x' has shape \[1, 5\], the model takes \[-1, 4\]"):
        session.run({"x": np.zeros((1, 5), np.float32)})
    with pytest.raises(InvalidInput, match="no input 'z'; it takes 'x'"):
        session.run({"x": x, "z": x})


@ALL
def test_strided_and_read_only_arrays_are_taken(target: Target, built: Path) -> None:
    session = open_session(target, built)
    wide = np.arange(24, dtype=np.float32).reshape(3, 8)
    strided = wide[:, ::2]
    strided.flags.writeable = False
    np.testing.assert_allclose(session.run({"x": strided})["y"], expected(strided), rtol=1e-5)


@ALL
def test_an_empty_batch_gives_an_error_or_an_empty_answer(target: Target, built: Path) -> None:
    session = open_session(target, built)
    try:
        found = session.run({"x": np.zeros((0, models.FEATURES), np.float32)})["y"]
    except (InferenceFailed, InvalidInput):
        return
    assert found.shape == (0, models.CLASSES)


@ALL
def test_a_session_answers_several_threads_rightly(target: Target, built: Path) -> None:
    session = open_session(target, built)
    wrong: list[int] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(50):
            x = random.standard_normal((1 + seed, models.FEATURES)).astype(np.float32)
            if not np.allclose(session.run({"x": x})["y"], expected(x), rtol=1e-4, atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@ALL
def test_a_closed_session_says_so(target: Target, built: Path) -> None:
    session = open_session(target, built)
    session.close()
    session.close()
    with pytest.raises(InferenceFailed, match="unloaded"):
        session.run({"x": np.zeros((1, models.FEATURES), np.float32)})


@ALL
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9])
def test_a_cut_file_is_refused_in_one_line(target: Target, built: Path, share: float) -> None:
    data = built.read_bytes()
    built.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelRejected) as caught:
        open_session(target, built)
    assert "\n" not in str(caught.value)
    assert str(built) in str(caught.value)


@ALL
def test_a_file_of_another_kind_is_refused_in_one_line(target: Target, tmp_path: Path) -> None:
    path = tmp_path / BUILDERS[target][0]
    path.write_text("this is a shopping list: bread, milk, eggs\n" * 10)
    with pytest.raises(ModelRejected) as caught:
        open_session(target, path)
    assert "\n" not in str(caught.value)


def test_missing_openvino_weights_are_refused(tmp_path: Path) -> None:
    path = models.linear_openvino(tmp_path / "linear.xml")
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelRejected, match="openvino refuses it"):
        open_session("openvino", path)


def test_a_missing_file_and_a_target_without_a_provider_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="no such file"):
        open_session("onnx", tmp_path / "nothing.onnx")
    path = models.linear_onnx(tmp_path / "linear.onnx")
    with pytest.raises(BackendUnavailable, match="none of the providers tensorrt, cuda"):
        open_session("tensorrt", path)


@pytest.mark.parametrize(
    ("element_type", "datatype"),
    [
        (TensorProto.BOOL, "BOOL"),
        (TensorProto.UINT8, "UINT8"),
        (TensorProto.UINT16, "UINT16"),
        (TensorProto.UINT32, "UINT32"),
        (TensorProto.UINT64, "UINT64"),
        (TensorProto.INT8, "INT8"),
        (TensorProto.INT16, "INT16"),
        (TensorProto.INT32, "INT32"),
        (TensorProto.INT64, "INT64"),
        (TensorProto.FLOAT16, "FP16"),
        (TensorProto.FLOAT, "FP32"),
        (TensorProto.DOUBLE, "FP64"),
        (TensorProto.STRING, "BYTES"),
    ],
)
def test_onnx_carries_every_type_of_the_protocol(
    tmp_path: Path, element_type: int, datatype: str
) -> None:
    session = open_session("onnx", models.identity_onnx(tmp_path / "i.onnx", element_type))
    spec = session.signature.inputs[0]
    assert spec.datatype == datatype
    x = np.empty((1, 2), NUMPY_DTYPES[spec.datatype])
    x[:] = [[b"a\0b", "é".encode()]] if datatype == "BYTES" else [[1, 0]]
    y = session.run({"x": x})["y"]
    assert y.dtype == x.dtype
    assert y.tolist() == x.tolist()


def test_onnx_strings_that_are_no_text_are_refused(tmp_path: Path) -> None:
    session = open_session("onnx", models.identity_onnx(tmp_path / "i.onnx", TensorProto.STRING))
    x = np.array([[b"\xff", b""]], np.object_)
    with pytest.raises(InvalidInput, match="must be UTF-8"):
        session.run({"x": x})


def test_a_type_that_the_protocol_lacks_is_refused(tmp_path: Path) -> None:
    path = models.identity_onnx(tmp_path / "i.onnx", TensorProto.BFLOAT16)
    with pytest.raises(ModelRejected, match="bfloat16"):
        open_session("onnx", path)


def test_every_target_is_usable_here_or_has_a_reason() -> None:
    found = available_targets()
    assert tuple(found) == TARGETS
    assert found["onnx"] is None
    assert "macOS" in str(found["coreml"])


def test_a_library_that_kills_its_process_is_a_reason_and_kills_nobody(tmp_path: Path) -> None:
    broken = tmp_path / "onnxruntime.py"
    broken.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    (tmp_path / "openvino.py").write_text("raise ImportError('libtbb.so.12: no such file')\n")
    code = (
        "from edgewright_runtime.engine.availability import available_targets as a; f = a();"
        "print(f['onnx']); print(f['openvino']); print(f['tflite'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "its library crashes when it is loaded (signal 11)",
        "ImportError: libtbb.so.12: no such file",
        "None",
    ]
