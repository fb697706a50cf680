"""ONNX Runtime by its C interface gives what its Python package gives, to the bit."""

import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.backends import onnx_package
from edgewright_runtime.engine.backends.onnx_direct import DirectSession
from edgewright_runtime.engine.onnxruntime_c.lanes import MAX_BYTES
from edgewright_runtime.engine.onnxruntime_c.library import Api, Pointer, load_api
from edgewright_runtime.engine.onnxruntime_c.session import CSession
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.tensors import NUMPY_DTYPES, Tensor, from_raw, to_raw
from edgewright_runtime.errors import InferenceFailed, InvalidInput, ModelRejected
from onnx import TensorProto, helper, numpy_helper

from benchmarks.doors.models import SHAPES, example, save_models
from tests.runtime import models

TYPES = (
    TensorProto.BOOL, TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32,
    TensorProto.UINT64, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32,
    TensorProto.INT64, TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE,
)  # fmt: skip  # a list


def both(path: Path, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs of the two ways to one library."""
    direct = DirectSession(path, threads=1)
    package = onnx_package.open_artifact(path, threads=1)
    assert direct.signature == package.signature
    assert direct.placement == package.placement
    found = direct.run(inputs), package.run(inputs)
    direct.close()
    package.close()
    return found


def same(found: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    direct, package = found
    assert list(direct) == list(package)
    for name, array in package.items():
        assert direct[name].dtype == array.dtype
        assert direct[name].shape == array.shape
        assert direct[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("element_type", TYPES)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_every_type_and_batch_is_the_same(tmp_path: Path, element_type: int, batch: int) -> None:
    path = models.identity_onnx(tmp_path / "i.onnx", element_type)
    kind = NUMPY_DTYPES[onnx_package.open_artifact(path, threads=1).signature.inputs[0].datatype]
    x = np.random.default_rng(batch).integers(0, 2, (batch, 2)).astype(kind)
    same(both(path, {"x": x}))


@pytest.mark.parametrize("model", list(SHAPES))
def test_small_and_large_models_are_the_same(tmp_path: Path, model: str) -> None:
    save_models(tmp_path)
    assert example("large").nbytes > MAX_BYTES > example("tiny").nbytes
    same(both(tmp_path / f"{model}.onnx", {"x": example(model)}))


def test_several_tensors_and_sizes_that_depend_on_values_are_the_same(tmp_path: Path) -> None:
    pair = {name: np.full((2, 4), value, np.float32) for name, value in (("a", 2), ("b", 3))}
    same(both(models.two_by_two_onnx(tmp_path / "two.onnx"), pair))
    for x in ([[0, 1, 0, 2]], [[0, 0, 0, 0]], [[1, 2, 3, 4]]):
        path = models.nonzero_onnx(tmp_path / "nonzero.onnx")
        same(both(path, {"x": np.array(x, np.float32)}))


def test_the_ordinary_door_opens_the_c_interface(tmp_path: Path) -> None:
    session = open_session("onnx", models.linear_onnx(tmp_path / "m.onnx"))
    assert isinstance(session, DirectSession)
    assert load_api().version.startswith("1.")


def test_models_with_strings_run_on_the_package(tmp_path: Path) -> None:
    path = models.identity_onnx(tmp_path / "i.onnx", TensorProto.STRING)
    assert isinstance(open_session("onnx", path), onnx_package.OnnxSession)


def test_where_the_library_is_missing_the_package_serves(tmp_path: Path) -> None:
    models.linear_onnx(tmp_path / "m.onnx")
    code = (
        "import sys; from pathlib import Path\n"
        "from edgewright_runtime.engine.onnxruntime_c import library\n"
        "library.find_spec = lambda name: None\n"
        "from edgewright_runtime.engine import open_session\n"
        "session = open_session('onnx', Path(sys.argv[1]))\n"
        "print(type(session).__name__)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "m.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "OnnxSession"


def test_the_c_interface_needs_neither_numpy_nor_the_package(tmp_path: Path) -> None:
    models.linear_onnx(tmp_path / "m.onnx")
    code = (
        "import struct, sys; from pathlib import Path\n"
        "from edgewright_runtime.engine.onnxruntime_c.session import CSession\n"
        "from edgewright_runtime.engine.raw_tensor import RawTensor\n"
        "session = CSession(Path(sys.argv[1]), threads=1)\n"
        "x = RawTensor('FP32', (1, 4), struct.pack('4f', 1, 2, 3, 4))\n"
        "print(len(session.infer({'x': x})['y'].data), 'onnxruntime' in sys.modules,"
        " 'numpy' in sys.modules)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "m.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["12", "False", "False"]


def test_raw_tensors_of_the_wrong_length_are_refused_before_the_engine(tmp_path: Path) -> None:
    session = DirectSession(models.linear_onnx(tmp_path / "m.onnx"), threads=1)
    with pytest.raises(InvalidInput, match=r"has 15 bytes, \[1, 4\] of FP32 are 16"):
        session.infer({"x": RawTensor("FP32", (1, 4), bytes(15))})
    session.close()


def test_unaligned_memory_gives_the_same_answer(tmp_path: Path) -> None:
    save_models(tmp_path)
    session = DirectSession(tmp_path / "large.onnx", threads=1)
    x = to_raw(example("large"), "FP32")
    shifted = memoryview(bytearray(1) + bytearray(x.data))[1:]
    want = session.infer({"x": x})["y"]
    found = session.infer({"x": RawTensor("FP32", x.shape, shifted)})["y"]
    assert bytes(found.data) == bytes(want.data)
    session.close()


def test_threads_that_share_a_session_get_their_own_answers(tmp_path: Path) -> None:
    session = DirectSession(models.linear_onnx(tmp_path / "m.onnx"), threads=1)
    w, b = models.weights()
    wrong: list[int] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for turn in range(200):
            x = random.standard_normal((1 + turn % 3, models.FEATURES)).astype(np.float32)
            found = from_raw(session.infer({"x": to_raw(x, "FP32")})["y"])
            if not np.allclose(found, x @ w + b, rtol=1e-4, atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    session.close()


def test_after_close_nothing_runs_and_nothing_crashes(tmp_path: Path) -> None:
    session = DirectSession(models.linear_onnx(tmp_path / "m.onnx"), threads=1)
    x, y = np.ones((1, 4), np.float32), np.zeros((1, 3), np.float32)
    bound = session.bind({"x": to_raw(x, "FP32")}, {"y": to_raw(y, "FP32")})
    bound()
    w, b = models.weights()
    np.testing.assert_allclose(y, x @ w + b, rtol=1e-5)
    session.close()
    session.close()
    with pytest.raises(InferenceFailed, match="unloaded"):
        bound()
    with pytest.raises(InferenceFailed, match="unloaded"):
        session.run({"x": x})
    del bound, session
    gc.collect()


def test_a_file_that_is_no_model_is_refused_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(b"this is no model")
    for _ in range(3):
        with pytest.raises(ModelRejected, match="onnxruntime refuses it"):
            DirectSession(path, threads=1)


def graph_onnx(path: Path, node: onnx.NodeProto, element_type: int) -> Path:
    """x [batch, 4] and a table of 3 numbers -> y [rows, 4], by one node."""
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", element_type, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
        [numpy_helper.from_array(np.array([1, 2, 3], np.float32), "table")],
    )
    return models.save_onnx(graph, path)


def test_a_request_that_fails_harms_no_other(tmp_path: Path) -> None:
    gather = helper.make_node("Gather", ["table", "x"], ["y"])
    session = DirectSession(graph_onnx(tmp_path / "m.onnx", gather, TensorProto.INT64), threads=1)
    for _ in range(20):
        assert session.run({"x": np.array([[0, 1, 2, 0]])})["y"].tolist() == [[1, 2, 3, 1]]
        with pytest.raises(InferenceFailed, match="out of"):
            session.run({"x": np.array([[0, 1, 2, 9]])})
    session.close()


def test_outputs_may_have_another_batch_size_than_the_inputs(tmp_path: Path) -> None:
    twice = helper.make_node("Concat", ["x", "x"], ["y"], axis=0)
    path = graph_onnx(tmp_path / "m.onnx", twice, TensorProto.FLOAT)
    for batch in (1, 2):
        same(both(path, {"x": np.arange(4 * batch, dtype=np.float32).reshape(batch, 4)}))


@pytest.mark.parametrize("declared", [100, 50_000])
def test_an_output_smaller_than_declared_is_not_read_beyond_its_end(
    tmp_path: Path, declared: int
) -> None:
    """In a lane, and where it is too large for one."""
    number, sizes = TensorProto.FLOAT, TensorProto.INT64
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "sizes"], ["y"])],
        "declares",
        [
            helper.make_tensor_value_info("x", number, ["n"]),
            helper.make_tensor_value_info("sizes", sizes, [1]),
        ],
        [helper.make_tensor_value_info("y", number, [declared])],
    )
    path = models.save_onnx(graph, tmp_path / "m.onnx")
    same(both(path, {"x": np.arange(4, dtype=np.float32), "sizes": np.array([4])}))


def test_lanes_are_kept_for_small_batches_whatever_large_ones_came_before(tmp_path: Path) -> None:
    session = CSession(models.identity_onnx(tmp_path / "m.onnx", TensorProto.FLOAT), threads=1)
    lanes = session._lanes
    for batch in (0, *range(10_000, 10_030), 1):
        x = np.ones((batch, 2), np.float32)
        assert bytes(session.infer({"x": to_raw(x, "FP32")})["y"].data) == x.tobytes()
    assert list(lanes._rooms) == [1]
    session.close()


def test_a_session_that_is_dropped_frees_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_models(tmp_path)
    freed: list[str] = []
    release = Api.release

    def told(api: Api, name: str, what: Pointer | int) -> None:
        freed.append(name)
        release(api, name, what)

    monkeypatch.setattr(Api, "release", told)
    session = DirectSession(tmp_path / "tiny.onnx", threads=1)
    session.run({"x": example("tiny")})
    assert "ReleaseSession" not in freed
    del session
    gc.collect()
    assert "ReleaseSession" in freed
