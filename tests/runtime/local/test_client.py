"""The client over every way to the server, across swaps, restarts and full queues."""

import array
import asyncio
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime.client import AsyncClient, Client
from edgewright_runtime.client.model import Way
from edgewright_runtime.control import Done, Load, Measure, Measured, Switch, Unload
from edgewright_runtime.errors import (
    InvalidInput,
    ModelUnknown,
    Overloaded,
    RuntimeFault,
    ServerGone,
)

from tests.runtime import models
from tests.runtime.local.conftest import Local
from tests.runtime.serving.running import Running, serving, unpacked_variant
from tests.simulators.waiting import wait_until

WAYS: list[Way] = ["eventfd", "socket", "inline"]
X = np.arange(8, dtype=np.float32).reshape(2, 4)


def expected(x: np.ndarray, seed: int = 0) -> np.ndarray:
    w, b = models.weights(seed)
    return np.asarray(x @ w + b)


def requests(running: Running, model: str, generation: str = "first") -> tuple[int, int]:
    reply = running.control.ask_blocking(Measure(model, generation))
    assert isinstance(reply, Measured)
    return reply.requests, reply.errors


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["linear", "openvino", "litert"])
def test_answers_are_the_models(local: Local, way: Way, model: str) -> None:
    with Client(local.path, way=way) as client:
        for batch in (1, 2, 1):
            found = client.model(model).infer({"x": X[:batch]})["y"]
            assert np.allclose(found, expected(X[:batch]), atol=1e-5)


@pytest.mark.parametrize("way", ["eventfd", "socket"])
@pytest.mark.parametrize("model", ["linear", "openvino"])
def test_a_slot_is_run_again_and_again_in_place(local: Local, way: Way, model: str) -> None:
    with Client(local.path, way=way) as client, client.model(model).slot(batch=2) as slot:
        y = slot.outputs["y"]
        for scale in (1, 2, -3):
            slot.inputs["x"][...] = X * scale
            slot.run()
            assert np.allclose(y, expected(X * scale), atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_integers_bools_and_halves_come_back(local: Local, way: Way) -> None:
    with Client(local.path, way=way) as client:
        for model, values in {
            "whole": np.array([[-(2**62), 5]], np.int64),
            "truth": np.array([[True, False]]),
            "half": np.array([[0.5, -2]], np.float16),
        }.items():
            for _ in range(3):
                found = client.model(model).infer({"x": values})["y"]
                assert found.dtype == values.dtype
                assert np.array_equal(found, values)


@pytest.mark.parametrize("way", WAYS)
def test_megabytes_go_every_way(local: Local, way: Way) -> None:
    values = np.random.default_rng(1).random((6, 1 << 18), np.float32)
    with Client(local.path, way=way) as client:
        assert np.array_equal(client.model("big").infer({"x": values})["y"], values)


@pytest.mark.parametrize("way", WAYS)
def test_outputs_may_have_sizes_that_depend_on_the_values(local: Local, way: Way) -> None:
    with Client(local.path, way=way) as client:
        model = client.model("found")
        if way == "inline":
            assert model.infer({"x": X})["y"].shape == (1, 2, 7)
            return
        with model.slot(batch=2, outputs={"y": (1, 2, 8)}) as slot:
            for zeros in (0, 3, 8, 1):
                x = np.ones(8, np.float32)
                x[:zeros] = 0
                slot.inputs["x"][...] = x.reshape(2, 4)
                slot.run()
                assert np.array_equal(slot.outputs["y"][0], np.nonzero(x.reshape(2, 4)))
        with model.slot(batch=2, outputs={"y": (1, 2, 3)}) as slot:
            slot.inputs["x"][...] = 1
            with pytest.raises(InvalidInput, match="do not hold"):
                slot.run()


def test_without_numpy_tensors_are_buffers(local: Local) -> None:
    with Client(local.path) as client:
        client.numpy = None
        model = client.model("linear")
        found = model.infer({"x": array.array("f", X.ravel().tolist())})["y"]
        assert isinstance(found, memoryview)
        assert np.allclose(list(found), expected(X).ravel())


def test_wrong_inputs_are_refused_by_name(local: Local) -> None:
    with Client(local.path) as client:
        model = client.model("linear")
        for inputs in ({"z": X}, {"x": X.astype(np.float64)}, {"x": X[:, :3]}, {"x": 4}):
            with pytest.raises(InvalidInput, match=r"x|z"):
                model.infer(inputs)
        with pytest.raises(InvalidInput):
            model.slot()
        with pytest.raises(ModelUnknown, match="nowhere"):
            client.model("nowhere")
        assert model.infer({"x": X})["y"].shape == (2, 3)


def test_requests_are_counted_like_any_others(local: Local) -> None:
    before = requests(local.running, "second")[0]
    for way in WAYS:
        with Client(local.path, way=way) as client:
            client.model("second").infer({"x": X[:, :4]})
    # Planning the outputs of a free batch ran zeros twice: they are requests too.
    wait_until(lambda: requests(local.running, "second") == (before + 5, 0), 10, "counts")


def test_tasks_infer_at_the_same_time(local: Local) -> None:
    async def ask() -> None:
        async with AsyncClient(local.path) as client:
            model = await client.model("linear")
            inputs = [X + number for number in range(20)]
            found = await asyncio.gather(*(model.infer({"x": x}) for x in inputs))
            for x, outputs in zip(inputs, found, strict=True):
                assert np.allclose(outputs["y"], expected(x), atol=1e-4)
            slot = await model.slot(batch=2)
            slot.inputs["x"][...] = X
            await slot.run()
            assert np.allclose(slot.outputs["y"], expected(X))
            await slot.close()

    asyncio.run(ask())


@pytest.mark.parametrize("way", WAYS)
def test_swaps_under_load_fail_no_request(
    variants: dict[str, Path], tmp_path: Path, way: Way
) -> None:
    path = tmp_path / "infer.sock"
    first = {"model": "m", "generation": "0", "folder": str(variants["linear"])}
    with serving(tmp_path, [first], socket=str(path)) as running:
        stop, errors, counts = threading.Event(), [], [0, 0]
        answers = [expected(X), expected(X, 1)]

        def load() -> None:
            try:
                with Client(path, way=way) as client:
                    model = client.model("m")
                    while not stop.is_set():
                        y = model.infer({"x": X})["y"]
                        which = [np.allclose(y, answer) for answer in answers]
                        assert any(which), y
                        counts[which.index(True)] += 1
            except RuntimeFault as error:
                errors.append(error)

        clients = [threading.Thread(target=load) for _ in range(2)]
        for client in clients:
            client.start()

        def more_than(count: int) -> bool:
            return bool(errors) or sum(counts) > count

        for number in range(1, 21):
            folder = variants["second" if number % 2 else "linear"]
            ask = running.control.ask_blocking
            assert ask(Load("m", str(number), str(folder))) == Done()
            assert ask(Switch("m", str(number), keep_previous=number % 3 == 0)) == Done()
            seen = sum(counts)
            wait_until(partial(more_than, seen + 20), 20, "more answers")
        stop.set()
        for client in clients:
            client.join()
        assert not errors
        assert min(counts) > 20


def test_on_probation_the_previous_release_answers_and_the_new_one_is_counted(
    variants: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "infer.sock"
    # The same signature, but 1/x: infinite for zeros, where the identity of it is not.
    steady = models.identity_onnx(tmp_path / "steady.onnx", 1, shape=["batch", 4])
    folder = unpacked_variant(tmp_path / "steady", "onnx", [steady], model="m", version="1.0")
    first = {"model": "m", "generation": "old", "folder": str(folder)}
    with serving(tmp_path, [first], socket=str(path)) as running, Client(path) as client:
        model = client.model("m")
        with model.slot(batch=1) as slot:
            slot.inputs["x"][...] = 0
            slot.run()
            ask = running.control.ask_blocking
            assert ask(Load("m", "new", str(variants["reciprocal"]))) == Done()
            assert ask(Switch("m", "new", keep_previous=True)) == Done()
            slot.run()
            assert np.array_equal(slot.outputs["y"], np.zeros((1, 4), np.float32))
            wait_until(lambda: requests(running, "m", "new") == (1, 1), 10, "counts")
            assert ask(Unload("m", "old")) == Done()
            assert ask(Unload("m", "new")) == Done()
            with pytest.raises(ModelUnknown):
                slot.run()
            assert ask(Load("m", "third", str(folder))) == Done()
            assert ask(Switch("m", "third", keep_previous=False)) == Done()
            slot.run()


def test_a_full_queue_refuses_at_once(variants: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "infer.sock"
    first = {"model": "m", "generation": "0", "folder": str(variants["linear"])}
    with serving(tmp_path, [first], socket=str(path), queue_limit=0) as _, Client(path) as client:
        model = client.model("m")
        slot = model.slot(batch=1, outputs={"y": (1, 3)})
        with pytest.raises(Overloaded, match="requests waiting"):
            slot.run()


@pytest.mark.parametrize("way", WAYS)
def test_a_restarted_server_is_found_again(
    variants: dict[str, Path], tmp_path: Path, way: Way
) -> None:
    path = tmp_path / "infer.sock"
    first = {"model": "m", "generation": "0", "folder": str(variants["linear"])}
    with serving(tmp_path, [first], socket=str(path)):
        client = Client(path, way=way, timeout_s=10)
        model = client.model("m")
        model.infer({"x": X})
        slot = model.slot(batch=2) if way != "inline" else None
    with pytest.raises(ServerGone, match=r"infer\.sock"):
        model.infer({"x": X})
    if slot is not None:
        with pytest.raises(ServerGone, match="open another"):
            slot.run()
    with serving(tmp_path, [first], socket=str(path)):
        assert np.allclose(model.infer({"x": X})["y"], expected(X), atol=1e-5)
        client.close()
