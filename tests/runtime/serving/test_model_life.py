"""Memory budget, unload-first, shadow, A/B split and isolation: what a repository promises."""

import asyncio
import mmap
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.isolation.session import CRASH_LIMIT, IsolatedSession
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.engine.tensors import to_raw
from edgewright_runtime.errors import (
    EngineDown,
    InferenceFailed,
    InvalidInput,
    MemoryShort,
    ModelLoading,
    ModelRejected,
)
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.generation import Attempt
from edgewright_runtime.serving.models.budget import Held, victims
from edgewright_runtime.serving.models.footprints import Footprint, Footprints
from edgewright_runtime.serving.models.memory import available_bytes, measured
from edgewright_runtime.serving.models.policy import MemoryPolicy
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.request_options import RequestOptions

from tests.runtime import models

MB = 1 << 20
ONES: Mapping[str, RawTensor] = {"x": to_raw(np.ones((1, 4), np.float32), "FP32")}


class Remembered(Footprints):
    """Footprints that were measured before: 10 MB each, whatever is measured now."""

    def of(self, artifact: Artifact) -> Footprint:
        return Footprint(peak_bytes=30 * MB, kept_bytes=10 * MB, load_s=2.0)


def run(
    scenario: Callable[[Repository], Awaitable[None]],
    *,
    memory: MemoryPolicy | None = None,
    settings: Mapping[str, ModelSettings] | None = None,
) -> None:
    async def play() -> None:
        repository = Repository(
            threads=1, queue_limit=8, workers=1, settings=settings, memory=memory
        )
        try:
            await asyncio.wait_for(scenario(repository), 60)
        finally:
            await repository.close()

    asyncio.run(play())


def found(path: Path, version: str = "1") -> Callable[[], Artifact]:
    return lambda: Artifact(version, "onnx-float", "onnx", path)


async def serve(repository: Repository, model: str, path: Path, name: str = "one") -> None:
    await repository.load(model, name, found(path, name))
    await repository.switch(model, name, keep_previous=False)


async def infer(
    repository: Repository, model: str = "m", options: RequestOptions | None = None
) -> Attempt:
    answer: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
    repository.model(model).infer(
        ONES, deadline_s=30, done=answer.set_result, options=options or RequestOptions()
    )
    return await answer


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    return models.linear_onnx(tmp_path / "linear.onnx")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return models.linear_onnx(tmp_path / "other.onnx", seed=1)


def weigh(repository: Repository, size: int) -> None:
    """What was really measured is a few KB: let every model count as `size`."""
    for served in repository.models.values():
        for generation in served.generations.values():
            generation.kept_bytes = size


def test_the_least_recently_used_model_goes_and_comes_back_when_it_is_asked_for(
    linear: Path,
) -> None:
    async def scenario(repository: Repository) -> None:
        for model in ("a", "b"):
            await serve(repository, model, linear)
            weigh(repository, 10 * MB)
        await infer(repository, "a")  # so b is the one that was not used for longest
        await serve(repository, "c", linear)
        assert sorted(repository.models) == ["a", "c"]
        weigh(repository, 10 * MB)
        with pytest.raises(ModelLoading, match="memory budget") as caught:
            repository.model("b")
        assert caught.value.wake is not None
        assert not repository.waiting(), "an evicted model does not make the server unready"
        await caught.value.wake()
        assert (await infer(repository, "b")).outputs is not None
        assert len(repository.models) == 2

    run(scenario, memory=MemoryPolicy(budget_bytes=25 * MB, footprints=Remembered()))


def test_an_unloaded_models_next_release_may_take_its_place(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        for model in ("a", "b"):
            await serve(repository, model, linear)
            weigh(repository, 10 * MB)
        assert sorted(repository.models) == ["b"]
        await repository.load("a", "two", found(other, "two"))
        with pytest.raises(ModelLoading):
            repository.model("a")  # until it is switched on
        await repository.switch("a", "two", keep_previous=False)
        await repository.unload("a", "one")
        assert (await infer(repository, "a")).answered_by.name == "two"

    run(scenario, memory=MemoryPolicy(budget_bytes=15 * MB, footprints=Remembered()))


def test_a_pinned_model_stays_and_what_does_not_fit_beside_it_is_refused(linear: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await serve(repository, "a", linear)
        weigh(repository, 10 * MB)
        with pytest.raises(MemoryShort, match="memory budget of 15 MB"):
            await repository.load("b", "one", found(linear))
        assert (await infer(repository, "a")).outputs is not None

    policy = MemoryPolicy(budget_bytes=15 * MB, footprints=Remembered())
    run(scenario, memory=policy, settings={"a": ModelSettings(pinned=True)})


def test_where_two_do_not_fit_the_first_goes_first_and_it_is_said(
    linear: Path, other: Path
) -> None:
    available = [1000 * MB]

    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        available[0] = 20 * MB
        with pytest.raises(MemoryShort, match="would have to be unloaded first"):
            await repository.load("m", "two", found(other, "two"), may_unload=False)
        assert (await infer(repository)).answered_by.name == "one"
        loading = asyncio.ensure_future(repository.load("m", "two", found(other, "two")))
        refused = 0
        while not loading.done():
            try:
                await infer(repository)
            except ModelLoading as error:
                assert error.retry_after_s >= 1.0
                refused += 1
            await asyncio.sleep(0)
        notice = await loading
        assert refused
        assert notice is not None
        assert "30 MB (measured), 20 MB are available; no answers for about 2.0 s" in notice
        assert repository.notices["m"] == notice
        # It serves already; the agent's switch changes nothing.
        assert (await infer(repository)).answered_by.name == "two"
        await repository.switch("m", "two", keep_previous=True)
        assert list(repository.model("m").generations) == ["two"]

    run(scenario, memory=MemoryPolicy(footprints=Remembered(), available=lambda: available[0]))


def test_when_the_next_does_not_load_the_one_that_went_first_comes_back(
    linear: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    available = [1000 * MB]

    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        available[0] = 20 * MB
        with pytest.raises(ModelRejected):
            await repository.load("m", "two", found(broken))
        assert (await infer(repository)).answered_by.name == "one"

    run(scenario, memory=MemoryPolicy(footprints=Remembered(), available=lambda: available[0]))


def test_a_load_is_measured_and_remembered_over_restarts(linear: Path, tmp_path: Path) -> None:
    path = tmp_path / "footprints.json"

    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)

    run(scenario, memory=MemoryPolicy(footprints=Footprints(path)))
    again = Footprints(path).of(found(linear)())
    assert again.measured
    assert again.peak_bytes >= again.kept_bytes
    path.write_bytes(b"{")
    assert not Footprints(path).of(found(linear)()).measured


def test_growth_is_measured_by_the_kernel() -> None:
    with measured() as growth, mmap.mmap(-1, 64 * MB) as large:
        for _ in range(64):
            large.write(bytes(MB))
    assert growth.peak is not None
    assert growth.kept is not None
    assert growth.peak >= 60 * MB
    assert growth.kept < 32 * MB


def test_the_smallest_limit_of_machine_and_groups_counts(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    204800 kB\n")
    assert available_bytes(tmp_path) == 200 * MB
    (tmp_path / "proc/self/cgroup").write_text("0::/device.slice/runtime.service\n")
    group = tmp_path / "sys/fs/cgroup/device.slice"
    (group / "runtime.service").mkdir(parents=True)
    for folder, limit in ((group, str(100 * MB)), (group / "runtime.service", "max")):
        (folder / "memory.max").write_text(limit + "\n")
        (folder / "memory.current").write_text(f"{60 * MB}\n")
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {10 * MB}\n")
    assert available_bytes(tmp_path) == 50 * MB
    assert available_bytes(tmp_path / "nowhere") is None


def test_victims_are_the_least_recently_used_and_never_too_many() -> None:
    held = [Held("a", 10, 3.0, True), Held("b", 10, 1.0, True), Held("c", 10, 2.0, False)]
    assert victims(held, 10, 40) == []
    assert victims(held, 10, 30) == ["b"]
    assert victims(held, 10, 20) == ["b", "a"]
    assert victims(held, 11, 20) is None


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # another thread makes it so
            await asyncio.sleep(0.005)


def test_a_shadow_answers_nobody_and_its_disagreement_is_measured(
    linear: Path, other: Path
) -> None:
    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        await repository.shade("m", found(other, "2"), 1.0)
        shadow = repository.model("m").shadow
        assert shadow is not None
        for _ in range(10):
            assert (await infer(repository)).answered_by.name == "one"
        await until(lambda: shadow.disagreement.compared + shadow.dropped == 10)
        assert shadow.disagreement.compared > 0
        assert shadow.disagreement.largest_error > 0
        assert shadow.disagreement.snr_db is not None
        assert repository.model("m").role(shadow.generation) == "shadow"
        assert shadow.generation.figures.latencies.count == shadow.disagreement.compared
        await repository.shade("m", None, 1.0)
        assert list(repository.model("m").generations) == ["one"]

    run(scenario)


def test_a_shadow_that_is_the_same_agrees_and_gets_its_share_only(linear: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        await repository.shade("m", found(linear, "2"), 0.25)
        shadow = repository.model("m").shadow
        assert shadow is not None
        for _ in range(40):
            await infer(repository)
        await until(lambda: shadow.disagreement.compared + shadow.dropped == 10)
        assert shadow.disagreement.top1_agreement == 1.0
        assert shadow.disagreement.largest_error == 0.0
        assert shadow.disagreement.snr_db is None

    run(scenario)


def test_a_key_is_always_answered_by_the_same_release(linear: Path, other: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        await repository.divide("m", found(other, "2"), 0.3)

        async def version(key: str | None) -> str:
            attempt = await infer(repository, options=RequestOptions(key=key))
            return attempt.answered_by.artifact.version

        first = [await version(f"user-{number}") for number in range(400)]
        assert first == [await version(f"user-{number}") for number in range(400)]
        # 400 keys, 30 %: five standard deviations are 46.
        assert 74 < first.count("2") < 166
        assert await version(None) == "one"
        split = repository.model("m").split
        assert split is not None
        assert split.generation.figures.requests == 2 * first.count("2")
        await repository.divide("m", None, 0.3)
        assert {await version(f"user-{number}") for number in range(400)} == {"one"}

    run(scenario)


def test_a_second_release_must_take_and_give_the_same(linear: Path, tmp_path: Path) -> None:
    strange = models.reciprocal_onnx(tmp_path / "reciprocal.onnx")

    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        for change in (repository.shade, repository.divide):
            with pytest.raises(InvalidInput, match="other inputs or outputs"):
                await change("m", found(strange), 0.5)
            with pytest.raises(InvalidInput, match="give more than 0"):
                await change("m", found(linear), 0.0)
        assert list(repository.model("m").generations) == ["one"]

    run(scenario)


def crash(session: IsolatedSession) -> None:
    assert session.pid is not None
    os.kill(session.pid, signal.SIGSEGV)


def test_a_crash_costs_one_request_and_the_process_comes_back(linear: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        await serve(repository, "plain", linear)
        session = repository.model("m").serving().session
        assert isinstance(session, IsolatedSession)
        mine, its = await infer(repository), await infer(repository, "plain")
        assert mine.outputs is not None
        assert its.outputs is not None
        assert mine.outputs["y"].data == its.outputs["y"].data
        crash(session)
        failed = await infer(repository)
        assert type(failed.error) is InferenceFailed
        assert "was ended by SIGSEGV; it is started again" in str(failed.error)
        async with asyncio.timeout(20):
            while (await infer(repository)).error is not None:  # noqa: ASYNC110  # a process starts
                await asyncio.sleep(0.02)
        assert (await infer(repository, "plain")).error is None
        assert not repository.waiting()

    run(scenario, settings={"m": ModelSettings(isolation="process")})


def test_what_crashes_again_and_again_stays_down_with_the_reason(linear: Path) -> None:
    async def scenario(repository: Repository) -> None:
        await serve(repository, "m", linear)
        generation = repository.model("m").serving()
        session = generation.session
        assert isinstance(session, IsolatedSession)
        async with asyncio.timeout(50):
            while session.problem is None:
                if session.pid is not None:
                    crash(session)
                await infer(repository)
                await asyncio.sleep(0.02)
        assert session.crashes == CRASH_LIMIT
        attempt = await infer(repository)
        assert isinstance(attempt.error, EngineDown)
        assert "SIGSEGV, 5 times in a row" in str(attempt.error)
        assert generation.problem == session.problem
        assert repository.waiting() == ["m"]

    run(scenario, settings={"m": ModelSettings(isolation="process")})


def test_an_isolated_model_checks_its_inputs_and_takes_larger_ones_than_before(
    tmp_path: Path,
) -> None:
    path = models.identity_onnx(tmp_path / "identity.onnx", 1)
    session = IsolatedSession("onnx", path, threads=1)
    try:
        for batch in (1, 70_000, 3):
            x = np.random.default_rng(batch).random((batch, 2), np.float32)
            assert np.array_equal(session.run({"x": x})["y"], x)
        with pytest.raises(InvalidInput):
            session.infer({"z": ONES["x"]})
    finally:
        session.close()
    with pytest.raises(InferenceFailed, match="unloaded"):
        session.run({"x": np.zeros((1, 2), np.float32)})


def test_an_isolated_model_survives_strings_that_are_too_long_for_it(tmp_path: Path) -> None:
    path = models.identity_onnx(tmp_path / "identity.onnx", 8)  # strings
    session = IsolatedSession("onnx", path, threads=1)
    pid = session.pid
    try:
        for length in (1, 200_000, 1_000_000, 2):
            given = {"x": RawTensor("BYTES", (1, 2), elements=[b"a" * length, b"b"])}
            if length < 1000:
                assert session.infer(given)["y"].elements == given["x"].elements
                continue
            with pytest.raises(InvalidInput, match="fewer or shorter strings"):
                session.infer(given)
        assert (session.pid, session.crashes) == (pid, 0)
    finally:
        session.close()


def test_an_isolated_model_that_does_not_load_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(ModelRejected, match="onnxruntime refuses it"):
        IsolatedSession("onnx", broken, threads=1)


def test_the_child_ends_with_its_session(linear: Path) -> None:
    session = IsolatedSession("onnx", linear, threads=1)
    pid = session.pid
    session.close()
    ends = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < ends, "the child lives on"
        time.sleep(0.01)
