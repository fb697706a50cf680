"""Traces reach a real collector's address; logs are read by machines."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright_runtime.control import Loaded, Status

from tests.runtime import models
from tests.runtime.serving.running import DEADLINE_S, Running, post, serving_files
from tests.simulators.waiting import wait_until

BODY = json.dumps(
    {
        "id": "seven",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}],
    }
).encode()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Collector:
    """Takes OTLP over HTTP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []  # protobuf messages

    @contextmanager
    def listening(self) -> Iterator[str]:
        collector = self

        class Takes(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                import gzip

                from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                asked = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
                for resource in asked.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def attributes(span: Any) -> dict[str, Any]:
    return {entry.key: entry.value.string_value for entry in span.attributes}


def infer(running: Running, *headers: str, body: bytes = BODY) -> int:
    return running.exchange(post("/v2/models/m/infer", body, *headers))[0]


@pytest.fixture
def collector() -> Collector:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
    return Collector()


def test_traced_requests_of_both_doors_reach_the_collector(
    collector: Collector, tmp_path: Path
) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    model = models.linear_onnx(tmp_path / "m.onnx")
    with collector.listening() as url:
        options = ["--traces", url, "--trace-rate", "1000000", "--grpc", "127.0.0.1:0"]
        with serving_files(tmp_path, {"m": model}, *options) as running:
            assert infer(running, f"traceparent: {SAMPLED}") == 200
            assert infer(running, f"traceparent: {UNSAMPLED}") == 200
            assert infer(running, "traceparent: rubbish") == 200
            found = running.control.ask_blocking(Status())
            assert isinstance(found, Loaded) and found.grpc is not None
            x = triton.InferInput("x", [1, 4], "FP32")
            x.set_data_from_numpy(np.ones((1, 4), np.float32))
            with triton.InferenceServerClient(found.grpc) as client:
                client.infer("m", [x], request_id="eight", headers={"traceparent": SAMPLED})
        # The server has ended, and sent what it had.
        http, grpc = collector.named("infer m")
        for span, door, identifier in ((http, "http", "seven"), (grpc, "grpc", "eight")):
            assert span.trace_id.hex() == TRACE
            assert span.parent_span_id.hex() == PARENT
            shown = attributes(span)
            assert shown["edgewright.door"] == door
            assert shown["edgewright.request_id"] == identifier
            assert shown["edgewright.version"] == "1"
            assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9
            inner = [each for each in collector.spans if each.parent_span_id == span.span_id]
            assert [each.name for each in inner] == ["queue", "engine"]
            engine = inner[1]
            assert attributes(engine)["edgewright.placement"].endswith("CPUExecutionProvider")
            assert span.start_time_unix_nano <= engine.start_time_unix_nano
            assert engine.end_time_unix_nano <= span.end_time_unix_nano
        assert len(collector.spans) == 6, "nothing else was traced"


def test_one_in_n_is_traced_and_a_client_may_switch_it_off(
    collector: Collector, tmp_path: Path
) -> None:
    model = models.linear_onnx(tmp_path / "m.onnx")
    with collector.listening() as url:
        options = ["--traces", url, "--trace-rate", "1"]
        with serving_files(tmp_path, {"m": model}, *options) as running:
            for _ in range(5):
                assert infer(running) == 200
            wait_until(lambda: len(collector.named("infer m")) == 5, DEADLINE_S, "5 traces")
            off = json.dumps({"trace_level": ["OFF"]}).encode()
            status, said = running.exchange(post("/v2/trace/setting", off))
            assert status == 200
            assert json.loads(said)["trace_mode"] == "opentelemetry"
            assert infer(running) == 200
            never = json.dumps({"trace_level": ["TIMESTAMPS"], "trace_rate": "0"}).encode()
            assert running.exchange(post("/v2/trace/setting", never))[0] == 200
            assert infer(running) == 200
        assert len(collector.named("infer m")) == 5


def test_a_collector_that_is_not_there_costs_no_request(
    collector: Collector, tmp_path: Path
) -> None:
    with collector.listening() as url:
        pass  # the port is free again, and nobody listens
    model = models.linear_onnx(tmp_path / "m.onnx")
    options = ["--traces", url, "--trace-rate", "1"]
    with serving_files(tmp_path, {"m": model}, *options) as running:
        assert [infer(running) for _ in range(20)] == [200] * 20


def test_an_engine_s_failure_is_logged_with_the_request_s_id(tmp_path: Path) -> None:
    model = models.gather_onnx(tmp_path / "g.onnx")
    with serving_files(tmp_path, {"m": model}, "--log-format", "json") as running:
        x = {"name": "x", "datatype": "INT64", "shape": [1], "data": [99]}
        body = json.dumps({"id": "nine", "inputs": [x]}).encode()
        assert [infer(running, body=body) for _ in range(3)] == [500] * 3
        assert running.process.stderr is not None
        lines = iter(running.process.stderr.readline, "")
        found = json.loads(next(line for line in lines if "inference failed" in line))
    assert found["request"] == "nine"
    assert found["model"] == "m"
    assert found["door"] == "http"
    assert found["level"] == "warning"
    assert "indices element out of data bounds" in found["reason"]


def test_the_log_is_one_json_object_per_line(tmp_path: Path) -> None:
    model = models.linear_onnx(tmp_path / "m.onnx")
    options = ["--log-format", "json", "--log-level", "info"]
    with serving_files(tmp_path, {"m": model}, *options) as running:
        assert infer(running) == 200
        assert running.process.stderr is not None
        lines = iter(running.process.stderr.readline, "")
        found: list[Any] = []
        for line in lines:
            if line.startswith("{"):
                found.append(json.loads(line))
                if found[-1]["event"] == "generation switched":
                    break
    loaded = next(entry for entry in found if entry["event"] == "generation loaded")
    assert loaded["model"] == "m"
    assert loaded["level"] == "info"
    assert loaded["placement"] == "onnxruntime CPUExecutionProvider"
    assert loaded["time"].endswith("Z")
