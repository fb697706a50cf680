"""What HTTP and the protocol demand of requests, with the right status for each breach."""

import gzip
import json
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest

from tests.runtime import models
from tests.runtime.serving.conftest import BODY_LIMIT
from tests.runtime.serving.running import Running, get, post, read_reply

INFER = "/v2/models/linear-onnx/infer"


def request(**changes: object) -> dict[str, Any]:
    """A good request for the linear model, with top-level changes."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    return {"inputs": [tensor], **changes}


def tensor(**changes: object) -> dict[str, Any]:
    """A good request with changes to its only tensor; None removes a key."""
    changed = {**request()["inputs"][0], **changes}
    return {"inputs": [{key: value for key, value in changed.items() if value is not None}]}


def answer(server: Running, document: object) -> tuple[int, dict[str, Any]]:
    status, body = server.exchange(post(INFER, json.dumps(document).encode()))
    return status, json.loads(body)


def test_a_good_request_is_answered_with_its_id(server: Running) -> None:
    status, reply = answer(server, request(id="a1"))
    w, b = models.weights()
    assert status == 200
    assert reply["id"] == "a1"
    assert reply["outputs"][0]["shape"] == [1, 3]
    np.testing.assert_allclose(
        reply["outputs"][0]["data"], np.array([1, 2, 3, 4]) @ w + b, rtol=1e-5
    )


@pytest.mark.parametrize("data", [[[1, 2, 3, 4]], [1.0, 2, 3, 4], [[[1], [2]], [[3], [4]]]])
def test_data_may_be_flat_or_nested(server: Running, data: object) -> None:
    assert answer(server, tensor(data=data)) == answer(server, request())


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "must be a JSON object"),
        ({}, "'inputs' must be an array"),
        (request(inputs=[]), "'inputs' must be an array"),
        (request(inputs={"x": 1}), "'inputs' must be an array"),
        (request(inputs=[1]), "must be an object with a 'name'"),
        (request(id=7), "'id' must be a string"),
        (request(parameters=[]), "'parameters' must be an object"),
        (request(parameters={"timeout": "soon"}), "number of microseconds"),
        (request(outputs={"y": 1}), "'outputs' must be an array"),
        (request(outputs=[{"name": "z"}]), "no output 'z'; it gives 'y'"),
        (request(outputs=[{"name": "y"}] * 2), "asked for twice"),
        (request(outputs=[{"name": "y", "parameters": {"classification": "2"}}]), "of classes"),
        (request(outputs=[{"name": "y", "parameters": {"classification": -1}}]), "of classes"),
        (request(parameters={"priority": -1}), "'priority' must be a number"),
        (tensor(name="z"), "'x' is missing; given: 'z'"),
        (tensor(name=7), "must be an object with a 'name'"),
        (request(inputs=request()["inputs"] * 2), "given twice"),
        (tensor(datatype="FP31"), "datatype must be one of"),
        (tensor(datatype=["FP32"]), "datatype must be one of"),
        (tensor(datatype="INT32"), "'x' is INT32, the model takes FP32"),
        (tensor(shape=[4]), "'x' has shape [4]"),
        (tensor(shape=[1, 5]), "data has 4 values, shape [1, 5] needs 5"),
        (tensor(shape=[-1, 4]), "shape must be an array of sizes"),
        (tensor(shape=[True, 4]), "shape must be an array of sizes"),
        (tensor(shape=[1 << 62, 1 << 62]), "shape must be an array of sizes"),
        (tensor(shape="1,4"), "shape must be an array of sizes"),
        (tensor(shape=[1] * 40), "shape must be an array of sizes"),
        (tensor(data=None), "neither data nor binary_data_size"),
        (tensor(data=[1, 2, 3]), "data has 3 values"),
        (tensor(data="1234"), "data must be an array"),
        (tensor(data=[[1, 2], [3]]), "no regular array"),
        (tensor(data=["1", "2", "3", "4"]), "data has other values"),
        (tensor(data=[None, 1, 2, 3]), "data has other values"),
        (tensor(data=[True, False, True, True]), "data has booleans"),
        (tensor(data=[1e39, 1, 2, 3]), "outside of FP32"),
        (tensor(data=[{}, 1, 2, 3]), "data has other values"),
        (tensor(data=None, parameters={"binary_data_size": 16}), "beyond the 0 bytes"),
        (tensor(data=None, parameters={"binary_data_size": -1}), "beyond the 0 bytes"),
        (tensor(parameters={"shared_memory_region": "r"}), "both in shared memory and in"),
        (tensor(data=None, parameters={"shared_memory_region": 7}), "must be a name"),
        (tensor(data=None, parameters={"shared_memory_region": None}), "must be a name"),
        (tensor(data=None, parameters={"shared_memory_region": "r"}), "byte_size' is missing"),
    ],
)
def test_a_request_that_does_not_fit_is_400_and_says_why(
    server: Running, document: object, problem: str
) -> None:
    status, reply = answer(server, document)
    assert status == 400, reply
    assert list(reply) == ["error"]
    assert problem in reply["error"]
    assert "\n" not in reply["error"]


@pytest.mark.parametrize(
    ("datatype", "data", "problem"),
    [
        ("INT8", [128, 0], "outside of INT8"),
        ("UINT8", [-1, 0], "outside of UINT8"),
        ("INT32", [1.5, 0], "numbers where INT32"),
        ("UINT64", [-1, 1 << 63], "outside of UINT64"),
        ("INT64", [1 << 63, 0], "outside of INT64"),
        ("BOOL", [2, 0], "integers where BOOL"),
        ("FP16", [70000, 0], "outside of FP16"),
    ],
)
def test_values_are_never_rounded_or_cut(
    server: Running, datatype: str, data: list[object], problem: str
) -> None:
    document = tensor(datatype=datatype, shape=[1, 2], data=data)
    body = json.dumps(document).encode()
    status, reply = server.exchange(post(f"/v2/models/identity-{datatype}/infer", body))
    assert status == 400
    assert problem in json.loads(reply)["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"inputs": NaN}', b"[" * 100_000, b'{"a":"\\ud800"}']
)
def test_a_body_that_is_no_json_is_400(server: Running, body: bytes) -> None:
    status, reply = server.exchange(post(INFER, body))
    assert status == 400
    assert "error" in json.loads(reply)


def test_many_lists_within_lists_are_400(server: Running) -> None:
    body = json.dumps(tensor()).replace("[1, 2, 3, 4]", "[" * 900 + "1" + "]" * 900).encode()
    assert server.exchange(post(INFER, body))[0] == 400


class Binary:
    """A request with binary data behind its JSON."""

    data = np.array([[1, 2, 3, 4]], np.float32).tobytes()
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [1, 4],
                    "parameters": {"binary_data_size": 16},
                }
            ]
        }
    ).encode()


def test_binary_data_is_read_where_the_header_says(server: Running) -> None:
    length = f"Inference-Header-Content-Length: {len(Binary.head)}"
    status, reply = server.exchange(post(INFER, Binary.head + Binary.data, length))
    assert status == 200
    assert json.loads(reply)["outputs"] == answer(server, request())[1]["outputs"]


@pytest.mark.parametrize(
    ("header", "data", "problem"),
    [
        ("-1", Binary.data, "number of bytes within"),
        ("1e2", Binary.data, "number of bytes within"),
        ("99999", Binary.data, "number of bytes within"),
        ("9" * 400, Binary.data, "number of bytes within"),
        (str(len(Binary.head)), Binary.data[:-1], "beyond the 15 bytes"),
        (str(len(Binary.head)), Binary.data + b"?", "1 bytes of binary data belong to no input"),
        (str(len(Binary.head) - 1), Binary.data, "no valid JSON"),
    ],
)
def test_lies_about_binary_sizes_are_400(
    server: Running, header: str, data: bytes, problem: str
) -> None:
    length = f"Inference-Header-Content-Length: {header}"
    status, reply = server.exchange(post(INFER, Binary.head + data, length))
    assert status == 400
    assert problem in json.loads(reply)["error"]


def test_a_raw_request_is_the_only_input_and_its_batch_is_deduced(server: Running) -> None:
    x = np.arange(8, dtype=np.float32)
    status, reply = server.exchange(post(INFER, x.tobytes(), "Inference-Header-Content-Length: 0"))
    assert status == 200
    w, b = models.weights()
    y = np.frombuffer(reply[-24:], np.float32).reshape(2, 3)
    np.testing.assert_allclose(y, x.reshape(2, 4) @ w + b, rtol=1e-5, atol=1e-6)
    assert server.exchange(post(INFER, b"12345", "Inference-Header-Content-Length: 0"))[0] == 400


def test_bytes_tensors_with_lying_lengths_are_400(server: Running) -> None:
    for data in (struct.pack("<I", 1 << 31) + b"ab", b"\1\0", struct.pack("<I", 3) + b"ab"):
        entry = {
            "name": "x",
            "datatype": "BYTES",
            "shape": [1, 2],
            "parameters": {"binary_data_size": len(data)},
        }
        head = json.dumps({"inputs": [entry]}).encode()
        status, reply = server.exchange(
            post(INFER, head + data, f"Inference-Header-Content-Length: {len(head)}")
        )
        assert status == 400
        assert "string" in json.loads(reply)["error"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (get("/"), 404),
        (get("/v2/"), 404),
        (get("/v2/models"), 404),
        (get("/v2/models/nobody"), 404),
        (get("/v2/models/nobody/ready"), 404),
        (get("/v2/models/linear-onnx/versions/9"), 404),
        (get("/v2/models/linear-onnx/versions/1.0/ready"), 200),
        (get("/v2/models/linear%2Donnx?x=1"), 200),
        (get("/v2/models/%ff"), 400),
        (get("/v2/models/linear-onnx/stats"), 200),
        (get("/v2/models/linear-onnx/statistics"), 404),
        (get("/v2/models/linear-onnx/stats", method="POST"), 405),
        (get("/v2/logging", method="PUT"), 405),
        (get("/v2/systemsharedmemory"), 404),
        (get("/v2/systemsharedmemory/region/r"), 404),
        (get("/v2/systemsharedmemory/register", method="POST"), 404),
        (get("/v2/systemsharedmemory/region/r/status/more"), 404),
        (get(INFER), 405),
        (get("/v2", method="DELETE"), 405),
        (get("/v2/health/live", method="POST"), 405),
        (get("/v2/repository/index"), 405),
        (get("/v2/repository/models/linear-onnx/load", method="POST"), 403),
        (get("/v2/health/live"), 200),
        (get("/metrics"), 200),
    ],
)
def test_paths_and_methods_have_their_status(server: Running, line: bytes, status: int) -> None:
    assert server.exchange(line)[0] == status


def test_health_says_so_in_json_too(server: Running) -> None:
    # KServe's client parses the body; tritonclient looks at the status only.
    assert json.loads(server.exchange(get("/v2/health/live"))[1]) == {"live": True}
    assert json.loads(server.exchange(get("/v2/health/ready"))[1]) == {"ready": True}


def test_one_connection_answers_many_requests_in_order_even_pipelined(server: Running) -> None:
    with server.connect() as connection:
        sent = [json.dumps(request(id=str(number))).encode() for number in range(200)]
        connection.sendall(b"".join(post(INFER, body) for body in sent))
        buffer = b""
        found: list[str] = []
        while len(found) < 200:
            buffer += connection.recv(1 << 16)
            while b"\r\n\r\n" in buffer:
                head, _, rest = buffer.partition(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                if len(rest) < length:
                    break
                found.append(json.loads(rest[:length])["id"])
                buffer = rest[length:]
        assert found == [str(number) for number in range(200)]


def test_a_body_may_come_in_chunks_and_byte_by_byte(server: Running) -> None:
    body = json.dumps(request()).encode()
    chunks = b"".join(
        f"{len(body[i : i + 7]):x}\r\n".encode() + body[i : i + 7] + b"\r\n"
        for i in range(0, len(body), 7)
    )
    head = f"POST {INFER} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with server.connect() as connection:
        for position in range(0, len(head + chunks), 3):
            connection.sendall((head + chunks)[position : position + 3])
        connection.sendall(b"0\r\n\r\n")
        assert read_reply(connection)[0] == 200
        connection.sendall(get("/v2/health/live"))
        assert read_reply(connection)[0] == 200


def test_expect_100_continue_is_answered_before_the_body(server: Running) -> None:
    body = json.dumps(request()).encode()
    head, _, _ = post(INFER, body, "Expect: 100-continue").partition(b"\r\n\r\n")
    with server.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(body)
        assert read_reply(connection)[0] == 200
    assert server.exchange(post(INFER, b"", "Expect: 200-ok"))[0] == 417


def test_http_1_0_and_connection_close_end_the_connection(server: Running) -> None:
    for line in (
        b"GET /v2 HTTP/1.0\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nConnection: close\r\n\r\n",
    ):
        with server.connect() as connection:
            connection.sendall(line)
            assert read_reply(connection)[0] == 200
            assert connection.recv(1) == b""
    with server.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        assert read_reply(connection)[0] == 200


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_packed_bodies_are_bounded_when_unpacked(server: Running, pack: Any) -> None:
    encoding = "Content-Encoding: " + ("gzip" if pack is gzip.compress else "deflate")
    good = pack(json.dumps(request()).encode())
    assert server.exchange(post(INFER, good, encoding))[0] == 200
    bomb = pack(b" " * (BODY_LIMIT * 4))
    assert server.exchange(post(INFER, bomb, encoding))[0] == 413
    assert server.exchange(post(INFER, good[:-5], encoding))[0] == 400
    assert server.exchange(post(INFER, b"nonsense", encoding))[0] == 400
    assert server.exchange(post(INFER, good, "Content-Encoding: br"))[0] == 415


def test_a_body_beyond_the_limit_is_413_before_it_is_sent_and_in_chunks(server: Running) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n".encode()
    with server.connect() as connection:
        connection.sendall(head)
        status, body = read_reply(connection)
        assert status == 413
        assert str(BODY_LIMIT) in json.loads(body)["error"]
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = f"POST {INFER} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with server.connect() as connection:
        # The client goes on sending what was refused, and still gets to read why.
        connection.sendall(head + chunk * (BODY_LIMIT // 0x10000 + 2))
        assert read_reply(connection)[0] == 413


def test_an_endless_head_is_431(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\n" + b"X-A: b\r\n" * 6000 + b"\r\n")
        assert read_reply(connection)[0] == 431
    with server.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nX-Long: ")
        ends = time.monotonic() + 20
        status = 0
        connection.settimeout(0.01)
        while not status and time.monotonic() < ends:
            try:
                connection.sendall(b"a" * 4096)
                status = read_reply(connection)[0]
            except TimeoutError:
                continue
        assert status == 431


@pytest.mark.parametrize(
    "line",
    [
        b"\r\n\r\n\0\0",
        b"GET /v2\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"FETCH /v2 HTTP/1.1\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: " + b"0" * 5000 + b"1\r\n\r\nx",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nrest",
        b"POST /v2/models/linear-onnx/infer HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
    ],
)
def test_hostile_bytes_get_an_answer_or_a_closed_connection(server: Running, line: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(line)
        connection.shutdown(1)
        status, _ = read_reply(connection)
    assert status == 0 or 200 <= status < 500
    assert server.exchange(get("/v2/health/live"))[0] == 200
