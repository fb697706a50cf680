"""Answers in gzip and deflate, generate, classification, and hostile bytes for every path."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright_manifests.signature import DataType
from edgewright_runtime.engine.tensors import to_raw
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.http.coding import wanted_coding
from edgewright_runtime.serving.inference.classification import classify
from edgewright_runtime.serving.inference.log_settings import LogSettings
from edgewright_runtime.serving.inference.trace_settings import TraceSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tests.runtime import models
from tests.runtime.serving.record_triton import exchange
from tests.runtime.serving.running import Running, get, post, serving_files
from tests.runtime.serving.test_http_properties import JSON
from tests.runtime.serving.triton_requests import Exchange

QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WIDE = 40_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("extensions")
    files: dict[str, Path] = {
        "pair": models.two_by_two_onnx(folder / "pair.onnx"),
        "text": models.identity_onnx(folder / "text.onnx", TensorProto.STRING, shape=["n"]),
        "wide": models.identity_onnx(folder / "wide.onnx", TensorProto.FLOAT, shape=["n", WIDE]),
    }
    with serving_files(folder, files, "--model-control", "explicit") as found:
        yield found


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"gzip", b"gzip"),
        (b" GZIP ", b"gzip"),
        (b"deflate", b"deflate"),
        (b"gzip;q=0.5", b"gzip"),
        (b"gzip, identity", b"gzip"),
        (b"gzip, identity;q=0", b"gzip"),
        (b"gzip;q=0", None),
        (b"gzip; q=0, deflate", b"deflate"),
        (b"gzip, deflate", None),
        (b"gzip, deflate, br, zstd", None),
        (b"br", None),
        (b"*", None),
        (b"", None),
        (b",,;", None),
    ],
)
def test_a_coding_is_used_when_it_is_the_only_one_asked_for(
    header: bytes, wanted: bytes | None
) -> None:
    assert wanted_coding({b"accept-encoding": header}) == wanted


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("is_binary", [False, True])
def test_large_answers_and_requests_are_packed_beside_the_event_loop(
    running: Running, coding: str, *, is_binary: bool
) -> None:
    x = np.round(np.random.default_rng(0).random((2, WIDE), np.float32), 3)
    described = {
        "name": "x",
        "datatype": "FP32",
        "shape": [2, WIDE],
        "parameters": {"binary_data_size": x.nbytes},
    }
    document = {"inputs": [described], "parameters": {"binary_data_output": is_binary}}
    head = json.dumps(document).encode()
    pack = gzip.compress if coding == "gzip" else zlib.compress
    asked = Exchange(
        "POST",
        "/v2/models/wide/infer",
        pack(head + x.tobytes()),
        {
            "Content-Encoding": coding,
            "Accept-Encoding": coding,
            "Inference-Header-Content-Length": str(len(head)),
        },
    )
    reply = exchange(running.address, asked)
    assert reply["status"] == 200
    assert reply["headers"]["content-encoding"] == coding
    packed = reply["body"].encode("latin-1")
    plain = gzip.decompress(packed) if coding == "gzip" else zlib.decompress(packed)
    if is_binary:
        y = np.frombuffer(plain[-x.nbytes :], np.float32)
    else:
        y = np.array(json.loads(plain)["outputs"][0]["data"], np.float32)
    np.testing.assert_array_equal(y, x.ravel())
    cut = Exchange("POST", asked.path, asked.body[:-9], asked.headers)
    assert exchange(running.address, cut)["status"] == 400


def test_generate_maps_lists_to_the_dimension_that_is_free(running: Running) -> None:
    def generate(model: str, document: object) -> tuple[int, dict[str, Any]]:
        status, body = running.exchange(
            post(f"/v2/models/{model}/generate", json.dumps(document).encode())
        )
        return status, json.loads(body)

    status, found = generate("pair", {"a": list(range(8)), "b": [1] * 8, "id": "r", "k": {"z": 1}})
    assert status == 200
    assert found["total"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found["id"] == "r"
    assert generate("text", {"x": "é"})[1]["y"] == "é"
    for document, problem in (
        ({"a": [1, 2, 3], "b": [1] * 4}, "has 3 values"),
        ({"a": [[1, 2], [3, 4]], "b": [1] * 4}, "has 4 values"),
        ({"a": [{}, 1, 1, 1], "b": [1] * 4}, "other values"),
        ({"a": [1] * 4}, "'b' is missing"),
        ({"id": 7}, "'id' must be a string"),
        ({"parameters": 7}, "'parameters' must be an object"),
        ({"timeout": -1, "a": [1] * 4, "b": [1] * 4}, "microseconds"),
    ):
        status, reply = generate("pair", document)
        assert status == 400
        assert problem in reply["error"]


def test_a_stream_is_one_event(running: Running) -> None:
    asked = Exchange("POST", "/v2/models/text/generate_stream", b'{"x": "a\\nb"}')
    reply = exchange(running.address, asked)
    assert reply["headers"]["content-type"] == "text/event-stream; charset=utf-8"
    event = reply["body"]
    assert event.startswith("data: {")
    assert event.endswith("}\n\n")
    assert event.count("\n") == 2
    assert json.loads(event[6:])["y"] == "a\nb"


def classes(array: np.ndarray, datatype: DataType, count: int) -> list[bytes]:
    found = classify("y", to_raw(array, datatype), count)
    assert found.elements is not None
    assert found.shape == (len(found.elements),)
    return found.elements


@given(
    st.lists(st.floats(width=32) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=20),
    st.integers(1, 25),
)
def test_classes_are_the_highest_values_in_order(values: list[float], count: int) -> None:
    found = classes(np.array(values, np.float32), "FP32", count)
    order = sorted(range(len(values)), key=lambda at: (np.isnan(values[at]), -values[at], at))[
        :count
    ]
    if not any(map(np.isnan, values)):
        assert [int(item.rpartition(b":")[2]) for item in found] == order
    assert len(found) == min(count, len(values))


def test_classes_of_integers_and_strings() -> None:
    low, high = -(1 << 63), (1 << 63) - 1
    assert classes(np.array([low, high, 0]), "INT64", 3) == [
        b"9223372036854775807:1", b"0:2", b"-9223372036854775808:0",
    ]  # fmt: skip  # the highest first
    unsigned = np.array([[1, (1 << 64) - 1]], np.uint64)
    assert classes(unsigned, "UINT64", 1) == [b"18446744073709551615:1"]
    assert classes(np.array([False, True]), "BOOL", 1) == [b"1:1"]
    with pytest.raises(InvalidInput, match="BYTES"):
        classes(np.array([b"a"], np.object_), "BYTES", 1)


PATHS = [
    "/v2/repository/index", "/v2/repository/models/pair/load", "/v2/repository/models/x/unload",
    "/v2/logging", "/v2/trace/setting", "/v2/models/pair/trace/setting",
    "/v2/models/text/generate", "/v2/models/text/generate_stream", "/v2/models/pair/stats",
    "/v2/systemsharedmemory/region/r/register", "/v2/systemsharedmemory/region/r/unregister",
    "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/region/r/register",
    "/v2/cudasharedmemory/unregister", "/v2/systemsharedmemory//register", "/v2/models//infer",
]  # fmt: skip  # a table
WORDS = st.sampled_from(
    ["x", "a", "id", "ready", "parameters", "config", "file:1/m.onnx", "key", "offset", "byte_size",
     "log_info", "log_format", "log_verbose_level", "trace_level", "trace_rate", "log_file"]
)  # fmt: skip  # a table
DOCUMENTS = st.dictionaries(WORDS, JSON | st.dictionaries(WORDS, JSON, max_size=3), max_size=4)


@settings(QUICK, max_examples=300)
@given(st.sampled_from(PATHS), DOCUMENTS | JSON | st.binary(max_size=30))
def test_every_path_answers_anything_with_one_clear_status(
    running: Running, path: str, sent: object
) -> None:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    status, reply = running.exchange(post(path, body))
    assert status in (200, 400, 403, 404, 405), reply
    if status != 200:
        document = json.loads(reply)
        assert list(document) == ["error"]
        assert "\n" not in document["error"]
    running.exchange(post("/v2/logging", b'{"log_info": true, "log_verbose_level": 0}'))


@QUICK
@given(DOCUMENTS)
def test_settings_change_as_a_whole_or_not_at_all(document: dict[str, Any]) -> None:
    for made in (TraceSettings(), TraceSettings(trace_file="/tmp/t.json")):
        before = made.shown("m")
        try:
            after = made.update(document, "m")
        except InvalidInput as error:
            assert str(error)
            assert made.shown("m") == before
        else:
            assert after.keys() == before.keys()
        assert made.shown() == before
    log = LogSettings()
    with pytest.raises(InvalidInput):
        log.update({"log_info": False, "nonsense": 1})
    assert log.shown() == LogSettings().shown()


def test_a_client_that_leaves_during_a_load_does_no_harm(running: Running) -> None:
    for _ in range(5):
        with running.connect() as connection:
            connection.sendall(post("/v2/repository/models/pair/load", b""))
    assert running.exchange(get("/v2/models/pair/ready"))[0] == 200
    with running.connect() as connection:
        # Pipelined behind a load, which takes time: answers still come in order.
        connection.sendall(post("/v2/repository/models/pair/load", b"") + get("/v2"))
        connection.shutdown(1)
        data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert data.startswith(b"HTTP/1.1 200 OK")
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.endswith(b"}")
