"""The life of a model, as clients, operators and the service manager see it."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime.client import Client
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.session import Session
from edgewright_runtime.errors import ControlFault, RuntimeFault
from edgewright_runtime.health.watchdog import ServiceManager
from edgewright_runtime.server import ServerConfig, Serving, serve
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import InferenceServerClient, InferInput

from tests.runtime import models
from tests.runtime.serving.running import DEADLINE_S, Running, serving_files

BODY = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
).encode()


def post(
    address: str, model: str, headers: Mapping[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, dict[str, object]]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", f"/v2/models/{model}/infer", BODY, dict(headers or {}))
        reply = connection.getresponse()
        return reply.status, reply.headers, json.loads(reply.read())
    finally:
        connection.close()


def status_of(running: Running) -> Loaded:
    reply = running.control.ask_blocking(Status())
    assert isinstance(reply, Loaded)
    return reply


def command(*words: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from edgewright_manifests.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "runtime", *words],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        "m": models.linear_onnx(tmp_path / "m.onnx"),
        "n": models.linear_onnx(tmp_path / "n.onnx", seed=1),
    }


def large_onnx(path: Path) -> Path:
    """x FP32 [batch, 4] -> y FP32 [batch, 2048], with 32 MB of weights."""
    width = 2048
    weights: dict[str, np.ndarray] = {
        "w0": np.ones((4, width), np.float32),
        "w1": np.ones((width, width), np.float32) / width,
        "w2": np.ones((width, width), np.float32) / width,
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w0"], ["a"]),
            helper.make_node("MatMul", ["a", "w1"], ["b"]),
            helper.make_node("MatMul", ["b", "w2"], ["y"]),
        ],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    return models.save_onnx(graph, path)


def test_an_unloaded_model_is_loaded_for_the_request_that_wants_it(tmp_path: Path) -> None:
    large = {name: large_onnx(tmp_path / f"{name}.onnx") for name in ("m", "n")}
    with serving_files(tmp_path, large, "--memory-budget", "70MB") as running:
        assert {each.model for each in status_of(running).generations} == {"n"}
        assert set(status_of(running).absent) == {"m"}
        for model in ("m", "n", "m"):
            status, _, answer = post(running.http, model)
            assert status == 200, answer
            assert {each.model for each in status_of(running).generations} == {model}


def test_the_other_doors_bring_an_unloaded_model_back_too(tmp_path: Path) -> None:
    large = {name: large_onnx(tmp_path / f"{name}.onnx") for name in ("m", "n")}
    door = tmp_path / "local.sock"
    options = ("--memory-budget", "70MB", "--grpc", "127.0.0.1:0", "--socket", str(door))
    x = np.ones((1, 4), np.float32)
    with serving_files(tmp_path, large, *options) as running:
        assert set(status_of(running).absent) == {"m"}
        address = status_of(running).grpc
        assert address is not None
        with InferenceServerClient(address) as asker:
            tensor = InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(x)
            found = asker.infer("m", [tensor]).as_numpy("y")  # waits, and is answered
        assert set(status_of(running).absent) == {"n"}
        with Client(door) as client:
            with pytest.raises(RuntimeFault, match="loaded again"):
                client.model("n")  # cannot wait, and wakes it
            until(lambda: "n" not in status_of(running).absent)
            np.testing.assert_allclose(client.model("n").infer({"x": x})["y"], found, rtol=1e-5)


def test_the_key_of_a_request_chooses_between_two_releases(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    control = str(tmp_path / "control.sock")
    with serving_files(tmp_path, {"m": files["m"]}) as running:
        done = command("split", "m", str(files["n"]), "--share", "0.5", "--control", control)
        assert done.returncode == 0, done.stderr
        assert status_of(running).splits == {"m": 0.5}
        versions = [
            post(running.http, "m", {"X-Edgewright-Key": f"user-{number}"})[2]["model_version"]
            for number in range(30)
        ]
        assert set(versions) == {"1", "n"}
        assert post(running.http, "m")[2]["model_version"] == "1"
        roles = {each.role for each in status_of(running).generations}
        assert roles == {"active", "split"}
        assert command("split", "m", "off", "--control", control).returncode == 0
        assert post(running.http, "m", {"X-Edgewright-Key": "user-1"})[2]["model_version"] == "1"
        refused = command("split", "nobody", str(files["n"]), "--control", control)
        assert refused.returncode == 1
        assert "no model 'nobody'" in refused.stderr


def test_a_shadow_is_compared_in_status_and_metrics(tmp_path: Path, files: dict[str, Path]) -> None:
    control = str(tmp_path / "control.sock")
    with serving_files(tmp_path, {"m": files["m"]}) as running:
        done = command("shadow", "m", str(files["n"]), "--control", control)
        assert done.returncode == 0, done.stderr
        for _ in range(10):
            assert post(running.http, "m")[2]["model_version"] == "1"
        until(lambda: status_of(running).shadows[0].compared > 0)
        figures = status_of(running).shadows[0]
        assert figures.largest_error > 0
        assert figures.seen == 10
        connection = http.client.HTTPConnection(running.http, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        assert 'edgewright_shadow_requests_total{model="m",generation="shadow-1"' in text
        assert command("shadow", "m", "off", "--control", control).returncode == 0
        assert not status_of(running).shadows


def test_a_crash_of_an_isolated_model_leaves_the_server_and_other_models_alone(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[models.m]\nisolation = "process"\n')
    with serving_files(tmp_path, files, "--model-settings", str(settings)) as running:
        assert post(running.http, "m")[0] == 200
        pid = {each.model: each.pid for each in status_of(running).generations}["m"]
        assert pid is not None
        assert pid != running.process.pid
        os.kill(pid, signal.SIGSEGV)
        status, _, answer = post(running.http, "m")
        assert status == 500
        assert "SIGSEGV" in str(answer["error"])
        assert post(running.http, "n")[0] == 200
        until(lambda: post(running.http, "m")[0] == 200)


class Slow(Artifact):
    """A real artifact whose loading waits at a gate."""

    gate = threading.Event()

    def open(self, *, threads: int = 1, isolated: bool = False) -> Session:
        assert self.gate.wait(30)
        return super().open(threads=threads, isolated=isolated)


def test_while_models_load_the_doors_say_so_and_the_service_manager_hears_of_it_after(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify.sock"))
        notify.setblocking(False)

        def listen() -> list[str]:
            while True:
                try:
                    heard.append(notify.recv(64).decode())
                except BlockingIOError:
                    return heard

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify.sock"), "WATCHDOG_USEC": "40000"}
        manager = ServiceManager.of(environment)
        assert manager.watchdog_s == 0.04

        async def scenario() -> None:
            stop, ready = asyncio.Event(), asyncio.Event()
            control = ControlClient(tmp_path / "control.sock")
            config = ServerConfig(http="127.0.0.1:0", control=str(tmp_path / "control.sock"))
            served: list[Serving] = []

            def opened(serving: Serving) -> None:
                served.append(serving)
                ready.set()

            slow = Slow("1", "onnx-float", "onnx", files["m"])
            running = asyncio.ensure_future(
                serve(config, {"m": slow}, ready=opened, stop=stop, manager=manager)
            )
            address = ""
            while not address:
                try:
                    loaded = await control.ask(Status())
                except ControlFault:
                    await asyncio.sleep(0.01)
                    continue
                assert isinstance(loaded, Loaded)
                assert loaded.state == "loading"
                address = loaded.http or ""
                await asyncio.sleep(0)
            status, headers, answer = await asyncio.to_thread(post, address, "m")
            assert status == 503
            assert headers["Retry-After"] == "1"
            assert "is being loaded" in str(answer["error"])
            assert await asyncio.to_thread(health, address) == 503
            assert not listen()
            Slow.gate.set()
            await ready.wait()
            assert (await asyncio.to_thread(post, address, "m"))[0] == 200
            assert await asyncio.to_thread(health, address) == 200
            async with asyncio.timeout(20):
                while listen().count("WATCHDOG=1") < 3:  # noqa: ASYNC110  # a socket, no event
                    await asyncio.sleep(0.01)
            stop.set()
            await running

        asyncio.run(asyncio.wait_for(scenario(), 60))
        assert heard[0] == "READY=1"
        assert listen()[-1] == "STOPPING=1" or "STOPPING=1" in heard


def health(address: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status
    finally:
        connection.close()
