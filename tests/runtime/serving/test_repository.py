"""Load, switch, probation, drain: no request is lost, and a bad release answers nothing."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.raw_inference import raw_inference
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.session import Session
from edgewright_runtime.engine.tensors import Tensor, to_raw
from edgewright_runtime.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    ModelRejected,
    ModelUnknown,
    Overloaded,
)
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, attempt
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.scheduling.scheduler import Scheduler

from tests.runtime import models

T = TypeVar("T")
ONES: Mapping[str, RawTensor] = {"x": to_raw(np.ones((1, 4), np.float32), "FP32")}
ZEROS: Mapping[str, RawTensor] = {"x": to_raw(np.zeros((1, 4), np.float32), "FP32")}


class Gated:
    """A real session whose runs wait at a gate: a slow model whose slowness a test controls."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.signature = session.signature
        self.placement = session.placement
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.fails = False

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.entered.release()
        assert self.gate.wait(30)
        if self.fails:
            raise InferenceFailed("it broke")
        return self._session.run(inputs)

    def close(self) -> None:
        self._session.close()


def artifact(path: Path, version: str = "1") -> Artifact:
    return Artifact(version, "onnx-float", "onnx", path)


def run(scenario: Callable[[Repository], Awaitable[T]], *, queue_limit: int = 4) -> T:
    async def play() -> T:
        repository = Repository(threads=1, queue_limit=queue_limit, workers=1)
        try:
            return await asyncio.wait_for(scenario(repository), 30)
        finally:
            await repository.close()

    return asyncio.run(play())


async def infer(
    repository: Repository, inputs: Mapping[str, RawTensor], *, deadline_s: float = 30.0
) -> Attempt:
    found: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
    repository.model("m").infer(inputs, deadline_s=deadline_s, done=found.set_result)
    return await found


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    return models.linear_onnx(tmp_path / "linear.onnx")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return models.linear_onnx(tmp_path / "other.onnx", seed=1)


async def load(repository: Repository, name: str, path: Path, *, keep: bool | None = None) -> None:
    await repository.load("m", name, lambda: artifact(path, name))
    if keep is not None:
        await repository.switch("m", name, keep_previous=keep)


def test_a_loaded_generation_serves_only_after_the_switch(linear: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear)
        with pytest.raises(ModelUnknown, match="does not serve yet"):
            await infer(repository, ONES)
        await repository.switch("m", "one", keep_previous=True)
        assert (await infer(repository, ONES)).outputs is not None
        assert repository.model("m").role(repository.generation("m", "one")) == "active"

    run(scenario)


def test_loading_twice_is_one_load_and_unloading_twice_one_unload(linear: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        first = repository.generation("m", "one")
        await load(repository, "one", linear)
        assert repository.generation("m", "one") is first
        await repository.unload("m", "one")
        await repository.unload("m", "one")
        assert not repository.models

    run(scenario)


def test_a_model_that_does_not_load_changes_nothing(linear: Path, tmp_path: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(b"no model")
        with pytest.raises(ModelRejected):
            await load(repository, "two", broken)
        with pytest.raises(ModelUnknown):
            await repository.switch("m", "two", keep_previous=True)
        assert list(repository.model("m").generations) == ["one"]
        assert (await infer(repository, ONES)).answered_by.name == "one"

    run(scenario)


def test_a_switch_without_probation_frees_the_previous_one(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=False)
        assert list(repository.model("m").generations) == ["two"]

    run(scenario)


def test_a_switch_back_frees_the_one_that_failed_probation(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=True)
        await repository.switch("m", "one", keep_previous=False)
        assert list(repository.model("m").generations) == ["one"]
        assert (await infer(repository, ONES)).answered_by.name == "one"

    run(scenario)


def test_a_switch_asked_for_twice_keeps_its_fallback_and_its_figures(
    linear: Path, other: Path
) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=True)
        await infer(repository, ONES)
        await repository.switch("m", "two", keep_previous=True)
        assert repository.model("m").fallback is repository.generation("m", "one")
        assert repository.generation("m", "two").figures.requests == 1
        await repository.switch("m", "two", keep_previous=False)
        assert list(repository.model("m").generations) == ["two"]

    run(scenario)


def test_switching_back_to_the_fallback_may_keep_the_other_one(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=True)
        await repository.switch("m", "one", keep_previous=True)
        assert repository.model("m").fallback is repository.generation("m", "two")

    run(scenario)


def test_unloading_the_fallback_ends_probation(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=True)
        assert repository.model("m").fallback is not None
        await repository.unload("m", "one")
        assert repository.model("m").fallback is None
        assert (await infer(repository, ONES)).answered_by.name == "two"

    run(scenario)


def test_in_probation_the_previous_release_answers_what_the_new_one_fails(
    linear: Path, other: Path
) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=True)
        new = repository.generation("m", "two")
        broken = Gated(new.session)
        broken.gate.set()
        broken.fails = True
        new.session, new.infer = broken, raw_inference(broken)
        answer = await infer(repository, ONES)
        assert answer.error is None
        assert answer.outputs is not None
        assert answer.answered_by.name == "one"
        assert (new.figures.requests, new.figures.errors) == (1, 1)
        assert repository.generation("m", "one").figures.errors == 0
        assert repository.model("m").figures.errors == 0, "the caller got an answer"

    run(scenario)


def test_in_probation_infinities_are_errors_unless_the_previous_gives_them_too(
    tmp_path: Path,
) -> None:
    reciprocal = models.reciprocal_onnx(tmp_path / "r.onnx")
    identity = models.identity_onnx(tmp_path / "i.onnx", 1, shape=["batch", 4])

    async def scenario(repository: Repository) -> None:
        await load(repository, "good", identity, keep=False)
        await load(repository, "bad", reciprocal, keep=True)
        assert (await infer(repository, ONES)).answered_by.name == "bad"
        assert (await infer(repository, ZEROS)).answered_by.name == "good"
        figures = repository.generation("m", "bad").figures
        assert (figures.requests, figures.errors) == (2, 1)
        nan = {"x": to_raw(np.full((1, 4), np.nan, np.float32), "FP32")}
        assert (await infer(repository, nan)).answered_by.name == "bad"
        assert figures.errors == 1

    run(scenario)


def test_a_callers_mistake_is_no_error_of_the_release(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        await load(repository, "two", other, keep=True)
        answer = await infer(repository, {"x": to_raw(np.ones((1, 5), np.float32), "FP32")})
        assert isinstance(answer.error, InvalidInput)
        assert repository.generation("m", "two").figures.requests == 0
        assert repository.model("m").invalid == 1

    run(scenario)


def test_a_release_with_other_tensors_cannot_stand_in(tmp_path: Path, linear: Path) -> None:
    pair = models.two_by_two_onnx(tmp_path / "pair.onnx")

    async def scenario(repository: Repository) -> None:
        await load(repository, "one", pair, keep=False)
        await load(repository, "two", linear, keep=True)
        new = repository.generation("m", "two")
        new.session.close()
        assert isinstance((await infer(repository, ONES)).error, InferenceFailed)

    run(scenario)


def test_a_switch_under_load_waits_for_requests_in_flight_and_loses_none(
    linear: Path, other: Path
) -> None:
    async def scenario(repository: Repository) -> None:
        await load(repository, "one", linear, keep=False)
        old = repository.generation("m", "one")
        slow = Gated(old.session)
        old.session, old.infer = slow, raw_inference(slow)
        old.is_quick = lambda inputs: False  # type: ignore[method-assign]  # a slow model
        held = asyncio.ensure_future(infer(repository, ONES))
        await asyncio.to_thread(slow.entered.acquire)
        await load(repository, "two", other)
        switch = asyncio.ensure_future(repository.switch("m", "two", keep_previous=False))
        await asyncio.sleep(0)  # the switch itself is done in its first step
        assert (await infer(repository, ZEROS)).answered_by.name == "two"
        assert not switch.done(), "the old one still has requests"
        slow.gate.set()
        await switch
        answer = await held
        assert answer.answered_by.name == "one"
        assert answer.outputs is not None

    # Two workers: the new release must not wait behind the old one's gate.
    async def play() -> None:
        repository = Repository(threads=1, queue_limit=8, workers=2)
        try:
            await asyncio.wait_for(scenario(repository), 30)
        finally:
            await repository.close()

    asyncio.run(play())


def generation(path: Path) -> tuple[LoadedGeneration, Gated]:
    slow = Gated(artifact(path).open())
    return LoadedGeneration("g", artifact(path), slow, -1), slow


def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room(linear: Path) -> None:
    async def scenario() -> None:
        scheduler = Scheduler("m", queue_limit=2, workers=1)
        loaded, slow = generation(linear)
        answers: asyncio.Queue[Attempt] = asyncio.Queue()
        for _ in range(2):
            scheduler.submit(loaded, None, ONES, deadline_s=30, done=answers.put_nowait)
        with pytest.raises(Overloaded, match="2 requests waiting"):
            scheduler.submit(loaded, None, ONES, deadline_s=30, done=answers.put_nowait)
        slow.gate.set()
        first, second = await answers.get(), await answers.get()
        scheduler.submit(loaded, None, ONES, deadline_s=30, done=answers.put_nowait)
        third = await answers.get()
        assert [first.error, second.error, third.error] == [None, None, None]
        scheduler.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_request_that_waited_beyond_its_deadline_is_not_run(linear: Path) -> None:
    async def scenario() -> None:
        scheduler = Scheduler("m", queue_limit=4, workers=1)
        loaded, slow = generation(linear)
        answers: asyncio.Queue[Attempt] = asyncio.Queue()
        scheduler.submit(loaded, None, ONES, deadline_s=30, done=answers.put_nowait)
        scheduler.submit(loaded, None, ONES, deadline_s=0, done=answers.put_nowait)
        # Told at its deadline, while the other still runs.
        assert isinstance((await answers.get()).error, DeadlineExceeded)
        slow.gate.set()
        assert (await answers.get()).error is None
        scheduler.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_an_engine_that_raises_what_nobody_expects_fails_the_request_only(linear: Path) -> None:
    class Mad(Gated):
        def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            raise MemoryError("no room")

    async def scenario() -> None:
        scheduler = Scheduler("m", queue_limit=4, workers=1)
        loaded = LoadedGeneration("g", artifact(linear), Mad(artifact(linear).open()), -1)
        answers: asyncio.Queue[Attempt] = asyncio.Queue()
        scheduler.submit(loaded, None, ONES, deadline_s=30, done=answers.put_nowait)
        answer = await answers.get()
        assert "MemoryError" in str(answer.error)
        assert answer.active_failed
        scheduler.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_attempts_measure_the_engine(linear: Path) -> None:
    loaded, slow = generation(linear)
    slow.gate.set()
    found = attempt(loaded, None, ONES)
    assert 0 < found.engine_s < 5
    assert not found.active_failed
