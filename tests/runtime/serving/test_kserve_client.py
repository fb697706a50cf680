"""KServe's own client works against this server, in an environment of its own."""

import json
import subprocess
import venv
from pathlib import Path

import pytest

from tests.runtime import models
from tests.runtime.serving.running import serving_files

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
PACKAGE = "kserve==0.21.0"
SCRIPT = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def main(url):
    client = InferenceRESTClient(config=RESTConfig(protocol="v2", timeout=30))
    found = {
        "public": sorted(name for name in dir(InferenceRESTClient) if name[0] != "_"),
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model": await client.is_model_ready(url, "pair"),
        "nobody": await client.is_model_ready(url, "nobody"),
        "totals": [],
    }
    for binary in (False, True):
        inputs = [InferInput(name, [1, 4], "FP32") for name in "ab"]
        for each in inputs:
            each.set_data_from_numpy(np.arange(4, dtype=np.float32)[None], binary_data=binary)
        request = InferRequest(model_name="pair", infer_inputs=inputs, request_id="r-1")
        reply = await client.infer(url, request, model_name="pair")
        found["totals"].append(reply.outputs[0].as_numpy().tolist())
        assert reply.id == "r-1", reply.id
    await client.close()
    print(json.dumps(found))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kserve")
    venv.create(folder, with_pip=True)
    install: list[str | Path] = [
        folder / "bin/pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PACKAGE,
    ]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{PACKAGE} cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder / "bin/python"


def test_every_method_of_kserves_client_works(python: Path, tmp_path: Path) -> None:
    pair = models.two_by_two_onnx(tmp_path / "pair.onnx")
    with serving_files(tmp_path, {"pair": pair}) as server:
        done = subprocess.run(
            [python, "-c", SCRIPT, f"http://{server.http}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        # `explain` is of protocol version 1 only; the client itself refuses it for version 2.
        "public": [
            "close",
            "explain",
            "infer",
            "is_model_ready",
            "is_server_live",
            "is_server_ready",
        ],
        "live": True,
        "ready": True,
        "model": True,
        "nobody": False,
        "totals": [[[0.0, 2.0, 4.0, 6.0]]] * 2,
    }
