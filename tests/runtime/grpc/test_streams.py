"""Calls of many messages, frame by frame: flow control both ways, packing, the server's end."""

import contextlib
import signal
import zlib
from pathlib import Path

import pytest
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.grpc.calls import STREAM_WINDOW
from edgewright_runtime.serving.grpc.infer import InferRequest, read_inputs, read_message
from edgewright_runtime.serving.grpc.messages import build_messages
from edgewright_runtime.serving.grpc.template import Templates
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime import models
from tests.runtime.grpc.conftest import TwoDoors
from tests.runtime.grpc.raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INFER,
    RST,
    SETTINGS,
    WINDOW,
    Raw,
    frame,
    head,
    message,
    raw,
    u32,
)
from tests.runtime.grpc.test_life import grpc_address
from tests.runtime.serving.running import serving_files

MESSAGES = build_messages()
REQUEST, STREAM_RESPONSE = MESSAGES["ModelInferRequest"], MESSAGES["ModelStreamInferResponse"]
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WIDE = b"\0\4" + u32((1 << 31) - 1)
"""SETTINGS_INITIAL_WINDOW_SIZE."""


def request(identifier: str, data: bytes = bytes(16), model: str = "any") -> bytes:
    made = REQUEST(
        model_name=model,
        id=identifier,
        inputs=[{"name": "x", "datatype": "FP32", "shape": [len(data) // 4]}],
        raw_input_contents=[data],
    )
    found: bytes = made.SerializeToString()
    return found


def replies(client: Raw, count: int, number: int = 1) -> list[str]:
    """The ids of so many replies of a stream, whose DATA frames may be cut anywhere."""
    data = b""
    found: list[str] = []
    while len(found) < count:
        data += client.until(DATA, number)[1]
        while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
            size = 5 + int.from_bytes(data[1:5], "big")
            reply = STREAM_RESPONSE.FromString(data[5:size])
            assert not reply.error_message, reply.error_message
            found.append(reply.infer_response.id)
            data = data[size:]
    return found


def test_messages_of_a_stream_may_be_cut_and_joined_anywhere(doors: TwoDoors) -> None:
    sent = b"".join(message(request(str(n))) for n in range(40))
    with raw(doors) as client:
        client.send(client.headers(1, head(STREAM)))
        for at in range(0, len(sent), 7):
            client.send(frame(DATA, 0, 1, sent[at : at + 7]))
        client.send(frame(DATA, END_STREAM, 1))
        assert replies(client, 40) == [str(n) for n in range(40)]
        assert client.status(1)["grpc-status"] == "0"


def test_a_caller_who_does_not_read_is_not_read_either(doors: TwoDoors) -> None:
    # A window of 0 for replies: the server soon gives no more room for requests, and all that
    # it has taken is answered in the end.
    one, size = bytes(16_000), 16_000
    with raw(doors, settings=b"\0\4" + u32(0)) as client, raw(doors) as other:
        client.send(client.headers(1, head(STREAM)))
        count = sent = 0
        room, limit_s = STREAM_WINDOW, client.connection.gettimeout()
        client.connection.settimeout(1)  # quiet for that long: no more room is given
        with contextlib.suppress(TimeoutError):
            while True:
                while sent + 2 * size < room:
                    piece = message(request(str(count), one))
                    client.send(frame(DATA, 0, 1, piece))
                    count, sent = count + 1, sent + len(piece)
                found = client.read()
                if found is not None and found[0] == WINDOW and found[2] == 1:
                    room += int.from_bytes(found[3], "big")
        client.connection.settimeout(limit_s)
        assert STREAM_WINDOW < sent < 3 * STREAM_WINDOW
        other.send(other.call(1))
        assert other.status(1)["grpc-status"] == "0"
        client.send(frame(SETTINGS, 0, 0, WIDE), frame(WINDOW, 0, 0, u32((1 << 31) - 1 - 65535)))
        client.send(frame(DATA, END_STREAM, 1))
        assert replies(client, count) == [str(n) for n in range(count)]
        assert client.status(1)["grpc-status"] == "0"


def test_a_slow_model_is_not_asked_for_more_than_it_can_queue(doors: TwoDoors) -> None:
    with raw(doors) as client:
        client.send(client.headers(1, head(STREAM)))
        one = message(request("", bytes(4), "slow"))
        client.send(*[frame(DATA, 0, 1, one)] * 100)  # its queue takes 64
        assert replies(client, 3) == [""] * 3
        client.send(frame(RST, 0, 1, u32(8)))


@pytest.mark.parametrize(
    ("status", "sent"),
    [("13", message(b"x")[:-1]), ("8", b"\0" + u32(1 << 30)), ("13", b"\7" + u32(0))],
)
def test_a_broken_message_ends_its_stream(doors: TwoDoors, status: str, sent: bytes) -> None:
    with raw(doors) as client:
        client.send(client.headers(1, head(STREAM)), frame(DATA, 0, 1, message(request("1"))))
        assert replies(client, 1) == ["1"]
        client.send(frame(DATA, END_STREAM, 1, sent))
        assert client.status(1)["grpc-status"] == status
        client.send(client.call(3))
        assert client.status(3)["grpc-status"] == "0"


@pytest.mark.parametrize(("coding", "bits"), [("gzip", 31), ("deflate", 15)])
@pytest.mark.parametrize("size", [2000, 400_000])
def test_who_packs_gets_answers_packed(doors: TwoDoors, coding: str, bits: int, size: int) -> None:
    encoder = zlib.compressobj(wbits=bits)
    body = encoder.compress(request("packed", bytes(size))) + encoder.flush()
    with raw(doors) as client:
        accepts = {"grpc_encoding": coding, "grpc_accept_encoding": f"identity, {coding}"}
        client.send(client.headers(1, head(INFER, **accepts)))
        client.send(frame(DATA, END_STREAM, 1, message(body, 1)))
        assert client.decode(client.until(HEADERS, 1)[1])["grpc-encoding"] == coding
        data = client.until(DATA, 1)[1]
        assert data[0] == 1
        plain = zlib.decompress(data[5:], bits)
        reply = MESSAGES["ModelInferResponse"].FromString(plain)
        assert (reply.id, len(reply.raw_output_contents[0])) == ("packed", size)
        assert client.status(1)["grpc-status"] == "0"


def test_sigterm_answers_what_a_stream_asked_and_ends_it(tmp_path: Path) -> None:
    files = {"any": models.linear_onnx(tmp_path / "m.onnx")}
    with serving_files(tmp_path, files, "--grpc", "127.0.0.1:0") as running:
        host, port = grpc_address(running).split(":")
        doors = TwoDoors(running.process, running.http, f"{host}:{port}", {})
        with raw(doors) as client:
            client.send(client.headers(1, head(STREAM)))
            made = REQUEST(
                model_name="any",
                id="last",
                inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 4]}],
                raw_input_contents=[bytes(16)],
            )
            client.send(frame(DATA, 0, 1, message(made.SerializeToString())))
            assert replies(client, 1) == ["last"]
            running.process.send_signal(signal.SIGTERM)
            assert client.until(GOAWAY)[1][4:8] == u32(0)
            flags, payload = client.until(HEADERS, 1)
            assert flags == END_HEADERS | END_STREAM
            assert client.decode(payload)["grpc-status"] == "14"
            running.process.wait(20)


texts = st.text(max_size=4)
tensors = st.binary(min_size=8, max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(texts, tensors, st.booleans(), st.integers(0, 2)), max_size=8))
def test_what_a_template_reads_is_what_reading_in_full_reads(
    asked: list[tuple[str, bytes, bool, int]],
) -> None:
    memory, templates = SharedMemory(), Templates()
    for identifier, data, is_damaged, outputs in asked:
        made = REQUEST(
            model_name="m",
            id=identifier,
            inputs=[{"name": name, "datatype": "FP32", "shape": [1]} for name in "ab"],
            outputs=[{"name": str(number)} for number in range(outputs)],
            raw_input_contents=[data[:4], data[4:]],
        )
        sent: bytes = made.SerializeToString()
        if is_damaged:
            at = data[0] % len(sent)
            sent = sent[:at] + bytes((sent[at] ^ 1 << data[1] % 8,)) + sent[at + 1 :]
        short = templates.read(sent)
        try:
            described, whole, contents = read_message(sent, REQUEST)
            full = InferRequest(described, whole.id, read_inputs(whole, contents, memory))
        except InvalidInput:
            assert short is None
            continue
        if short is not None:
            assert shown(short) == shown(full)
        templates.keep(full, sent, len(contents))
        again = templates.read(sent)
        assert again is None or shown(again) == shown(full)


def shown(found: InferRequest) -> object:
    inputs = [
        (name, tensor.datatype, tensor.shape, bytes(tensor.data))
        for name, tensor in found.inputs.items()
    ]
    return found.id, found.described, inputs
