"""Every public method of tritonclient's two HTTP clients works against this server, unmodified.

The methods are read from the client itself: one that a later version adds fails here until it is
called too.
"""

import asyncio
import base64
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime import models
from tests.runtime.serving.running import Running, serving_files

http = pytest.importorskip("tritonclient.http")
aio = pytest.importorskip("tritonclient.http.aio")
shared_memory = pytest.importorskip("tritonclient.utils.shared_memory")
utils = pytest.importorskip("tritonclient.utils")
Client = Any  # tritonclient ships no types
Ask = Callable[..., Any]
"""Calls a method of either client by name, and gives what it gives, or raises what it raises."""

X = np.array([[3, 1, 2, 5]], np.float32)
KEY = "/edgewright-methods"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "pair": models.two_by_two_onnx(folder / "pair.onnx"),
        "linear": models.linear_onnx(folder / "linear.onnx"),
    }


@pytest.fixture(scope="module")
def running(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ["--model-control", "explicit", "--model-files", "accept"]
    with serving_files(tmp_path_factory.mktemp("methods"), files, *options) as found:
        yield found


@pytest.fixture(params=["sync", "aio"])
def ask(request: pytest.FixtureRequest, running: Running) -> Iterator[Ask]:
    if request.param == "sync":
        with http.InferenceServerClient(running.http) as client:
            yield lambda name, *words, **options: getattr(client, name)(*words, **options)
        return
    with asyncio.Runner() as runner:

        async def call(name: str, *words: Any, **options: Any) -> Any:
            async with aio.InferenceServerClient(running.http) as client:
                found = getattr(client, name)(*words, **options)
                return await found if inspect.isawaitable(found) else found

        yield lambda name, *words, **options: runner.run(call(name, *words, **options))


def pair_inputs() -> list[Any]:
    inputs = [http.InferInput(name, [1, 4], "FP32") for name in "ab"]
    inputs[0].set_data_from_numpy(X)
    inputs[1].set_data_from_numpy(2 * X, binary_data=False)
    return inputs


def health(ask: Ask) -> None:
    assert ask("is_server_live")
    assert ask("is_server_ready")
    assert ask("is_model_ready", "pair")
    assert ask("is_model_ready", "pair", "1")
    assert not ask("is_model_ready", "nobody")


def metadata(ask: Ask) -> None:
    assert {"statistics", "classification"} <= set(ask("get_server_metadata")["extensions"])
    assert ask("get_model_metadata", "pair", "1")["versions"] == ["1"]
    assert ask("get_model_config", "pair")["backend"] == "onnxruntime"


def repository(ask: Ask) -> None:
    def states() -> dict[str, str]:
        return {entry["name"]: entry["state"] for entry in ask("get_model_repository_index")}

    assert states() == {"pair": "READY", "linear": "READY"}
    ask("unload_model", "linear", unload_dependents=True)
    assert states() == {"pair": "READY", "linear": "UNAVAILABLE"}
    assert not ask("is_model_ready", "linear")
    ask("load_model", "linear")
    assert ask("is_model_ready", "linear")
    config = ask("get_model_config", "linear")
    ask("load_model", "linear", config=json.dumps(config))
    config["max_batch_size"] = 8
    with pytest.raises(utils.InferenceServerException, match="max_batch_size"):
        ask("load_model", "linear", config=json.dumps(config))
    assert states() == {"pair": "READY", "linear": "READY"}


def statistics(ask: Ask) -> None:
    def counts() -> Mapping[str, Any]:
        (entry,) = ask("get_inference_statistics", "pair", "1")["model_stats"]
        return dict(entry)

    before = counts()
    for _ in range(3):
        ask("infer", "pair", pair_inputs())
    after = counts()
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["last_inference"] > 1_700_000_000_000
    spent = after["inference_stats"]
    for stage in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert spent[stage]["count"] == after["inference_count"]
    for stage in ("compute_input", "compute_infer", "compute_output"):
        assert spent[stage]["ns"] > before["inference_stats"][stage]["ns"]
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert spent["success"]["ns"] == pytest.approx(sum(spent[part]["ns"] for part in parts), abs=5)
    assert after["batch_stats"][0]["compute_infer"] == spent["compute_infer"]
    assert len(ask("get_inference_statistics")["model_stats"]) == 2


def settings(ask: Ask) -> None:
    log = ask("get_log_settings")
    assert ask("update_log_settings", {"log_verbose_level": 1})["log_verbose_level"] == 1
    assert ask("update_log_settings", {**log, "log_file": ""}) == log
    assert ask("get_log_settings") == log
    traces = ask("get_trace_settings")
    changed = ask("update_trace_settings", settings={"trace_rate": "5"})
    assert changed == {**traces, "trace_rate": "5"}
    own = ask("update_trace_settings", model_name="pair", settings={"trace_count": ["7"]})
    assert own == {**changed, "trace_count": "7"}
    assert ask("get_trace_settings", model_name="linear") == changed
    ask("update_trace_settings", model_name="pair", settings={"trace_count": None})
    assert ask("update_trace_settings", settings={"trace_rate": None}) == traces


def system_memory(ask: Ask) -> None:
    region = shared_memory.create_shared_memory_region("in", KEY, 128)
    try:
        shared_memory.set_shared_memory_region(region, [X, 2 * X])
        ask("register_system_shared_memory", "in", KEY, 128)
        (status,) = ask("get_system_shared_memory_status")
        assert status == {"name": "in", "key": KEY, "offset": 0, "byte_size": 128}
        assert ask("get_system_shared_memory_status", "in") == [status]
        inputs = [http.InferInput(name, [1, 4], "FP32") for name in "ab"]
        inputs[0].set_shared_memory("in", 16)
        inputs[1].set_shared_memory("in", 16, offset=16)
        outputs = [http.InferRequestedOutput(name) for name in ("total", "difference")]
        outputs[0].set_shared_memory("in", 16, offset=64)
        outputs[1].set_shared_memory("in", 48, offset=80)
        ask("infer", "pair", inputs, outputs=outputs)
        found = shared_memory.get_contents_as_numpy(region, np.float32, [2, 4], offset=64)
        np.testing.assert_array_equal(found, [X[0] * 3, -X[0]])
        ask("unregister_system_shared_memory", "in")
        ask("unregister_system_shared_memory")
        assert ask("get_system_shared_memory_status") == []
    finally:
        shared_memory.destroy_shared_memory_region(region)


def cuda_memory(ask: Ask) -> None:
    assert ask("get_cuda_shared_memory_status") == []
    ask("unregister_cuda_shared_memory")
    with pytest.raises(utils.InferenceServerException, match="use system shared memory"):
        ask("register_cuda_shared_memory", "gpu", base64.b64encode(b"\0" * 64), 0, 64)


def infer(ask: Ask) -> None:
    outputs = [http.InferRequestedOutput("total", class_count=2)]
    result = ask("infer", "pair", pair_inputs(), outputs=outputs, request_id="r-1")
    assert result.as_numpy("total").tolist() == [b"15.000000:3", b"9.000000:0"]
    for packing in ("gzip", "deflate"):
        result = ask(
            "infer",
            "pair",
            pair_inputs(),
            model_version="1",
            request_compression_algorithm=packing,
            response_compression_algorithm=packing,
            priority=1,
            timeout=5_000_000,
            parameters={"my": "own"},
        )
        np.testing.assert_array_equal(result.as_numpy("total"), 3 * X)
        assert result.get_output("total")["datatype"] == "FP32"


def file_override(ask: Ask, content: bytes) -> None:
    ask("load_model", "sent", config="{}", files={"file:1/model.onnx": content})
    assert ask("is_model_ready", "sent", "1")
    ask("unload_model", "sent")
    for name, data in {"file:1/model.onnx": b"nonsense", "file:1/../m.onnx": content}.items():
        with pytest.raises(utils.InferenceServerException):
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
    "async_infer", "generate_request_body", "parse_response_body",  # the tests below
    "close",  # every test
    "plugin", "register_plugin", "unregister_plugin",  # the client's own, no request
}  # fmt: skip  # with its reasons beside it


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_every_call_is_answered(ask: Ask, scene: Callable[[Ask], None]) -> None:
    scene(ask)


def test_a_model_may_be_sent_where_that_is_allowed(ask: Ask, files: dict[str, Path]) -> None:
    file_override(ask, files["pair"].read_bytes())


@pytest.mark.parametrize("client", [http.InferenceServerClient, aio.InferenceServerClient])
def test_no_public_method_is_left_out(client: Client) -> None:
    public = {name for name, _ in inspect.getmembers(client) if not name.startswith("_")}
    called = {name for names in SCENES.values() for name in names}
    assert public <= called | ELSEWHERE, "a method that no scene calls"
    assert called <= public


def test_many_requests_may_be_under_way(running: Running) -> None:
    with http.InferenceServerClient(running.http, concurrency=4) as client:
        asked = [client.async_infer("pair", pair_inputs()) for _ in range(20)]
        for each in asked:
            np.testing.assert_array_equal(each.get_result().as_numpy("total"), 3 * X)


def test_a_body_made_and_read_by_the_client_alone_goes_through(running: Running) -> None:
    body, length = http.InferenceServerClient.generate_request_body(pair_inputs())
    head = {"Inference-Header-Content-Length": str(length)}
    reply = _post(running, "/v2/models/pair/infer", body, head)
    size = int(reply[0]["inference-header-content-length"])
    result = http.InferenceServerClient.parse_response_body(reply[1], header_length=size)
    np.testing.assert_array_equal(result.as_numpy("difference"), -X)


def _post(
    running: Running, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[dict[str, str], bytes]:
    from http.client import HTTPConnection

    connection = HTTPConnection(*running.address, timeout=20)
    try:
        connection.request("POST", path, body, dict(headers))
        reply = connection.getresponse()
        return {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()
