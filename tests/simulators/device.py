"""A device as its user runs it: the supervisor's process, with a state folder of its own."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
from edgewright_runtime.config import FAULT_VARIABLE
from edgewright_runtime.control import Generation, Loaded, Status
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.errors import ControlFault
from edgewright_runtime.link.enroll import enroll
from edgewright_runtime.update.slots import Slots

from tests.simulators.releases import MODEL, weights
from tests.simulators.waiting import wait_until


class Device:
    """One daemon."""

    def __init__(self, name: str, folder: Path, **update: float) -> None:
        self.name = name
        self.state = folder / name
        self.log = folder / f"{name}.log"
        self._order = folder / f"{name}.fault"
        self._config = folder / f"{name}.toml"
        settings = {"baseline_s": 0.2, "probation_poll_s": 0.05, "poll_s": 300.0} | update
        self._config.write_text(
            f'state_dir = "{self.state}"\nhttp = "127.0.0.1:0"\nreport_s = 5.0\n[update]\n'
            + "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        self._process: subprocess.Popen[bytes] | None = None

    def enrol(self, token: str) -> None:
        """Join the fleet."""
        enroll(token, self.state, self.name, "generic")

    def start(self) -> None:
        """Start the daemon."""
        command = [sys.executable, "-m", "edgewright_runtime.supervisor"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--config", str(self._config)],
                stdout=log,
                stderr=log,
                env=os.environ | {FAULT_VARIABLE: str(self._order)},
            )

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def kill(self) -> None:
        """SIGKILL to the supervisor, which is to take its children along."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def is_running(self) -> bool:
        """Whether the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    def wait_killed(self, limit_s: float = 30) -> None:
        """Until a fault has killed the daemon."""
        assert self._process is not None
        try:
            assert self._process.wait(limit_s) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon was not killed; its log:\n{self.tail()}") from None

    def order_fault(self, victim: str, point: str) -> None:
        """Have the daemon (`daemon`) or only its agent (`agent`) killed at this point, once."""
        self._order.write_text(f"{victim} {point}")

    def fault_happened(self) -> bool:
        """Whether the ordered kill was carried out."""
        return not self._order.exists()

    def child_pid(self, name: str) -> int | None:
        """Process id of the `server` or `agent`."""
        try:
            found = json.loads((self.state / "run" / "supervisor.json").read_text())[name]["pid"]
        except (OSError, ValueError, KeyError):
            return None
        return int(found) if found is not None else None

    def status(self) -> Loaded | None:
        """What the server has loaded; None while it does not answer."""
        try:
            reply = ControlClient(self.state / "run" / "control.sock").ask_blocking(Status())
        except ControlFault:
            return None
        return reply if isinstance(reply, Loaded) else None

    def active(self) -> Generation | None:
        """The generation that serves."""
        status = self.status()
        found = [g for g in status.generations if g.role == "active"] if status else []
        return found[0] if found else None

    def serves(self, version: str) -> bool:
        """Whether the active slot has this version and the server serves just that slot."""
        slots = Slots(self.state)
        active, serving = slots.active(), self.active()
        record = slots.record(active) if active else None
        return (
            active is not None
            and record is not None
            and record.installed.version == version
            and serving is not None
            and serving.generation == slots.generation(active)
        )

    def url(self) -> str:
        """Where the inference door is; waits for it."""
        status = wait_until(self.status, 30, f"{self.name}'s server answers; {self.log}")
        assert status.http is not None
        return f"http://{status.http}/v2/models/{MODEL}/infer"

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-6000:]


def infer(url: str, value: float = 0.5) -> bool:
    """One live request; whether the answer is right. Raises OSError when there is none."""
    x = np.full((1, 4), value, np.float32)
    body = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": x.ravel().tolist()}]
    }
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)["outputs"][0]["data"]
    return bool(np.allclose(answer, (x @ weights()).ravel(), rtol=1e-4, atol=1e-4))
