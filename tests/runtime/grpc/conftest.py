"""One serving process with its HTTP and gRPC doors, that many tests ask."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from edgewright_runtime.control import Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.session import Session
from onnx import TensorProto, helper, numpy_helper

from tests.runtime import models
from tests.runtime.serving.conftest import TYPES
from tests.runtime.serving.running import DEADLINE_S, serving_files, wait_for

SLOW_STEPS = 30
"""Products of two 512 x 512 matrices: some 100 ms together."""


@dataclass(frozen=True)
class TwoDoors:
    """A server that answers over HTTP and gRPC, and its model files."""

    process: subprocess.Popen[str]
    http: str
    grpc: str
    files: dict[str, Path]

    @property
    def grpc_address(self) -> tuple[str, int]:
        host, port = self.grpc.split(":")
        return host, int(port)

    def session(self, model: str) -> Session:
        """The same model in this process."""
        return open_session("onnx", self.files[model])


def slow_onnx(path: Path) -> Path:
    """x FP32 [1] -> y FP32 [1], after a while."""
    nodes = [helper.make_node("Mul", ["w", "x"], ["t0"])]
    for step in range(SLOW_STEPS):
        nodes.append(helper.make_node("MatMul", [f"t{step}", "w"], [f"t{step + 1}"]))
    nodes.append(helper.make_node("ReduceMax", [f"t{SLOW_STEPS}"], ["m"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["m", "x"], ["y"]))
    w = np.eye(512, dtype=np.float32)
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(w, "w")],
    )
    return models.save_onnx(graph, path)


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoDoors]:
    """Linear, pair, slow, identities of every type, and one of any length; a queue of 64."""
    folder = tmp_path_factory.mktemp("grpc")
    files = {
        "linear": models.linear_onnx(folder / "linear.onnx"),
        "pair": models.two_by_two_onnx(folder / "pair.onnx"),
        "slow": slow_onnx(folder / "slow.onnx"),
        "any": models.identity_onnx(folder / "any.onnx", TensorProto.FLOAT, shape=["n"]),
    }
    for datatype, element_type in TYPES.items():
        name = f"identity-{datatype}"
        files[name] = models.identity_onnx(folder / f"{name}.onnx", element_type)
    control = folder / "control.sock"
    command = [sys.executable, "-c", "from edgewright_manifests.cli import main; main()"]
    command += ["runtime", "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    command += ["--control", str(control)]
    for name, path in files.items():
        command += ["--model", f"{name}={path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            client = ControlClient(control)
            http = wait_for(client, process)
            loaded = client.ask_blocking(Status())
            assert isinstance(loaded, Loaded)
            assert loaded.grpc is not None
            yield TwoDoors(process, http, loaded.grpc, files)
            process.terminate()
            _, errors = process.communicate(timeout=DEADLINE_S)
            assert process.returncode == 0, errors
            # Whatever hostile tests sent, nothing went through unforeseen.
            assert "Traceback" not in errors, errors
            assert "Exception" not in errors, errors
        finally:
            process.kill()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models of `address`."""
    folder = tmp_path_factory.mktemp("models")
    names = ("pair", "items")
    return {
        **{name: models.two_by_two_onnx(folder / f"{name}.onnx") for name in names},
        "linear": models.linear_onnx(folder / "linear.onnx"),
    }


@pytest.fixture(scope="session")
def address(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gRPC door whose clients may load models, and where `items` is decoupled."""
    folder = tmp_path_factory.mktemp("methods")
    settings = folder / "settings.toml"
    settings.write_text("[models.items]\ndecoupled = true\n")
    options = ["--model-control", "explicit", "--model-files", "accept", "--grpc", "127.0.0.1:0"]
    options += ["--model-settings", str(settings)]
    with serving_files(folder, files, *options) as found:
        loaded = found.control.ask_blocking(Status())
        assert isinstance(loaded, Loaded)
        assert loaded.grpc is not None
        yield loaded.grpc


def infer_json(x: list[float]) -> bytes:
    """The body of an HTTP request for the model `linear`."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": x}
    return json.dumps({"inputs": [tensor]}).encode()
