"""Unmodified tritonclient.grpc, sync and aio, gets what the engine and the HTTP door give."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from edgewright_manifests.signature import DataType
from edgewright_runtime.engine.tensors import NUMPY_DTYPES

from tests.runtime.grpc.conftest import TwoDoors
from tests.runtime.serving.conftest import TYPES

triton = pytest.importorskip("tritonclient.grpc")
aio = pytest.importorskip("tritonclient.grpc.aio")
http = pytest.importorskip("tritonclient.http")
Client = Any  # tritonclient ships no types
Failure = triton.InferenceServerException


@pytest.fixture(scope="module")
def client(doors: TwoDoors) -> Iterator[Client]:
    with triton.InferenceServerClient(doors.grpc) as made:
        yield made


def tensor(name: str, array: Any, datatype: str = "FP32", *, module: Any = triton) -> Any:
    made = module.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def test_the_server_is_live_and_ready_and_says_what_it_is(client: Client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata.name == "edgewright"
    assert "binary_tensor_data" in metadata.extensions


def test_a_model_is_described_as_over_http(client: Client, doors: TwoDoors) -> None:
    with http.InferenceServerClient(doors.http) as other:
        for model in ("linear", "pair", "identity-FP16", "identity-BYTES"):
            expected = other.get_model_metadata(model)
            found = client.get_model_metadata(model, as_json=True)
            assert found["name"] == expected["name"]
            assert found["versions"] == expected["versions"]
            assert found["platform"] == expected["platform"]
            for side in ("inputs", "outputs"):
                sides = [
                    {**entry, "shape": [int(size) for size in entry["shape"]]}
                    for entry in found[side]
                ]
                assert sides == expected[side]
            config = client.get_model_config(model, as_json=True)["config"]
            other_config = other.get_model_config(model)
            assert config["backend"] == other_config["backend"]
            assert [entry["data_type"] for entry in config["input"]] == [
                entry["data_type"] for entry in other_config["input"]
            ]
        assert client.is_model_ready("linear")
        assert client.is_model_ready("linear", "1")
        assert not client.is_model_ready("linear", "7")
        assert not client.is_model_ready("nobody")
        index = client.get_model_repository_index(as_json=True)["models"]
        assert {(entry["name"], entry["state"]) for entry in index} == {
            (entry["name"], entry["state"]) for entry in other.get_model_repository_index()
        }


@pytest.mark.parametrize("batch", [1, 3])
def test_answers_equal_those_of_the_engine_and_of_the_http_door(
    client: Client, doors: TwoDoors, batch: int
) -> None:
    x = np.random.default_rng(batch).standard_normal((batch, 4)).astype(np.float32)
    result = client.infer("linear", [tensor("x", x)], request_id="r-7")
    session = doors.session("linear")
    np.testing.assert_array_equal(result.as_numpy("y"), session.run({"x": x})["y"])
    session.close()
    with http.InferenceServerClient(doors.http) as other:
        answer = other.infer("linear", [tensor("x", x, module=http)])
    np.testing.assert_array_equal(result.as_numpy("y"), answer.as_numpy("y"))
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("r-7", "linear", "1")


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_survives_the_way_there_and_back(client: Client, datatype: DataType) -> None:
    x = extremes(datatype)
    y = client.infer(f"identity-{datatype}", [tensor("x", x, datatype)]).as_numpy("y")
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("datatype", [name for name in TYPES if name != "FP16"])
def test_every_datatype_may_come_as_typed_contents(doors: TwoDoors, datatype: DataType) -> None:
    fields = {"BOOL": "bool", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
    fields |= {"UINT64": "uint64", "INT64": "int64"}
    field = fields.get(datatype, "uint" if datatype.startswith("U") else "int") + "_contents"
    x = extremes(datatype)
    values = [item.item() if hasattr(item, "item") else item for item in x.ravel()]
    y = raw_infer(doors, datatype, values, field).raw_output_contents[0]
    if datatype == "BYTES":
        assert y == b"".join(len(v).to_bytes(4, "little") + v for v in values)
    else:
        np.testing.assert_array_equal(np.frombuffer(y, x.dtype), x.ravel())


def test_typed_contents_that_do_not_fit_are_refused_not_cut(doors: TwoDoors) -> None:
    grpc = pytest.importorskip("grpc")
    for datatype, values, field in (
        ("INT8", [1, 300, 0, 0], "int_contents"),
        ("UINT8", [1, 300, 0, 0], "uint_contents"),
        ("INT8", [1], "int_contents"),
        ("FP16", [1.0] * 4, "fp32_contents"),
        ("FP32", [1, 2, 3, 4], "int_contents"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            raw_infer(doors, datatype, values, field)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "input 'x'" in caught.value.details()


def test_outputs_are_selected_and_ordered(client: Client) -> None:
    a, b = np.full((1, 4), 5, np.float32), np.full((1, 4), 2, np.float32)
    inputs = [tensor("b", b), tensor("a", a)]
    wanted = [triton.InferRequestedOutput(name) for name in ("difference", "total")]
    result = client.infer("pair", inputs, outputs=wanted, timeout=5_000_000, priority=1)
    assert [o.name for o in result.get_response().outputs] == ["difference", "total"]
    np.testing.assert_array_equal(result.as_numpy("difference"), a - b)
    np.testing.assert_array_equal(result.as_numpy("total"), a + b)
    only = client.infer("pair", inputs, outputs=[triton.InferRequestedOutput("total")])
    assert [o.name for o in only.get_response().outputs] == ["total"]


@pytest.mark.parametrize("count", [0, 1, 4000, 150_528, 5_000_000])
def test_tensors_of_any_size_go_there_and_back(client: Client, count: int) -> None:
    x = np.random.default_rng(count).random(count, np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(client.infer("any", [tensor("x", x)]).as_numpy("y"), x)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_understood(client: Client, algorithm: str) -> None:
    x = np.ones(20_000, np.float32)
    result = client.infer("any", [tensor("x", x)], compression_algorithm=algorithm)
    np.testing.assert_array_equal(result.as_numpy("y"), x)


def test_errors_have_the_code_that_says_what_to_do(client: Client) -> None:
    x = tensor("x", np.zeros((1, 5), np.float32))
    with pytest.raises(Failure, match=r"\[1, 5\]") as caught:
        client.infer("linear", [x])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(Failure, match="no model 'nobody'") as caught:
        client.infer("nobody", [x])
    assert caught.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(Failure, match="no version '9'") as caught:
        client.get_model_metadata("linear", "9")
    assert caught.value.status() == "StatusCode.NOT_FOUND"
    for change in (client.load_model, client.unload_model):
        with pytest.raises(Failure, match="--model-control explicit") as caught:
            change("linear")
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"


def test_statistics_count_what_was_answered(client: Client) -> None:
    def count() -> int:
        stats = client.get_inference_statistics("pair").model_stats[0]
        assert stats.inference_stats.success.ns >= stats.inference_stats.success.count > 0
        return int(stats.inference_count)

    a = np.ones((1, 4), np.float32)
    inputs = [tensor("a", a), tensor("b", a)]
    client.infer("pair", inputs)
    before = count()
    for _ in range(3):
        client.infer("pair", inputs)
    assert count() == before + 3


def test_a_deadline_is_kept_and_the_server_goes_on(client: Client) -> None:
    x = [tensor("x", np.ones(1, np.float32))]
    with pytest.raises(Failure) as caught:
        client.infer("slow", x, client_timeout=0.02)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert client.infer("slow", x, client_timeout=20).as_numpy("y") == 1


def test_a_full_queue_refuses_at_once_and_a_cancelled_call_leaves_it(doors: TwoDoors) -> None:
    async def ask() -> None:
        async with aio.InferenceServerClient(doors.grpc) as client:
            x = [tensor("x", np.ones(1, np.float32))]
            calls = [asyncio.create_task(client.infer("slow", x)) for _ in range(100)]
            started = time.monotonic()
            done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
            assert time.monotonic() - started < 5
            refused = [task.exception() for task in done if task.exception() is not None]
            assert refused[0] is not None
            assert "RESOURCE_EXHAUSTED" in str(refused[0])
            for task in waiting:
                task.cancel()
            await asyncio.wait(calls)
            # 60 calls of 100 ms are no longer in the way.
            started = time.monotonic()
            while True:
                try:
                    answer = await client.infer("slow", x)
                    break
                except Failure as error:
                    assert "RESOURCE_EXHAUSTED" in str(error)
                    assert time.monotonic() - started < 3
            assert answer.as_numpy("y") == 1
            assert time.monotonic() - started < 3

    asyncio.run(ask())
    with http.InferenceServerClient(doors.http) as other:
        metrics = other._get("metrics", {}, None).read().decode()
    line = next(
        line
        for line in metrics.splitlines()
        if 'model="slow"' in line and 'outcome="cancelled"' in line
    )
    assert int(line.split()[-1]) > 0


def test_many_concurrent_calls_of_one_client_get_their_own_answers(doors: TwoDoors) -> None:
    async def ask() -> None:
        async with aio.InferenceServerClient(doors.grpc) as client:

            async def one(number: int) -> None:
                size = 7 if number % 8 else 200_000
                x = np.full(size, number, np.float32)
                result = await client.infer("any", [tensor("x", x)], request_id=str(number))
                np.testing.assert_array_equal(result.as_numpy("y"), x)
                assert result.get_response().id == str(number)

            for start in range(0, 256, 32):
                await asyncio.gather(*(one(number) for number in range(start, start + 32)))

    asyncio.run(ask())


def test_the_health_service_answers(doors: TwoDoors) -> None:
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(doors.grpc) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=20) == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as caught:
            check(b"\x0a\x01x", timeout=20)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def raw_infer(doors: TwoDoors, datatype: str, values: list[Any], field: str) -> Any:
    """ModelInfer with typed contents, which tritonclient itself never sends."""
    grpc = pytest.importorskip("grpc")
    messages = triton.service_pb2
    request = messages.ModelInferRequest(model_name=f"identity-{datatype}")
    described = request.inputs.add(name="x", datatype=datatype, shape=[len(values) // 2 or 1, 2])
    getattr(described.contents, field).extend(values)
    with grpc.insecure_channel(doors.grpc) as channel:
        stub = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return stub.ModelInfer(request, timeout=20)


def extremes(datatype: DataType) -> Any:
    if datatype == "BYTES":
        return np.array([[b"", b"\x00\xc3\xa9"], [b"edge", b"x" * 300]], np.object_)
    if datatype == "BOOL":
        return np.array([[True, False]])
    dtype = NUMPY_DTYPES[datatype]
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([[limits.min, limits.max], [limits.max, 1]], dtype)
