"""Streams of a model that keeps state: over every door, mixed in any order, and used wrongly."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton_http
from edgewright_runtime.client import Client, Step
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.tensors import from_raw, to_raw
from edgewright_runtime.errors import InvalidInput, ModelRejected, Overloaded
from edgewright_runtime.model_settings import ModelSettings, SequenceSettings, StateTensor
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, load_generation
from edgewright_runtime.serving.request_options import RequestOptions, SequenceStep
from edgewright_runtime.serving.scheduling.scheduler import Scheduler
from edgewright_runtime.serving.scheduling.sequences import Sequences
from edgewright_runtime.serving.served_model import ServedModel
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from tests.runtime import models
from tests.runtime.serving.running import Running, get, post, serving_files

STATES = (StateTensor(input="state", output="stateN"),)
SETTINGS = ModelSettings(sequence=SequenceSettings(states=STATES))
SETTINGS_FILE = """
[models.memory]
workers = 2

[models.memory.sequence]
states = [{ input = "state", output = "stateN" }]
limit = 64
"""


@dataclass(frozen=True)
class Doors:
    running: Running
    socket: Path

    @property
    def grpc(self) -> str:
        found = self.running.control.ask_blocking(Status())
        assert isinstance(found, Loaded)
        assert found.grpc is not None
        return found.grpc


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("sequences")
    path = models.recurrent_onnx(folder / "memory.onnx")
    plain = models.linear_onnx(folder / "plain.onnx")
    (folder / "settings.toml").write_text(SETTINGS_FILE)
    options = ["--model-settings", str(folder / "settings.toml"), "--grpc", "127.0.0.1:0"]
    options += ["--socket", str(folder / "infer.sock")]
    with serving_files(folder, {"memory": path, "plain": plain}, *options) as running:
        yield Doors(running, folder / "infer.sock")


def stream(seed: int, length: int = 6) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((length, 1, models.FEATURES)).astype(np.float32)


def alone(inputs: np.ndarray) -> list[np.ndarray]:
    """What y is after each input, by numpy."""
    state, found = np.zeros((1, models.CLASSES), np.float32), []
    for x in inputs:
        state = models.recurrent_step(x, state)
        found.append(2 * state)
    return found


def ask_http(doors: Doors, x: np.ndarray, step: Step) -> np.ndarray:
    tensor = triton_http.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    with triton_http.InferenceServerClient(doors.running.http) as client:
        found = client.infer(
            "memory", [tensor], sequence_id=step.id or 0, sequence_start=step.start,
            sequence_end=step.end,
        )  # fmt: skip  # what, then of which sequence
    y: np.ndarray = found.as_numpy("y")
    return y


def ask_grpc(doors: Doors, x: np.ndarray, step: Step) -> np.ndarray:
    grpc = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
    tensor = grpc.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    with grpc.InferenceServerClient(doors.grpc) as client:
        found = client.infer(
            "memory", [tensor], sequence_id=step.id or 0, sequence_start=step.start,
            sequence_end=step.end,
        )  # fmt: skip  # what, then of which sequence
    y: np.ndarray = found.as_numpy("y")
    return y


def ask_locally(doors: Doors, x: np.ndarray, step: Step) -> np.ndarray:
    with Client(doors.socket) as client:
        return np.asarray(client.model("memory").infer({"x": x}, sequence=step)["y"])


ASK: dict[str, Callable[[Doors, np.ndarray, Step], np.ndarray]] = {
    "http": ask_http,
    "grpc": ask_grpc,
    "local": ask_locally,
}


@pytest.mark.parametrize("door", sorted(ASK))
@pytest.mark.parametrize("name", [7, "a stream by name"])
def test_a_stream_remembers_from_its_start_to_its_end(
    door: str, name: int | str, doors: Doors
) -> None:
    ask, inputs = ASK[door], stream(1)
    for at, (x, expected) in enumerate(zip(inputs, alone(inputs), strict=True)):
        step = Step(name, start=at == 0, end=at == len(inputs) - 1)
        np.testing.assert_allclose(ask(doors, x, step), expected, rtol=1e-4, atol=1e-6)


def test_one_stream_may_come_through_all_doors(doors: Doors) -> None:
    inputs, ways = stream(2), ["http", "local", "grpc", "local", "http", "grpc"]
    for at, (x, expected, door) in enumerate(zip(inputs, alone(inputs), ways, strict=True)):
        found = ASK[door](doors, x, Step(8, start=at == 0, end=at == 5))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_start_begins_anew(doors: Doors) -> None:
    inputs = stream(3)
    for x in inputs:
        np.testing.assert_allclose(
            ask_http(doors, x, Step(9, start=True)), alone(x[None])[0], rtol=1e-4, atol=1e-6
        )


def test_streams_of_many_clients_do_not_touch_each_other(doors: Doors) -> None:
    wrong: list[int] = []

    def one(seed: int) -> None:
        inputs = stream(seed, 20)
        door = ("http", "local")[seed % 2]
        for at, (x, expected) in enumerate(zip(inputs, alone(inputs), strict=True)):
            found = ASK[door](doors, x, Step(seed, start=at == 0, end=at == 19))
            if not np.allclose(found, expected, rtol=1e-4, atol=1e-6):
                wrong.append(seed)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(100, 110)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_requests_that_say_no_stream_or_none_that_began_get_tritons_words(doors: Doors) -> None:
    x = stream(4)[0]
    with pytest.raises(InferenceServerException, match="must specify the START flag") as refused:
        ask_http(doors, x, Step(77))
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="non-zero or non-empty correlation ID"):
        ask_http(doors, x, Step(0))
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        ask_locally(doors, x, Step("unknown"))
    with Client(doors.socket) as client, pytest.raises(InvalidInput, match=r"keeps state"):
        client.model("memory").slot()


def test_callers_do_not_see_the_state_and_cannot_set_it(doors: Doors) -> None:
    def document(path: str) -> dict[str, list[dict[str, object]]]:
        status, body = doors.running.exchange(get(path))
        assert status == 200
        found: dict[str, list[dict[str, object]]] = json.loads(body)
        return found

    metadata = document("/v2/models/memory")
    assert [each["name"] for each in metadata["inputs"]] == ["x"]
    assert [each["name"] for each in metadata["outputs"]] == ["y"]
    config = json.dumps(document("/v2/models/memory/config"))
    assert '"sequence_batching"' in config
    assert '"max_sequence_idle_microseconds": 60000000' in config
    given_too = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]},
            {"name": "state", "datatype": "FP32", "shape": [1, 3], "data": [0, 0, 0]},
        ],
        "parameters": {"sequence_id": 5, "sequence_start": True, "sequence_end": True},
    }
    body = json.dumps(given_too).encode()
    status, answer = doors.running.exchange(post("/v2/models/memory/infer", body))
    assert status == 400
    assert b"the server carries it over itself" in answer


def test_other_models_take_no_notice_of_sequence_parameters(doors: Doors) -> None:
    tensor = triton_http.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 4), np.float32))
    with triton_http.InferenceServerClient(doors.running.http) as client:
        assert client.infer("plain", [tensor], sequence_id=3).as_numpy("y").shape == (1, 3)


# Beneath the doors.


def memory(folder: Path, name: str = "memory", state_size: int = 3) -> LoadedGeneration:
    path = models.recurrent_onnx(folder / f"{name}.onnx", state_size=state_size)
    return load_generation(
        name, Artifact("1", "onnx-float", "onnx", path), threads=1, settings=SETTINGS
    )


def served(*generations: LoadedGeneration) -> ServedModel:
    model = ServedModel("m", Scheduler("m", queue_limit=8, workers=1), SETTINGS)
    model.generations = {each.name: each for each in generations}
    model.active = generations[0]
    return model


def step_of(model: ServedModel, x: np.ndarray, step: SequenceStep) -> Attempt:
    inputs: dict[str, RawTensor] = {"x": to_raw(x, "FP32")}
    return model.infer_here(inputs, deadline_s=10, options=RequestOptions(sequence=step))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return served(memory(tmp_path_factory.mktemp("memory")))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=30))
def test_any_interleaving_of_streams_gives_what_each_alone_gives(
    kept: ServedModel, order: list[int]
) -> None:
    found: dict[int, list[np.ndarray]] = {name: [] for name in order}
    last = {name: at for at, name in enumerate(order)}
    for at, name in enumerate(order):
        x = stream(name, 30)[len(found[name])]
        step = SequenceStep(name, start=not found[name], end=last[name] == at)
        made = step_of(kept, x, step)
        assert made.outputs is not None
        found[name].append(from_raw(made.outputs["y"]))
    for name, each in found.items():
        expected = alone(stream(name, 30)[: len(each)])
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-6)
    assert kept.sequences is not None
    assert len(kept.sequences) == 0


def test_state_goes_over_to_a_release_that_takes_it_and_only_to_that(tmp_path: Path) -> None:
    old, same = memory(tmp_path, "old"), memory(tmp_path, "same")
    model, inputs = served(old, same), stream(5)
    expected = alone(inputs)
    step_of(model, inputs[0], SequenceStep(1, start=True))
    model.active = same
    made = step_of(model, inputs[1], SequenceStep(1))
    assert made.answered_by is same
    assert made.outputs is not None
    np.testing.assert_allclose(from_raw(made.outputs["y"]), expected[1], rtol=1e-4, atol=1e-6)
    model.active = memory(tmp_path, "other", state_size=5)
    refused = step_of(model, inputs[2], SequenceStep(1))
    assert isinstance(refused.error, InvalidInput)
    assert "began with another release" in str(refused.error)
    assert step_of(model, inputs[2], SequenceStep(1, start=True)).error is None


def test_a_stream_that_falls_silent_is_forgotten_and_there_is_a_limit() -> None:
    now = 0.0
    kept_s = SequenceSettings(states=STATES, idle_s=10, limit=2)
    sequences = Sequences("m", kept_s, lambda: now)
    sequences.admit(SequenceStep(1, start=True))
    sequences.admit(SequenceStep(2, start=True))
    with pytest.raises(Overloaded, match="2 sequences, its limit"):
        sequences.admit(SequenceStep(3, start=True))
    now = 6.0
    sequences.admit(SequenceStep(1))
    now = 11.0
    sequences.admit(SequenceStep(3, start=True))
    with pytest.raises(InvalidInput, match=r"sequence 2 .* must specify the START flag"):
        sequences.admit(SequenceStep(2))
    sequences.admit(SequenceStep(1, end=True))
    assert len(sequences) == 1


def test_a_step_that_was_not_run_is_as_if_it_had_not_been_asked() -> None:
    sequences = Sequences("m", SequenceSettings(states=STATES))
    _, _, undo = sequences.admit(SequenceStep(1, start=True))
    undo()
    assert len(sequences) == 0
    sequences.admit(SequenceStep(1, start=True))
    _, _, undo = sequences.admit(SequenceStep(1, end=True))
    assert len(sequences) == 0
    undo()
    sequences.admit(SequenceStep(1))


def test_settings_for_states_that_the_model_lacks_reject_it(tmp_path: Path) -> None:
    path = models.linear_onnx(tmp_path / "linear.onnx")
    with pytest.raises(ModelRejected, match="carry output 'stateN' over to input 'state'"):
        load_generation(
            "g", Artifact("1", "onnx-float", "onnx", path), threads=1, settings=SETTINGS
        )
