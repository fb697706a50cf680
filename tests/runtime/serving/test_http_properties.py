"""Whatever bytes come, the parsers give a request or one clear error, and the server goes on."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.tensors import NUMPY_DTYPES, from_raw, to_raw
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.http.infer import (
    InferRequest,
    Surroundings,
    parse_infer,
    write_infer,
)
from edgewright_runtime.serving.http.json_tensors import read_json_tensor
from edgewright_runtime.serving.http.known_heads import KnownHeads
from edgewright_runtime.serving.http.large_json import LARGE_BYTES, Numbers, parse_large
from edgewright_runtime.serving.inference.binary_tensors import (
    read_binary_tensor,
    write_binary_tensor,
)
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.runtime.serving.running import Running, get, post, read_reply

SIGNATURE = ModelSignature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 4)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 3)),),
)
AROUND = Surroundings(SharedMemory(), KnownHeads())
QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | JSON,
        "datatype": st.sampled_from([*NUMPY_DTYPES, "FP31"]) | JSON,
        "shape": st.lists(st.integers(-2, 5), max_size=4) | st.just([1, 4]) | JSON,
        "data": st.lists(st.integers(0, 300) | st.floats() | st.booleans(), max_size=8) | JSON,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-2, 40) | JSON}
        )
        | JSON,
    },
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=5) | JSON,
        "inputs": st.lists(TENSOR, max_size=3) | JSON,
        "outputs": st.lists(TENSOR, max_size=3) | JSON,
        "parameters": JSON,
    },
)


def parsed(body: bytes, header: bytes | None) -> InferRequest | None:
    """The request, or None for one clear error."""
    try:
        return parse_infer(AROUND, body, header, SIGNATURE)
    except InvalidInput as error:
        assert str(error)
        assert "\n" not in str(error)
        return None


@QUICK
@given(st.binary(max_size=200), st.none() | st.binary(max_size=6) | st.integers(0, 220))
def test_any_bytes_parse_or_are_refused(body: bytes, header: bytes | int | None) -> None:
    found = parsed(body, str(header).encode() if isinstance(header, int) else header)
    assert found is None or "x" in found.inputs


@settings(QUICK, max_examples=600)
@given(REQUEST, st.binary(max_size=40), st.booleans())
@example({"inputs": [{"name": "x", "datatype": "BOOL", "shape": [], "data": [[]]}]}, b"", False)
def test_any_json_of_roughly_the_right_form_parses_or_is_refused(
    document: dict[str, Any], data: bytes, is_binary: bool
) -> None:
    head = json.dumps(document).encode()
    found = parsed(head + data, str(len(head)).encode() if is_binary else None)
    if found is not None:
        for tensor in found.inputs.values():
            assert from_raw(tensor).dtype in NUMPY_DTYPES.values()


@QUICK
@given(st.sampled_from(list(NUMPY_DTYPES)), st.lists(st.integers(0, 4), max_size=3), st.data())
def test_binary_tensors_come_back_as_they_went(
    datatype: Any, shape: list[int], data: st.DataObject
) -> None:
    count = int(np.prod(shape))
    if datatype == "BYTES":
        array = np.empty(count, np.object_)
        array[:] = data.draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
    else:
        dtype = NUMPY_DTYPES[datatype]
        size = count * dtype.itemsize
        raw = data.draw(st.binary(min_size=size, max_size=size))
        array = np.frombuffer(raw, np.uint8 if datatype == "BOOL" else dtype)
        if datatype == "BOOL":
            array = array.astype(np.bool_)
    array = array.reshape(shape)
    wire = memoryview(bytes(write_binary_tensor(to_raw(array, datatype))))
    back = from_raw(read_binary_tensor("x", datatype, tuple(shape), wire))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    if datatype == "BYTES":
        assert back.tolist() == array.tolist()
    else:
        assert back.tobytes() == array.tobytes()  # NaN payloads included


@settings(QUICK, max_examples=120)
@given(
    st.lists(
        st.sampled_from(
            [
                b"GET /v2/health/live HTTP/1.1\r\n", b"POST /v2/models/pair/infer HTTP/1.1\r\n",
                b"Content-Length: 5\r\n", b"Content-Length: x\r\n", b"Expect: 100-continue\r\n",
                b"Transfer-Encoding: chunked\r\n", b"Inference-Header-Content-Length: 3\r\n",
                b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n",
                b"\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"\0", b" ", b"{}", b"\x80abc",
                b"HTTP/1.1",
            ]
        )
        | st.binary(max_size=12),
        max_size=12,
    )
)  # fmt: skip  # a soup of what HTTP is made of
def test_a_soup_of_http_never_gets_a_500_and_never_stops_the_server(
    server: Running, soup: list[bytes]
) -> None:
    with server.connect() as connection:
        connection.sendall(b"".join(soup))
        connection.shutdown(1)
        status, _ = read_reply(connection)
    assert status < 500 or status == 503
    status, _ = server.exchange(get("/v2/health/live"))
    assert status == 200


@QUICK
@given(REQUEST)
def test_a_server_answers_any_json_with_200_or_400(
    server: Running, document: dict[str, Any]
) -> None:
    body = json.dumps(document).encode()
    status, reply = server.exchange(post("/v2/models/linear-onnx/infer", body))
    assert status in (200, 400)
    assert ("error" in json.loads(reply)) == (status == 400)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP32", [0.1, 1, -2.5e-3]),
        ("FP64", [0.1, 1e300, 3]),
        ("FP16", [0.1, -65504, 1]),
        ("INT64", [-(1 << 63), (1 << 63) - 1, 0]),
        ("UINT64", [0, (1 << 64) - 1, 7]),
        ("INT8", [-128, 127, 0]),
        ("BOOL", [True, False, True]),
        ("BYTES", ["a", "é", ""]),
    ],
)
def test_large_json_reads_as_small_json_does(datatype: Any, values: list[Any]) -> None:
    many = values * 20_000
    entry = {"name": "x", "datatype": datatype, "shape": [len(many)], "data": many}
    text = json.dumps({"inputs": [entry], "id": "7", "parameters": {"timeout": 5}}).encode()
    assert len(text) > LARGE_BYTES
    document = parse_large(text)
    assert document is not None
    assert (document["id"], document["parameters"]) == ("7", {"timeout": 5})
    data = document["inputs"][0]["data"]
    assert isinstance(data, Numbers)
    found = read_json_tensor("x", datatype, (len(many),), data)
    wanted = read_json_tensor("x", datatype, (len(many),), many)
    assert (bytes(found.data), found.elements) == (bytes(wanted.data), wanted.elements)


@pytest.mark.parametrize(
    ("datatype", "values", "problem"),
    [
        ("FP32", [1e39], "outside of FP32"),
        ("INT8", [128], "outside of INT8"),
        ("INT32", [1.5], "numbers where INT32"),
        ("UINT64", [-1], "outside of UINT64"),
        ("FP32", ["1"], "other values where FP32"),
        ("FP32", [1, 2], "has 40000 values"),
    ],
)
def test_large_json_that_does_not_fit_is_refused(
    datatype: Any, values: list[Any], problem: str
) -> None:
    many = values * 20_000
    text = json.dumps({"inputs": [{"name": "x", "data": many}]}).encode()
    document = parse_large(text)
    assert document is not None
    with pytest.raises(InvalidInput, match=problem):
        read_json_tensor("x", datatype, (20_000,), document["inputs"][0]["data"])


@pytest.mark.parametrize("binary_bytes", [15, 16, 17])
def test_a_head_that_is_known_reads_as_it_did_the_first_time(binary_bytes: int) -> None:
    around = Surroundings(SharedMemory(), KnownHeads())
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
    head = json.dumps(
        {
            "inputs": [{**entry, "parameters": {"binary_data_size": 16}}],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
            "parameters": {"priority": 2},
        }
    ).encode()
    length = str(len(head)).encode()
    first = parse_infer(around, head + bytes(16), length, SIGNATURE)
    data = bytes(range(binary_bytes))
    try:
        again = parse_infer(around, head + data, length, SIGNATURE)
    except InvalidInput:
        assert binary_bytes != 16
        return
    assert binary_bytes == 16
    assert again.known is first.known is not None
    assert bytes(again.inputs["x"].data) == data
    assert (again.outputs, again.options, again.id) == (first.outputs, first.options, None)
    other = msgspec.structs.replace(SIGNATURE)  # another generation's, though equal
    assert parse_infer(around, head + data, length, other).known is not first.known
    outputs = {"y": RawTensor("FP32", (1, 3), bytes(12))}
    replies = [write_infer(around, again, outputs, "m", "1") for _ in range(2)]
    assert replies[0] == replies[1]
    assert replies[0] != write_infer(around, again, outputs, "m", "2")
    wide = {"y": RawTensor("FP32", (2, 3), bytes(24))}
    assert b"[2,3]" in write_infer(around, again, wide, "m", "1").body[0]
