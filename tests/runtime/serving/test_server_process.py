"""The serving process: its doors, its life, what it imports, and a swap under real load."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime import control
from edgewright_runtime.control import (
    Done,
    Load,
    Loaded,
    Measure,
    Measured,
    Refused,
    Status,
    Switch,
    Unload,
)
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.serving.figures import Latencies

from tests.runtime import models
from tests.runtime.serving.running import (
    DEADLINE_S,
    get,
    post,
    read_reply,
    serving,
    unpacked_variant,
)

BODY = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}]}
).encode()
INFER = post("/v2/models/m/infer", BODY)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three releases of model m: ONNX, OpenVINO and TFLite with other weights each."""
    folder = tmp_path_factory.mktemp("releases")
    onnx = models.linear_onnx(folder / "m.onnx", seed=0)
    openvino = models.linear_openvino(folder / "m.xml", seed=1)
    tflite = models.linear_tflite(folder / "m.tflite", seed=2)
    return [
        unpacked_variant(folder / "1", "onnx", [onnx], model="m", version="1"),
        unpacked_variant(
            folder / "2",
            "openvino",
            [openvino, openvino.with_suffix(".bin")],
            model="m",
            version="2",
        ),
        unpacked_variant(folder / "3", "tflite", [tflite], model="m", version="3"),
    ]


def entry(folder: Path) -> dict[str, str]:
    return {"model": "m", "generation": "g1", "folder": str(folder)}


def test_the_control_socket_does_what_its_protocol_says(
    releases: list[Path], tmp_path: Path
) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        ask = server.control.ask_blocking
        assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600
        assert server.exchange(INFER)[0] == 200
        assert isinstance(ask(Load("m", "g2", str(releases[1]))), Done)
        assert isinstance(ask(Load("m", "g2", str(releases[1]))), Done), "idempotent"
        assert isinstance(ask(Switch("m", "g2", True)), Done)
        found = ask(Status())
        assert isinstance(found, Loaded)
        assert found.pid == server.process.pid
        assert found.http == server.http
        assert {(g.generation, g.role, g.variant, g.placement) for g in found.generations} == {
            ("g1", "fallback", "onnx-float", "onnxruntime CPUExecutionProvider"),
            ("g2", "active", "openvino-float", "openvino CPU"),
        }
        for _ in range(3):
            assert server.exchange(INFER)[0] == 200
        measured = ask(Measure("m", "g2"))
        assert isinstance(measured, Measured)
        assert (measured.requests, measured.errors) == (3, 0)
        assert measured.latency_ms_p50 is not None
        assert measured.latency_ms_p99 is not None
        assert 0 < measured.latency_ms_p50 <= measured.latency_ms_p99
        ask(Measure("m", "g2", reset=True))
        measured = ask(Measure("m", "g2"))
        assert isinstance(measured, Measured)
        assert (measured.requests, measured.latency_ms_p50) == (0, None)
        assert isinstance(ask(Unload("m", "g1")), Done)
        assert isinstance(ask(Unload("m", "g1")), Done), "idempotent"


def test_what_cannot_be_done_is_refused_with_a_line_and_changes_nothing(
    releases: list[Path], tmp_path: Path
) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        for request in (
            Load("m", "g2", str(tmp_path / "nothing")),
            Switch("m", "g9", True),
            Switch("n", "g1", True),
            Measure("m", "g9"),
        ):
            reply = server.control.ask_blocking(request)
            assert isinstance(reply, Refused)
            assert reply.reason
            assert "\n" not in reply.reason
        assert server.exchange(INFER)[0] == 200


def test_a_variant_whose_signature_is_not_the_files_is_refused(
    releases: list[Path], tmp_path: Path
) -> None:
    lying = tmp_path / "lying"
    lying.mkdir()
    for path in releases[0].iterdir():
        data = path.read_bytes()
        (lying / path.name).write_bytes(data.replace(b'"FP32"', b'"FP64"'))
    with serving(tmp_path, [entry(releases[0])]) as server:
        reply = server.control.ask_blocking(Load("m", "g2", str(lying)))
        assert isinstance(reply, Refused)
        assert "its variant says x FP64" in reply.reason


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\0\0\0\2{}", b"\0\0\0\4null", b"\0\0\0\3\xff\xfe\xfd", b"\0\0"]
)
def test_a_hostile_control_connection_is_hung_up_on(
    releases: list[Path], tmp_path: Path, data: bytes
) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(tmp_path / "control.sock"))
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(20)
            assert connection.recv(10) == b""
        assert isinstance(server.control.ask_blocking(Status()), Loaded)


def test_the_client_works_in_an_event_loop_and_says_when_nobody_answers(
    releases: list[Path], tmp_path: Path
) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        assert isinstance(asyncio.run(server.control.ask(Status())), Loaded)
    nobody = ControlClient(tmp_path / "control.sock")
    with pytest.raises(ControlFault, match="no server answers there"):
        nobody.ask_blocking(Status())
    with pytest.raises(ControlFault, match="no server answers there"):
        asyncio.run(nobody.ask(Status()))
    silent = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(silent))
        listener.listen()
        quiet = ControlClient(silent)
        with pytest.raises(ControlFault, match=r"did not answer within 0.1 s"):
            quiet.ask_blocking(Status(), timeout_s=0.1)
        with pytest.raises(ControlFault, match=r"did not answer within 0.1 s"):
            asyncio.run(quiet.ask(Status(), timeout_s=0.1))


def test_every_frame_survives_the_way_there_and_back() -> None:
    for request in (Load("m", "g", "/f"), Switch("m", "g", True), Unload("m", "g"), Status()):
        data = control.frame(request)
        assert control.frame_length(data[:4]) == len(data) - 4
        assert control.parse_request(data[4:]) == request


def test_swaps_under_load_lose_no_request(releases: list[Path], tmp_path: Path) -> None:
    stop = threading.Event()
    statuses: list[int] = []
    answers: set[bytes] = set()

    def client(address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=30) as connection:
            while not stop.is_set():
                connection.sendall(INFER)
                status, body = read_reply(connection)
                statuses.append(status)
                answers.add(json.loads(body).get("model_version", "").encode())

    with serving(tmp_path, [entry(releases[0])]) as server:
        clients = [threading.Thread(target=client, args=(server.address,)) for _ in range(3)]
        for each in clients:
            each.start()
        for number in range(9):
            folder = str(releases[(number + 1) % 3])
            generation = f"swap{number}"
            keep = bool(number % 2)
            assert isinstance(server.control.ask_blocking(Load("m", generation, folder)), Done)
            assert isinstance(server.control.ask_blocking(Switch("m", generation, keep)), Done)
        stop.set()
        for each in clients:
            each.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert answers == {b"1", b"2", b"3"}


def test_sigterm_answers_what_was_asked_and_exits_0(releases: list[Path], tmp_path: Path) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        with server.connect() as connection, server.connect() as idle:
            idle.sendall(get("/v2"))
            assert read_reply(idle)[0] == 200
            # The server has begun to read this one: the answer before it says so.
            connection.sendall(get("/v2") + INFER[:-10])
            assert read_reply(connection)[0] == 200
            server.process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b"", "an idle connection is closed"
            connection.sendall(INFER[-10:])
            assert read_reply(connection)[0] == 200
            assert connection.recv(1) == b""
        assert server.process.wait(DEADLINE_S) == 0
    assert not (tmp_path / "control.sock").exists()


def test_clients_that_dawdle_are_ended_and_others_do_not_notice(
    releases: list[Path], tmp_path: Path
) -> None:
    with (
        serving(tmp_path, [entry(releases[0])], read_timeout_s=0.2) as server,
        server.connect() as slow_head,
        server.connect() as slow_body,
        server.connect() as idle,
    ):
        slow_head.sendall(INFER[:20])
        slow_body.sendall(INFER[:-10])
        assert server.exchange(INFER)[0] == 200
        assert read_reply(slow_head)[0] == 408
        assert read_reply(slow_body)[0] == 408
        idle.sendall(INFER)
        assert read_reply(idle)[0] == 200, "a connection that asks nothing is not ended"


def test_a_client_that_never_reads_is_ended(releases: list[Path], tmp_path: Path) -> None:
    with (
        serving(tmp_path, [entry(releases[0])], read_timeout_s=0.2) as server,
        server.connect() as greedy,
    ):
        with pytest.raises(OSError):  # reset, once the server has had enough
            while True:
                greedy.sendall(get("/metrics") * 50)
        assert server.exchange(INFER)[0] == 200


def test_too_many_connections_are_turned_away_with_503(
    releases: list[Path], tmp_path: Path
) -> None:
    with (
        serving(tmp_path, [entry(releases[0])], connections=2) as server,
        server.connect() as first,
        server.connect() as second,
    ):
        for connection in (first, second):
            connection.sendall(INFER)
            assert read_reply(connection)[0] == 200
        with server.connect() as third:
            assert read_reply(third)[0] == 503
        first.sendall(INFER)
        assert read_reply(first)[0] == 200


def test_a_release_that_does_not_load_leaves_a_server_that_can_be_repaired(
    releases: list[Path], tmp_path: Path
) -> None:
    broken = [{"model": "m", "generation": "g1", "folder": str(tmp_path / "nothing")}]
    with serving(tmp_path, broken) as server:
        assert server.exchange(get("/v2/health/live"))[0] == 200
        assert server.exchange(INFER)[0] == 404
        server.control.ask_blocking(Load("m", "g2", str(releases[2])))
        server.control.ask_blocking(Switch("m", "g2", False))
        assert server.exchange(INFER)[0] == 200


def test_a_second_server_at_the_same_address_says_so_in_one_line(
    releases: list[Path], tmp_path: Path
) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        for config, line in (
            ({"http": server.http}, "is in use by another program"),
            (
                {"http": None, "control": str(tmp_path / "control.sock")},
                "another server is running there",
            ),
            ({"http": "nowhere"}, "is no address"),
            ({"prot": 1}, "unknown field `prot`"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "edgewright_runtime.server", "--config", json.dumps(config)],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert done.returncode == 1
            assert line in done.stderr
            assert "Traceback" not in done.stderr


def test_a_socket_left_by_a_killed_server_is_taken_over(
    releases: list[Path], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    with serving(tmp_path, [entry(releases[0])]) as server:
        assert server.exchange(INFER)[0] == 200


def test_metrics_count_what_happened(releases: list[Path], tmp_path: Path) -> None:
    with serving(tmp_path, [entry(releases[0])]) as server:
        for _ in range(4):
            server.exchange(INFER)
        server.exchange(post("/v2/models/m/infer", b"{}"))
        lines = server.exchange(get("/metrics"))[1].decode().splitlines()
        assert 'edgewright_requests_total{model="m",outcome="answered"} 4' in lines
        assert 'edgewright_requests_total{model="m",outcome="invalid"} 1' in lines
        assert 'edgewright_inference_seconds_count{model="m"} 4' in lines
        assert 'edgewright_inference_seconds_bucket{model="m",le="+Inf"} 4' in lines
        assert any(line.startswith("edgewright_generation_info{") for line in lines)
        labels = '{model="m",generation="g1"'
        assert f"edgewright_generation_inference_seconds_count{labels}}} 4" in lines
        assert 'edgewright_queue_seconds_count{model="m"} 0' in lines  # none had to wait
        values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        assert 1e7 < float(values["process_resident_memory_bytes"]) < 1e9
        assert float(values["edgewright_memory_used_bytes"]) > 1e7
        assert_metrics_are_well_formed(lines)


def assert_metrics_are_well_formed(lines: list[str]) -> None:
    """Each family once, with its type before its values; histograms that only grow."""
    types: dict[str, str] = {}
    family, counts = "", [0.0]
    for line in lines:
        words = line.split(" ", 3)
        if line.startswith("# TYPE "):
            assert words[2] not in types, "a family twice"
            family, types[words[2]] = words[2], words[3]
        elif not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            ends = ("_bucket", "_sum", "_count") if types[family] == "histogram" else ("",)
            assert name.removeprefix(family) in ends, line
            value = float(line.rsplit(" ", 1)[1])
            if name.endswith("_bucket"):
                counts.append(value)
                assert 'le="5e-05"' in line or counts[-1] >= counts[-2], line


def test_the_server_imports_no_mqtt_tuf_cryptography_or_sql() -> None:
    code = (
        "import sys, edgewright_runtime.server;"
        "print([n for n in ('paho', 'tuf', 'securesystemslib', 'cryptography', 'sqlite3', "
        "'onnxruntime', 'openvino', 'ai_edge_litert', 'aiohttp') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_percentiles_are_within_a_bucket_of_the_truth() -> None:
    latencies = Latencies()
    assert latencies.percentile_s(0.5) is None
    values = np.random.default_rng(0).lognormal(-7, 1, 5000)
    for value in values:
        latencies.record(float(value))
    for share in (0.01, 0.5, 0.9, 0.99):
        found = latencies.percentile_s(share)
        assert found is not None
        assert found == pytest.approx(float(np.quantile(values, share)), rel=0.06)
    latencies.record(0.0)
    latencies.record(1e9)
    assert latencies.at_most([1e-5, 200.0])[1] == 5002
