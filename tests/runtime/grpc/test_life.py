"""The gRPC door's life: releases change under load, the server ends gracefully."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime.control import Done, Load, Loaded, Status, Switch

from tests.runtime import models
from tests.runtime.grpc.test_tritonclient_grpc import aio, tensor
from tests.runtime.serving.running import Running, serving, unpacked_variant


def grpc_address(server: Running) -> str:
    loaded = server.control.ask_blocking(Status())
    assert isinstance(loaded, Loaded)
    assert loaded.grpc is not None
    return loaded.grpc


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("releases")
    files = [models.linear_onnx(folder / f"{seed}.onnx", seed=seed) for seed in (0, 1)]
    return [
        unpacked_variant(folder / f"r{seed}", "onnx", [file], model="m", version=str(seed))
        for seed, file in enumerate(files)
    ]


def test_releases_are_swapped_under_load_without_one_failure(
    releases: list[Path], tmp_path: Path
) -> None:
    first = {"model": "m", "generation": "g0", "folder": str(releases[0])}
    x = np.ones((1, 4), np.float32)
    expected = [x @ w + b for w, b in (models.weights(seed) for seed in (0, 1))]

    async def ask(server: Running) -> dict[str, int]:
        seen: dict[str, int] = {}
        stopped = asyncio.Event()
        async with aio.InferenceServerClient(grpc_address(server)) as client:

            async def load() -> None:
                while not stopped.is_set():
                    result = await client.infer("m", [tensor("x", x)])
                    version = result.get_response().model_version
                    np.testing.assert_allclose(
                        result.as_numpy("y"), expected[int(version)], rtol=1e-4
                    )
                    seen[version] = seen.get(version, 0) + 1

            loads = [asyncio.create_task(load()) for _ in range(8)]
            for swap in range(1, 21):
                ask_server = server.control.ask_blocking
                folder = str(releases[swap % 2])
                reply = await asyncio.to_thread(ask_server, Load("m", f"g{swap}", folder))
                assert isinstance(reply, Done)
                reply = await asyncio.to_thread(ask_server, Switch("m", f"g{swap}", False))
                assert isinstance(reply, Done)
            stopped.set()
            await asyncio.gather(*loads)
        return seen

    with serving(tmp_path, [first], grpc="127.0.0.1:0") as server:
        seen = asyncio.run(ask(server))
    assert set(seen) == {"0", "1"}


def test_sigterm_answers_what_was_asked(releases: list[Path], tmp_path: Path) -> None:
    first = {"model": "m", "generation": "g0", "folder": str(releases[0])}
    x = np.ones((1, 4), np.float32)

    async def ask(server: Running) -> None:
        async with aio.InferenceServerClient(grpc_address(server)) as client:
            await client.infer("m", [tensor("x", x)])
            calls = [asyncio.create_task(client.infer("m", [tensor("x", x)])) for _ in range(50)]
            await asyncio.sleep(0)
            results = await asyncio.gather(*calls)
            server.process.send_signal(signal.SIGTERM)
            assert len(results) == 50
            # An idle connection is told, and does not hold the server up.
            await asyncio.to_thread(server.process.wait, 8)

    with serving(tmp_path, [first], grpc="127.0.0.1:0") as server:
        asyncio.run(ask(server))


def test_without_the_option_nothing_of_grpc_is_imported() -> None:
    code = (
        "import sys, edgewright_runtime.server;"
        "print([n for n in ('google.protobuf', 'hpack', 'grpc') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_door_imports_neither_grpcio_nor_what_the_server_must_not() -> None:
    code = (
        "import sys, edgewright_runtime.server, edgewright_runtime.serving.grpc.door;"
        "print([n for n in ('grpc', 'paho', 'tuf', 'cryptography', 'sqlite3', 'onnxruntime') "
        "if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
