"""Every public method of tritonclient's two gRPC clients works against this server, unmodified.

The methods are read from the client itself, and the RPCs from its protocol: one that a later
version adds fails here until it is called too.
"""

import asyncio
import inspect
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

triton = pytest.importorskip("tritonclient.grpc")
aio = pytest.importorskip("tritonclient.grpc.aio")
grpc = pytest.importorskip("grpc")
shared_memory = pytest.importorskip("tritonclient.utils.shared_memory")
utils = pytest.importorskip("tritonclient.utils")
Client = Any  # tritonclient ships no types
Ask = Callable[..., Any]
"""Calls a method of either client by name, and gives what it gives, or raises what it raises."""
Failure = utils.InferenceServerException

X = np.array([[3, 1, 2, 5]], np.float32)
KEY = "/edgewright-grpc-methods"
WAIT_S = 20


@pytest.fixture(params=["sync", "aio"])
def ask(request: pytest.FixtureRequest, address: str) -> Iterator[Ask]:
    if request.param == "sync":
        with triton.InferenceServerClient(address) as client:
            yield lambda name, *words, **options: getattr(client, name)(*words, **options)
        return
    with asyncio.Runner() as runner:

        async def call(name: str, *words: Any, **options: Any) -> Any:
            async with aio.InferenceServerClient(address) as client:
                found = getattr(client, name)(*words, **options)
                return await found if inspect.isawaitable(found) else found

        yield lambda name, *words, **options: runner.run(call(name, *words, **options))


def pair_inputs(x: Any = X) -> list[Any]:
    inputs = [triton.InferInput(name, list(x.shape), "FP32") for name in "ab"]
    inputs[0].set_data_from_numpy(x)
    inputs[1].set_data_from_numpy(2 * x)
    return inputs


def health(ask: Ask) -> None:
    assert ask("is_server_live")
    assert ask("is_server_ready")
    assert ask("is_model_ready", "pair")
    assert ask("is_model_ready", "pair", "1")
    assert not ask("is_model_ready", "nobody")


def metadata(ask: Ask) -> None:
    assert {"statistics", "classification"} <= set(ask("get_server_metadata").extensions)
    assert ask("get_model_metadata", "pair", "1").versions == ["1"]
    config = ask("get_model_config", "pair", as_json=True)["config"]
    assert config["backend"] == "onnxruntime"
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["instance_group"][0]["kind"] == "KIND_CPU"
    assert config["parameters"]["variant"]["string_value"]
    assert ask("get_model_config", "items").config.model_transaction_policy.decoupled


def repository(ask: Ask) -> None:
    def states() -> dict[str, str]:
        return {entry.name: entry.state for entry in ask("get_model_repository_index").models}

    ready = {"pair": "READY", "items": "READY", "linear": "READY"}
    assert states() == ready
    ask("unload_model", "linear", unload_dependents=True)
    assert states() == {**ready, "linear": "UNAVAILABLE"}
    assert not ask("is_model_ready", "linear")
    ask("load_model", "linear")
    assert ask("is_model_ready", "linear")
    config = {"name": "linear", "max_batch_size": 0}
    ask("load_model", "linear", config=json.dumps(config))
    with pytest.raises(Failure, match="max_batch_size"):
        ask("load_model", "linear", config=json.dumps({**config, "max_batch_size": 8}))
    assert states() == ready
    with pytest.raises(Failure, match="no model 'nobody'") as caught:
        ask("load_model", "nobody")
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def statistics(ask: Ask) -> None:
    def counts() -> Any:
        (entry,) = ask("get_inference_statistics", "pair", "1").model_stats
        return entry

    before = counts()
    for _ in range(3):
        ask("infer", "pair", pair_inputs())
    after = counts()
    assert after.inference_count - before.inference_count == 3
    assert after.last_inference > 1_700_000_000_000
    spent, then = after.inference_stats, before.inference_stats
    for stage in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert getattr(spent, stage).count == after.inference_count
    for stage in ("compute_input", "compute_infer", "compute_output"):
        assert getattr(spent, stage).ns > getattr(then, stage).ns
    assert after.batch_stats[0].compute_infer.ns == spent.compute_infer.ns
    assert len(ask("get_inference_statistics").model_stats) == 3


def settings(ask: Ask) -> None:
    log = ask("get_log_settings", as_json=True)["settings"]
    assert (
        ask("update_log_settings", {"log_verbose_level": 1})
        .settings["log_verbose_level"]
        .uint32_param
    )
    assert (
        not ask("update_log_settings", {"log_verbose_level": 0, "log_file": ""})
        .settings["log_verbose_level"]
        .uint32_param
    )
    assert ask("get_log_settings", as_json=True)["settings"] == log
    traces = ask("get_trace_settings", as_json=True)["settings"]
    changed = ask("update_trace_settings", settings={"trace_rate": "5"}, as_json=True)["settings"]
    assert changed == {**traces, "trace_rate": {"value": ["5"]}}
    own = ask("update_trace_settings", model_name="pair", settings={"trace_count": ["7"]})
    assert own.settings["trace_count"].value == ["7"]
    assert ask("get_trace_settings", model_name="linear", as_json=True)["settings"] == changed
    ask("update_trace_settings", model_name="pair", settings={"trace_count": None})
    back = ask("update_trace_settings", settings={"trace_rate": None}, as_json=True)["settings"]
    assert back == traces


def system_memory(ask: Ask) -> None:
    region = shared_memory.create_shared_memory_region("in", KEY, 128)
    try:
        shared_memory.set_shared_memory_region(region, [X, 2 * X])
        ask("register_system_shared_memory", "in", KEY, 128)
        status = ask("get_system_shared_memory_status").regions["in"]
        assert (status.name, status.key, status.offset, status.byte_size) == ("in", KEY, 0, 128)
        assert ask("get_system_shared_memory_status", "in").regions["in"] == status
        inputs = [triton.InferInput(name, [1, 4], "FP32") for name in "ab"]
        inputs[0].set_shared_memory("in", 16)
        inputs[1].set_shared_memory("in", 16, offset=16)
        outputs = [triton.InferRequestedOutput(name) for name in ("total", "difference")]
        outputs[0].set_shared_memory("in", 16, offset=64)
        outputs[1].set_shared_memory("in", 48, offset=80)
        for _ in range(2):
            ask("infer", "pair", inputs, outputs=outputs)
            found = shared_memory.get_contents_as_numpy(region, np.float32, [2, 4], offset=64)
            np.testing.assert_array_equal(found, [X[0] * 3, -X[0]])
        mixed = [pair_inputs()[0], inputs[1]]
        np.testing.assert_array_equal(ask("infer", "pair", mixed).as_numpy("total"), 3 * X)
        ask("unregister_system_shared_memory", "in")
        ask("unregister_system_shared_memory")
        assert not ask("get_system_shared_memory_status").regions
        with pytest.raises(Failure) as caught:
            ask("infer", "pair", inputs)
        assert caught.value.status() == "StatusCode.NOT_FOUND"
    finally:
        shared_memory.destroy_shared_memory_region(region)


def cuda_memory(ask: Ask) -> None:
    assert not ask("get_cuda_shared_memory_status").regions
    ask("unregister_cuda_shared_memory")
    with pytest.raises(Failure, match="use system shared memory"):
        ask("register_cuda_shared_memory", "gpu", b"AAAA", 0, 64)


def infer(ask: Ask) -> None:
    outputs = [triton.InferRequestedOutput("total", class_count=2)]
    result = ask("infer", "pair", pair_inputs(), outputs=outputs, request_id="r-1")
    assert result.as_numpy("total").tolist() == [b"15.000000:3", b"9.000000:0"]
    for packing in (None, "gzip", "deflate"):
        for x in (X, np.tile(X, (5000, 1))):
            result = ask(
                "infer",
                "pair",
                pair_inputs(x),
                model_version="1",
                compression_algorithm=packing,
                priority=1,
                timeout=5_000_000,
                client_timeout=WAIT_S,
                parameters={"my": "own"},
            )
            np.testing.assert_array_equal(result.as_numpy("total"), 3 * x)
    with pytest.raises(Failure, match="ModelStreamInfer") as caught:
        ask("infer", "items", pair_inputs())
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def file_override(ask: Ask, content: bytes) -> None:
    ask("load_model", "sent", config="{}", files={"file:1/model.onnx": content})
    assert ask("is_model_ready", "sent", "1")
    ask("unload_model", "sent")
    for name, data in {"file:1/model.onnx": b"nonsense", "file:1/../m.onnx": content}.items():
        with pytest.raises(Failure):
            ask("load_model", "sent", config="{}", files={name: data})
    assert not ask("is_model_ready", "sent")


SCENES: Mapping[Callable[[Ask], None], tuple[str, ...]] = {
    health: ("is_server_live", "is_server_ready", "is_model_ready"),
    metadata: ("get_server_metadata", "get_model_metadata", "get_model_config"),
    repository: ("get_model_repository_index", "load_model", "unload_model"),
    statistics: ("get_inference_statistics",),
    settings: (
        "get_log_settings",
        "update_log_settings",
        "get_trace_settings",
        "update_trace_settings",
    ),
    system_memory: (
        "get_system_shared_memory_status",
        "register_system_shared_memory",
        "unregister_system_shared_memory",
    ),
    cuda_memory: (
        "get_cuda_shared_memory_status",
        "register_cuda_shared_memory",
        "unregister_cuda_shared_memory",
    ),
    infer: ("infer",),
}
ELSEWHERE = {
    "async_infer", "start_stream", "async_stream_infer", "stop_stream", "stream_infer",  # _streams
    "close",  # every test
    "plugin", "register_plugin", "unregister_plugin",  # the client's own, no request
}  # fmt: skip  # with its reasons beside it


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_every_call_is_answered(ask: Ask, scene: Callable[[Ask], None]) -> None:
    scene(ask)


def test_a_model_may_be_sent_where_that_is_allowed(ask: Ask, files: dict[str, Path]) -> None:
    file_override(ask, files["pair"].read_bytes())


@pytest.mark.parametrize("client", [triton.InferenceServerClient, aio.InferenceServerClient])
def test_no_public_method_is_left_out(client: Client) -> None:
    public = {name for name, _ in inspect.getmembers(client) if not name.startswith("_")}
    called = {name for names in SCENES.values() for name in names}
    assert public <= called | ELSEWHERE, "a method that no scene calls"
    assert called <= public


def test_no_rpc_of_the_protocol_is_unimplemented(address: str) -> None:
    service = triton.service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert len(service.methods) >= 20
    with grpc.insecure_channel(address) as channel:
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            if method.client_streaming:
                assert list(channel.stream_stream(path)(iter(()), timeout=WAIT_S)) == []
                continue
            try:
                channel.unary_unary(path)(b"", timeout=WAIT_S)
            except grpc.RpcError as error:
                assert error.code() != grpc.StatusCode.UNIMPLEMENTED, (path, error.details())


def test_calls_may_be_asynchronous_and_be_taken_back(address: str) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        for _ in range(20):
            client.async_infer("pair", pair_inputs(), lambda result, error: answers.put(result))
        for _ in range(20):
            result = answers.get(timeout=WAIT_S)
            np.testing.assert_array_equal(result.as_numpy("total"), 3 * X)
        told = threading.Event()
        client.async_infer("pair", pair_inputs(), lambda result, error: told.set()).cancel()
        assert told.wait(WAIT_S)
