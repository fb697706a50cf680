"""Scheduling as callers of a real server see it: fairness, batches, refusals, settings."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from edgewright_manifests.errors import DocumentError
from edgewright_runtime.model_settings import ModelSettings, read_model_settings, settings_of

from tests.runtime import models
from tests.runtime.serving.running import Running, get, post, read_reply, serving_files

SETTINGS_FILE = """
[models.slow]
batching = "off"
queue_limit = 40

[models.narrow]
queue_limit = 2
batching = "off"
priority_levels = 3

[models."*"]
max_batch = 16
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("scheduling")
    wide = models.wide_onnx(folder / "wide.onnx", width=2048)
    (folder / "settings.toml").write_text(SETTINGS_FILE)
    options = ["--model-settings", str(folder / "settings.toml")]
    served = dict.fromkeys(("slow", "narrow", "joined"), wide)
    with serving_files(folder, served, *options) as running:
        yield running


def request(model: str, *headers: str, **parameters: object) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 64], "data": [0.5] * 64}
    document = {"inputs": [tensor], "parameters": parameters}
    return post(f"/v2/models/{model}/infer", json.dumps(document).encode(), *headers)


def test_a_client_with_many_connections_does_not_starve_one_with_one(running: Running) -> None:
    answered, stop = [0], threading.Event()
    counting = threading.Lock()

    def greedy() -> None:
        asked = request("slow", "x-edgewright-client: greedy")
        with running.connect() as connection:
            while not stop.is_set():
                connection.sendall(asked)
                assert read_reply(connection)[0] == 200
                with counting:
                    answered[0] += 1

    threads = [threading.Thread(target=greedy) for _ in range(32)]
    for thread in threads:
        thread.start()
    overtaken = []
    try:
        asked = request("slow", "x-edgewright-client: modest")
        with running.connect() as connection:
            for _ in range(12):
                before = answered[0]
                connection.sendall(asked)
                assert read_reply(connection)[0] == 200
                overtaken.append(answered[0] - before)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    # One is running when it comes, and each round of turns has one of the greedy client; 32 in
    # the order of coming. This machine may be slow to tell the threads of their answers.
    assert sorted(overtaken)[len(overtaken) // 2] <= 10, overtaken


def test_waiting_requests_run_together_and_answer_as_if_alone(running: Running) -> None:
    status, body = running.exchange(request("joined"))
    assert status == 200
    expected = json.loads(body)["outputs"][0]["data"]

    def ask(_: int) -> list[float]:
        with running.connect() as connection:
            found: list[float] = []
            for _ in range(10):
                connection.sendall(request("joined"))
                status, body = read_reply(connection)
                assert status == 200
                found = json.loads(body)["outputs"][0]["data"]
                assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)
            return found

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    found = json.loads(running.exchange(get("/v2/models/joined/stats"))[1])["model_stats"][0]
    assert found["inference_count"] == 161
    assert found["execution_count"] < 130, found["batch_stats"]
    runs = {each["batch_size"]: each["compute_infer"]["count"] for each in found["batch_stats"]}
    assert sum(size * count for size, count in runs.items()) == 161
    assert sum(runs.values()) == found["execution_count"]
    metrics = running.exchange(get("/metrics"))[1].decode()
    assert 'edgewright_batch_requests_sum{model="joined"} 161' in metrics
    config = json.loads(running.exchange(get("/v2/models/joined/config"))[1])
    assert config["dynamic_batching"]["preferred_batch_size"][0] in (2, 4, 8, 16)
    assert config["parameters"]["batching"]["string_value"].startswith("up to ")


def test_a_full_queue_refuses_at_once_and_counts_by_priority(running: Running) -> None:
    asked = [request("narrow", priority=level) for level in (1, 2, 3)] * 8
    statuses: list[int] = []
    connections = [running.connect() for _ in asked]
    for connection, each in zip(connections, asked, strict=True):
        connection.sendall(each)
    for connection in connections:
        with connection:
            statuses.append(read_reply(connection)[0])
    assert set(statuses) == {200, 503}
    metrics = running.exchange(get("/metrics"))[1].decode()
    lines = [line for line in metrics.splitlines() if line.startswith("edgewright_refused_total")]
    assert any('model="narrow",priority="3"' in line for line in lines), lines
    refused = sum(int(line.rsplit(" ", 1)[1]) for line in lines if 'model="narrow"' in line)
    assert refused == statuses.count(503)


def test_a_time_out_in_microseconds_is_kept_while_others_run(running: Running) -> None:
    ahead = [running.connect() for _ in range(16)]
    for connection in ahead:
        connection.sendall(request("slow"))
    status, body = running.exchange(request("slow", timeout=1))
    assert status == 503
    assert b"waited for longer than its time-out" in body
    for connection in ahead:
        with connection:
            assert read_reply(connection)[0] == 200


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"priority": -1}, b"priority"),
        ({"priority": "high"}, b"priority"),
        ({"sequence_id": -4}, b"sequence_id"),
        ({"sequence_id": "n" * 200}, b"sequence_id"),
        ({"sequence_start": 1}, b"sequence_start"),
    ],
)
def test_parameters_that_are_none_are_refused(
    parameters: dict[str, object], problem: bytes, running: Running
) -> None:
    status, body = running.exchange(request("slow", **parameters))
    assert status == 400
    assert problem in body


def test_a_models_settings_are_shown(running: Running) -> None:
    config = json.loads(running.exchange(get("/v2/models/narrow/config"))[1])
    shown = json.loads(config["parameters"]["settings"]["string_value"])
    assert shown["queue_limit"] == 2
    assert config["parameters"]["batching"]["string_value"] == "up to 1: switched off"
    assert "dynamic_batching" not in config


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_settings_are_a_models_own_or_those_of_all_others(tmp_path: Path) -> None:
    found = read_model_settings(settings_file(tmp_path, SETTINGS_FILE))
    assert settings_of("narrow", found).queue_limit == 2
    assert settings_of("narrow", found).max_batch == 32
    assert settings_of("other", found).max_batch == 16
    assert settings_of("other", {}) == ModelSettings()
    assert ModelSettings().usual_priority == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[models.m]\nqueue_limt = 3", "did you mean `queue_limit`"),
        ("[models.m]\nqueue_limit = 0", ">= 1"),
        ("[models.m]\nbatching = 'on'", "batching"),
        ("[models.m]\npriority_levels = 2\ndefault_priority = 3", "none of the levels 1 to 2"),
        ("[models.m.sequence]\nstates = []", "length >= 1"),
        ("[model.m]\nworkers = 2", "did you mean `models`"),
        ("models = 1", "models"),
    ],
)
def test_settings_with_a_mistake_are_refused_with_its_place(
    text: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DocumentError) as refused:
        read_model_settings(settings_file(tmp_path, text))
    assert problem in str(refused.value)
