"""A fleet server as its own process, the way people start it."""

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.processes import command_lines, parent

T = TypeVar("T")
START_LIMIT_S = 60.0
EDGEWRIGHT = [
    sys.executable,
    "-c",
    "import sys; from edgewright_manifests.cli import main; sys.exit(main())",
]


def wait_for(what: str, look: Callable[[], T | None], limit_s: float = 20.0) -> T:
    """Ask `look` until it gives something; fail, saying what was awaited, after the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s:.0f} s for {what}")
        time.sleep(0.02)


class FleetProcess:
    """`edgewright fleet serve` on a data folder."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self._log = (data.parent / f"{data.name}.log").open("ab")
        self.process = subprocess.Popen(
            [*EDGEWRIGHT, "fleet", "serve", "--data", str(data), "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.addresses = self._read_addresses()

    def _read_addresses(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        killer = threading.Timer(START_LIMIT_S, self.process.kill)
        killer.start()
        text = b""
        try:
            for line in self.process.stdout:
                text += line
                if line.startswith(b"}"):
                    return dict(json.loads(text))
        finally:
            killer.cancel()
        raise AssertionError(
            f"the server did not start: {(self.data.parent / f'{self.data.name}.log').read_text()}"
        )

    @property
    def admin_token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def tls(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.data / "ca.crt"))
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def broker_pid(self) -> int:
        """The one child that is mosquitto."""
        for pid, line in command_lines().items():
            if "mosquitto" in line.split(" ")[0] and parent(pid) == self.process.pid:
                return pid
        raise AssertionError("the server has no mosquitto")

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request as the admin: status and parsed answer."""
        status, _, data = self.request(
            method,
            path,
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"Bearer {self.admin_token}", **(headers or {})},
        )
        return status, json.loads(data) if data else None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        url: str = "",
        certificate: tuple[Path, Path] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request as whoever the headers say."""
        host = (url or self.addresses["operator_url"]).removeprefix("https://")
        connection = http.client.HTTPSConnection(host, context=self.tls(certificate), timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def command(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """`edgewright fleet WORDS --data ...`."""
        return edgewright("fleet", *words, "--data", str(self.data), expect=expect)

    def token(self, uses: int = 1) -> str:
        status, reply = self.api("POST", "/api/v1/tokens", {"uses": uses})
        assert status == 201, reply
        return str(reply["token"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        return code


@contextlib.contextmanager
def running_fleet(data: Path, *arguments: str) -> Iterator[FleetProcess]:
    """A server that is stopped at the end, whatever happens."""
    fleet = FleetProcess(data, *arguments)
    try:
        yield fleet
    finally:
        fleet.stop()


def edgewright(*words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [*EDGEWRIGHT, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
