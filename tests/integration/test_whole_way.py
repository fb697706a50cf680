"""The real fleet, a real daemon and real bundles, wired as a user wires them: by commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from tests.processes import running

ROOT = Path(__file__).resolve().parents[2]
FASHION = ROOT / "examples" / "fashion"
EDGEWRIGHT = Path(sys.executable).with_name("edgewright")
QUICK = ("--canary", "0", "--probation", "1", "--min-requests", "0", "--wait")


class Site:
    """One folder with bundles, keys, a fleet server and a device; ends what it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http = f"127.0.0.1:{free_port()}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str) -> str:
        result = subprocess.run(
            [EDGEWRIGHT, *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def start(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [EDGEWRIGHT, *words], cwd=self.folder, stdout=log, stderr=log
            )

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        process.send_signal(how)
        process.wait(timeout=30)

    def start_fleet(self) -> None:
        ready = self.folder / "fleet" / "server.json"
        before = ready.stat().st_mtime_ns if ready.exists() else 0
        self.start("fleet", "fleet", "serve", "--data", "fleet", "--keys", "keys/online")
        until("the fleet's start", lambda: ready.exists() and ready.stat().st_mtime_ns > before)

    def start_device(self) -> None:
        self.start("device", "runtime", "serve", "--state", "device", "--http", self.http)

    def publish(self, version: str) -> None:
        self.run(
            "fleet", "publish", f"v{version}.bundle", "--keys", "keys/offline", "--data", "fleet"
        )

    def roll_out(self, version: str, *options: str) -> None:
        self.run(
            "fleet", "rollout", "start", f"fashion@{version}", *QUICK, *options, "--data", "fleet"
        )

    def answer(self) -> str:
        """Classify one real image; the version that answered."""
        with np.load(FASHION / "data" / "evaluation.npz") as samples:
            image = samples["image"][:1].astype(np.float32)
        tensor = triton.InferInput("image", list(image.shape), "FP32")
        tensor.set_data_from_numpy(image)
        with triton.InferenceServerClient(self.http) as client:
            answer = client.infer("fashion", [tensor])
        assert answer.as_numpy("logits").shape == (1, 10)
        return str(answer.get_response()["model_version"])

    def serves(self, version: str) -> bool:
        try:
            return self.answer() == version
        except (OSError, triton.InferenceServerException):
            return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(what: str, holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        for version in ("1", "2"):
            site.run(
                "convert", str(FASHION / "models" / f"v{version}.onnx"), "--name", "fashion",
                "--release-version", version, "--target", "onnx", "--target", "tflite",
                "--calibration", str(FASHION / "data" / "calibration.npz"),
                "--evaluate", str(FASHION / "data" / "evaluation.npz"),
                "--out", f"v{version}.bundle",
            )  # fmt: skip  # a command line reads best in one piece
        site.run("keys", "init", "--dir", "keys")
        site.start_fleet()
        token = site.ask("fleet", "token", "create", "--data", "fleet")["token"]
        site.run(
            "runtime", "enroll", "--token", token, "--state", "device", "--name", "device-1",
            "--profile", "raspberry-pi-5",
        )  # fmt: skip  # as above
        site.start_device()
        site.publish("1")
        yield site
    finally:
        for name in list(site.running):
            site.stop(name)


@pytest.mark.parametrize(("version", "transport"), [("1", "https"), ("2", "mqtt")])
def test_a_release_arrives_over_either_transport(site: Site, version: str, transport: str) -> None:
    if version == "2":
        site.publish("2")
    site.roll_out(version, "--transport", transport)
    assert site.answer() == version


def test_a_device_serves_after_a_power_cut_while_fleet_and_broker_are_away(site: Site) -> None:
    assert site.answer() == "2"
    site.stop("fleet")
    site.stop("device", signal.SIGKILL)
    site.start_device()
    until("serving again", lambda: site.serves("2"), timeout_s=20)


def test_a_device_that_was_alone_reports_and_updates_when_the_fleet_is_back(site: Site) -> None:
    site.start_fleet()
    site.roll_out("1", "--allow-older")
    assert site.answer() == "1"
    (device,) = site.ask("fleet", "devices", "list", "--data", "fleet")
    assert device["active"]["version"] == "1"


def test_the_audit_log_tells_it_all_and_a_change_to_it_is_found(site: Site) -> None:
    intact = site.run("fleet", "audit", "verify", "--data", "fleet")
    assert intact.startswith("intact")
    segment = max(
        (site.folder / "fleet" / "audit").rglob("*.jsonl"), key=lambda p: p.stat().st_size
    )
    data = segment.read_bytes()
    at = data.index(b"device.commit")
    try:
        segment.write_bytes(data[:at] + b"device.remark" + data[at + 13 :])
        result = subprocess.run(
            [EDGEWRIGHT, "fleet", "audit", "verify", "--data", "fleet"],
            cwd=site.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip  # as above
    finally:
        segment.write_bytes(data)
    assert result.returncode == 1
    assert "changed" in result.stdout + result.stderr


def test_nothing_of_the_fleets_is_left_when_it_has_stopped(site: Site) -> None:
    pid = site.running["fleet"].pid
    site.stop("fleet")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert running("mosquitto", str(site.folder)) == []
