"""Whose turn it is: priority, fairness between clients, room, deadlines, and batches."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.raw_inference import raw_inference
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.session import Session
from edgewright_runtime.engine.tensors import Tensor, from_raw, to_raw
from edgewright_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceFailed,
    InvalidInput,
    Overloaded,
)
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.batching import UNBATCHED, BatchPlan, plan_batches
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration, load_generation
from edgewright_runtime.serving.scheduling.fair_queue import FairQueue
from edgewright_runtime.serving.scheduling.gathering import Gathering
from edgewright_runtime.serving.scheduling.scheduler import Scheduler
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime import models

PAYS = BatchPlan(8, {}, "said so")


class Recorded:
    """A real session that waits at a gate and remembers what it was given."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.signature = session.signature
        self.placement = session.placement
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.seen: list[list[float]] = []
        self.fails_above = 1 << 30

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.entered.release()
        assert self.gate.wait(30)
        self.seen.append([float(row[0]) for row in inputs["x"]])
        if len(inputs["x"]) > self.fails_above:
            raise InferenceFailed("too many at once")
        return self._session.run(inputs)

    def close(self) -> None:
        self._session.close()


def x(number: float, rows: int = 1) -> dict[str, RawTensor]:
    return {"x": to_raw(np.full((rows, models.FEATURES), number, np.float32), "FP32")}


def expected(number: float) -> np.ndarray:
    w, b = models.weights()
    found: np.ndarray = np.full((1, models.FEATURES), number, np.float32) @ w + b
    return found


async def reached(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        await asyncio.sleep(0.002)


@dataclass
class Bench:
    """A scheduler whose engine is held: what is asked now waits until `let_go`."""

    scheduler: Scheduler
    loaded: LoadedGeneration
    engine: Recorded
    answers: dict[float, Attempt]
    asked: int = 0

    def ask(
        self,
        number: float,
        client: Hashable = None,
        *,
        priority: int = 0,
        deadline_s: float = 30,
        inputs: Mapping[str, RawTensor] | None = None,
    ) -> Callable[[], object] | None:
        def done(made: Attempt) -> None:
            self.answers[number] = made

        self.asked += 1
        try:
            return self.scheduler.submit(
                self.loaded, None, inputs or x(number), deadline_s=deadline_s, done=done,
                priority=priority, client=client,
            )  # fmt: skip  # what, then when
        except Overloaded:
            self.asked -= 1
            raise

    async def until(self, count: int) -> None:
        await reached(lambda: len(self.answers) >= count)

    async def let_go(self) -> list[float]:
        """The order in which the engine took what waited."""
        self.engine.gate.set()
        await self.until(self.asked)
        return [number for batch in self.engine.seen for number in batch][1:]


def play(
    folder: Path,
    scenario: Callable[[Bench], Awaitable[None]],
    *,
    queue_limit: int = 64,
    batch: BatchPlan = UNBATCHED,
) -> None:
    async def whole() -> None:
        path = models.linear_onnx(folder / "linear.onnx")
        artifact = Artifact("1", "onnx-float", "onnx", path)
        engine = Recorded(artifact.open())
        loaded = LoadedGeneration("g", artifact, engine, -1, batch=batch)
        scheduler = Scheduler("m", queue_limit=queue_limit, workers=1)
        bench = Bench(scheduler, loaded, engine, {})
        bench.ask(0.0, "first")
        assert await asyncio.to_thread(engine.entered.acquire, timeout=30)
        try:
            await scenario(bench)
        finally:
            engine.gate.set()
            await bench.until(bench.asked)
            scheduler.close()
        assert scheduler.waiting == 0

    asyncio.run(whole())


def test_urgent_requests_go_first_and_equals_in_the_order_they_came(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number, priority in ((1, 5), (2, 0), (3, 1), (4, 99), (5, 1)):
            bench.ask(number, priority=priority)
        # 0 and levels that are not there are the usual one, the middle of five.
        assert await bench.let_go() == [3, 5, 2, 4, 1]

    play(tmp_path, scenario)


def test_a_client_with_many_requests_takes_turns_with_one_that_has_one(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(1, 11):
            bench.ask(number, "greedy")
        bench.ask(20, "modest")
        bench.ask(30, "third")
        order = await bench.let_go()
        assert order[:3] == [1, 20, 30]
        assert order[3:] == list(range(2, 11))

    play(tmp_path, scenario)


def test_a_full_queue_makes_room_for_another_client_at_the_greedy_ones_expense(
    tmp_path: Path,
) -> None:
    async def scenario(bench: Bench) -> None:
        for number in (1, 2, 3):
            bench.ask(number, "greedy")
        with pytest.raises(Overloaded):
            bench.ask(4, "greedy")
        bench.ask(20, "modest")
        await bench.until(1)
        assert isinstance(bench.answers[3].error, Overloaded)
        assert "gave way" in str(bench.answers[3].error)
        bench.ask(40, "urgent", priority=1)
        with pytest.raises(Overloaded):
            bench.ask(50, "modest", priority=5)
        assert await bench.let_go() == [40, 1, 20]
        assert sum(bench.scheduler.refused.values()) == 4

    play(tmp_path, scenario, queue_limit=4)


def test_a_deadline_is_kept_while_the_engine_is_busy(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.ask(1)
        bench.ask(2, deadline_s=0.02)
        bench.ask(3, deadline_s=0.01)
        await bench.until(2)  # the gate is still shut
        assert isinstance(bench.answers[2].error, DeadlineExceeded)
        assert isinstance(bench.answers[3].error, DeadlineExceeded)
        assert bench.scheduler.refused[3] == 2
        assert await bench.let_go() == [1]

    play(tmp_path, scenario)


def test_what_is_taken_back_is_not_run(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.ask(1)
        cancel = bench.ask(2)
        bench.ask(3)
        assert cancel is not None
        cancel()
        assert await bench.let_go() == [1, 3]
        assert isinstance(bench.answers[2].error, Cancelled)
        cancel()  # too late, and harmless

    play(tmp_path, scenario)


def test_a_doors_thread_waits_in_the_same_line(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        order: list[str] = []

        def door(client: str, priority: int) -> None:
            bench.scheduler.enter(30, client=client, priority=priority)
            order.append(client)
            bench.scheduler.leave()

        bench.ask(1, "loop", priority=2)
        late = asyncio.to_thread(door, "late", 5)
        early = asyncio.to_thread(door, "early", 1)
        tasks = [asyncio.create_task(late), asyncio.create_task(early)]
        await reached(lambda: bench.scheduler.waiting == 4)
        with pytest.raises(DeadlineExceeded):
            await asyncio.to_thread(bench.scheduler.enter, 0.01)
        await bench.let_go()
        await asyncio.gather(*tasks)
        assert order == ["early", "late"]

    play(tmp_path, scenario)


def test_what_waits_runs_together_where_batches_pay(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(1, 6):
            bench.ask(number, number)
        bench.ask(6, inputs=x(6, rows=2))
        bench.ask(7, inputs=x(7, rows=8))
        await bench.let_go()
        assert [len(batch) for batch in bench.engine.seen] == [1, 7, 8]
        for number in range(1, 6):
            made = bench.answers[number]
            assert made.outputs is not None
            np.testing.assert_allclose(from_raw(made.outputs["y"]), expected(number), rtol=1e-5)
            assert made.batch == 6
        assert sum(bench.answers[number].executions for number in range(1, 7)) == 1

    play(tmp_path, scenario, batch=PAYS)


def test_nothing_runs_together_where_batches_do_not_pay(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(1, 4):
            bench.ask(number)
        await bench.let_go()
        assert [len(batch) for batch in bench.engine.seen] == [1, 1, 1, 1]

    play(tmp_path, scenario)


def test_a_bad_request_is_refused_before_it_joins(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bad = {"x": to_raw(np.ones((1, models.FEATURES), np.float64), "FP64")}
        short = {"x": RawTensor("FP32", (1, models.FEATURES), b"1234")}
        bench.ask(1, "a")
        bench.ask(2, "b", inputs=bad)
        bench.ask(3, "c", inputs=short)
        bench.ask(4, "d")
        await bench.let_go()
        assert bench.engine.seen[:2] == [[0], [1, 4]]
        assert isinstance(bench.answers[2].error, InvalidInput)
        assert isinstance(bench.answers[3].error, InvalidInput)
        assert bench.answers[1].error is None
        assert bench.answers[4].error is None

    play(tmp_path, scenario, batch=PAYS)


def test_a_batch_that_fails_is_tried_one_by_one(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.engine.fails_above = 1
        for number in (1, 2, 3):
            bench.ask(number)
        assert await bench.let_go() == [1, 2, 3, 1, 2, 3]
        assert [bench.answers[number].error for number in (1, 2, 3)] == [None] * 3

    play(tmp_path, scenario, batch=PAYS)


def test_quick_requests_of_one_turn_of_the_loop_run_together(tmp_path: Path) -> None:
    path = models.linear_onnx(tmp_path / "linear.onnx")
    artifact = Artifact("1", "onnx-float", "onnx", path)

    async def scenario() -> None:
        engine = Recorded(artifact.open())
        engine.gate.set()
        loaded = LoadedGeneration("g", artifact, engine, 1 << 20, batch=PAYS)
        scheduler = Scheduler("m", queue_limit=4, workers=1)
        answers: list[Attempt] = []
        for number in range(10):
            scheduler.submit(loaded, None, x(number), deadline_s=1, done=answers.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(batch) for batch in engine.seen] == [8, 2]
        for number, made in enumerate(answers):
            assert made.outputs is not None
            np.testing.assert_allclose(from_raw(made.outputs["y"]), expected(number), rtol=1e-5)
        scheduler.close()

    asyncio.run(scenario())


def test_a_lone_client_does_not_wait_for_others_that_never_come(tmp_path: Path) -> None:
    path = models.linear_onnx(tmp_path / "linear.onnx")
    artifact = Artifact("1", "onnx-float", "onnx", path)

    async def scenario() -> None:
        loaded = LoadedGeneration("g", artifact, artifact.open(), 1 << 20, batch=PAYS)
        gathering, at_once = Gathering(), 0
        for number in range(100):
            answers: list[Attempt] = []
            gathering.add(loaded, x(number), answers.append)
            at_once += len(answers)
            await asyncio.sleep(0)
            assert len(answers) == 1
        assert at_once > 80
        answers = []
        for number in range(40):  # now they come, and are soon taken together
            gathering.add(loaded, x(number), answers.append)
        await asyncio.sleep(0)
        assert len(answers) == 40
        assert max(made.batch for made in answers) == 8

    asyncio.run(scenario())


def test_loading_measures_that_a_wide_models_batches_pay(tmp_path: Path) -> None:
    path = models.wide_onnx(tmp_path / "wide.onnx")
    artifact = Artifact("1", "onnx-float", "onnx", path)
    loaded = load_generation("g", artifact, threads=1)
    # Its time is that of reading 4 MB of weights, once for all items of a batch.
    assert loaded.batch.max_items >= 4, loaded.batch
    off = load_generation("g", artifact, threads=1, settings=ModelSettings(batching="off"))
    assert off.batch.max_items == 1
    few = load_generation("g", artifact, threads=1, settings=ModelSettings(max_batch=2))
    assert few.batch.max_items <= 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (models.cumulative_onnx, "influence each other"),
        (models.nonzero_onnx, "not free in every tensor"),
        (models.recurrent_onnx, "not free in every tensor"),
    ],
)
def test_models_whose_items_are_no_strangers_are_never_batched(
    make: Callable[[Path], Path], reason: str, tmp_path: Path
) -> None:
    session = Artifact("1", "onnx-float", "onnx", make(tmp_path / "model.onnx")).open()
    plan = plan_batches(raw_inference(session), session.signature, 32)
    assert plan.max_items == 1
    assert reason in plan.reason


@dataclass(eq=False)
class Waiting:
    priority: int
    client: Hashable
    number: int


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from("abc"), st.booleans()), max_size=40))
def test_the_queue_loses_nobody_and_keeps_each_clients_order(
    steps: list[tuple[int, str, bool]],
) -> None:
    queue: FairQueue[Waiting] = FairQueue()
    pushed, popped = [], []
    for number, (priority, client, takes) in enumerate(steps):
        request = Waiting(priority, client, number)
        queue.push(request)
        pushed.append(request)
        if takes and (found := queue.pop()) is not None:
            popped.append(found)
            assert all(other.priority >= found.priority for other in queue)
    while (found := queue.pop()) is not None:
        popped.append(found)
    assert len(queue) == 0
    assert {id(each) for each in popped} == {id(each) for each in pushed}
    for key in {(each.priority, each.client) for each in pushed}:
        numbers = [each.number for each in popped if (each.priority, each.client) == key]
        assert numbers == sorted(numbers)
