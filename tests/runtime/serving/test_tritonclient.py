"""Unmodified tritonclient gets everything right, and the engine's own answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright_manifests.bundle import read_unpacked
from edgewright_manifests.signature import DataType
from edgewright_manifests.variant import Target
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.tensors import NUMPY_DTYPES

from tests.runtime import models
from tests.runtime.serving.conftest import TYPES
from tests.runtime.serving.running import Running

client_module = pytest.importorskip("tritonclient.http")
LINEAR: dict[str, Target] = {
    "linear-onnx": "onnx",
    "linear-openvino": "openvino",
    "linear-tflite": "tflite",
}
Client = Any  # tritonclient ships no types


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Client]:
    with client_module.InferenceServerClient(server.http) as made:
        yield made


def test_the_server_is_live_and_ready_and_says_what_it_is(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "edgewright"
    assert "binary_tensor_data" in metadata["extensions"]


@pytest.mark.parametrize("model", LINEAR)
def test_a_model_is_ready_and_described(client: Client, model: str) -> None:
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1.0")
    assert not client.is_model_ready(model, "2.0")
    assert not client.is_model_ready("nobody")
    metadata = client.get_model_metadata(model, "1.0")
    assert metadata["name"] == model
    assert metadata["versions"] == ["1.0"]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]
    config = client.get_model_config(model)
    expected = {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4], "optional": False}
    assert expected.items() <= config["input"][0].items()
    assert config["max_batch_size"] == 0


def test_the_repository_index_lists_every_model(client: Client) -> None:
    index = {entry["name"]: entry for entry in client.get_model_repository_index()}
    assert index["linear-onnx"] == {
        "name": "linear-onnx",
        "version": "1.0",
        "state": "READY",
        "reason": "",
    }
    assert len(index) == 3 + 1 + len(TYPES) - 1


@pytest.mark.parametrize("model", LINEAR)
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("batch", [1, 3])
def test_answers_equal_those_of_the_engine_in_process(
    client: Client,
    variants: dict[str, Path],
    model: str,
    *,
    binary_in: bool,
    binary_out: bool | None,
    batch: int,
) -> None:
    folder = variants[model]
    session = open_session(LINEAR[model], folder / read_unpacked(folder).files[0].name)
    x = np.random.default_rng(batch).standard_normal((batch, 4)).astype(np.float32)
    wanted = None
    if binary_out is not None:
        wanted = [client_module.InferRequestedOutput("y", binary_data=binary_out)]
    result = client.infer(
        model, [_input("x", x, "FP32", binary=binary_in)], outputs=wanted, request_id="r-7"
    )
    # Bit for bit: JSON carries the shortest decimal that reads back as the same FP32.
    np.testing.assert_array_equal(result.as_numpy("y"), session.run({"x": x})["y"])
    response = result.get_response()
    assert response["id"] == "r-7"
    assert response["model_name"] == model
    assert response["model_version"] == "1.0"
    session.close()


@pytest.mark.parametrize("datatype", [name for name in TYPES if name != "BYTES"])
@pytest.mark.parametrize("binary", [True, False])
def test_every_datatype_survives_the_way_there_and_back(
    client: Client, datatype: DataType, *, binary: bool
) -> None:
    x = _extremes(datatype)
    result = client.infer(
        f"identity-{datatype}",
        [_input("x", x, datatype, binary=binary)],
        outputs=[client_module.InferRequestedOutput("y", binary_data=binary)],
    )
    y = result.as_numpy("y")
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_outputs_are_selected_ordered_and_mixed(client: Client) -> None:
    a, b = np.full((1, 4), 5, np.float32), np.full((1, 4), 2, np.float32)
    result = client.infer(
        "pair",
        [_input("b", b, "FP32", binary=False), _input("a", a, "FP32", binary=True)],
        outputs=[
            client_module.InferRequestedOutput("difference", binary_data=True),
            client_module.InferRequestedOutput("total", binary_data=False),
        ],
    )
    assert [output["name"] for output in result.get_response()["outputs"]] == [
        "difference",
        "total",
    ]
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)
    np.testing.assert_array_equal(result.as_numpy("total"), a + b)
    only = client.infer(
        "pair",
        [_input("a", a, "FP32", binary=True), _input("b", b, "FP32", binary=True)],
        outputs=[client_module.InferRequestedOutput("total")],
    )
    assert [output["name"] for output in only.get_response()["outputs"]] == ["total"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_understood(client: Client, algorithm: str) -> None:
    w, b = models.weights()
    x = np.ones((2, 4), np.float32)
    result = client.infer(
        "linear-onnx",
        [_input("x", x, "FP32", binary=True)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    np.testing.assert_allclose(result.as_numpy("y"), x @ w + b, rtol=1e-5)


def test_errors_reach_the_client_as_its_own_exception(client: Client) -> None:
    x = np.zeros((1, 5), np.float32)
    with pytest.raises(client_module.InferenceServerException, match=r"\[1, 5\]") as caught:
        client.infer("linear-onnx", [_input("x", x, "FP32", binary=True)])
    assert caught.value.status() == "400"
    with pytest.raises(client_module.InferenceServerException, match="no model 'nobody'"):
        client.get_model_metadata("nobody")


def _input(name: str, array: Any, datatype: str, *, binary: bool) -> Any:
    made = client_module.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def _extremes(datatype: DataType) -> Any:
    if datatype == "BOOL":
        return np.array([[True, False]])
    dtype = NUMPY_DTYPES[datatype]
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([[limits.min, limits.max], [limits.max, 1]], dtype)


def test_json_says_null_where_a_number_has_no_json(client: Client) -> None:
    x = np.array([[np.nan, np.inf]], np.float32)
    result = client.infer(
        "identity-FP32",
        [_input("x", x, "FP32", binary=True)],
        outputs=[client_module.InferRequestedOutput("y", binary_data=False)],
    )
    assert result.get_response()["outputs"][0]["data"] == [None, None]
    binary = client.infer("identity-FP32", [_input("x", x, "FP32", binary=True)])
    np.testing.assert_array_equal(binary.as_numpy("y"), x)
