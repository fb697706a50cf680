"""Runs the `edgewright` command, in the foreground and as services, and ends what it started."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EDGEWRIGHT = Path(sys.executable).with_name("edgewright")


class CommandFailed(Exception):
    """A command of the demo did not do what the demo needs; the output is already on screen."""


class Programs:
    """The demo's processes. Use as a context manager: at the end nothing is left running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._services: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def run(self, *words: str, may_fail: bool = False) -> int:
        """`edgewright WORDS` with its output on the screen; its exit code."""
        show(words)
        code = subprocess.run([EDGEWRIGHT, *words], cwd=self.folder, check=False).returncode
        if code and not may_fail:
            raise CommandFailed(f"edgewright {words[0]} ended with {code}")
        return code

    def ask(self, *words: str) -> Any:  # Any: each command's own JSON document
        """The JSON document that `edgewright WORDS --json` prints."""
        result = subprocess.run(
            [EDGEWRIGHT, *words, "--json"], cwd=self.folder, capture_output=True, text=True
        )
        if result.returncode and not result.stdout:
            raise CommandFailed(f"edgewright {shlex.join(words)}: {result.stderr.strip()}")
        return json.loads(result.stdout)

    def start(self, name: str, *words: str) -> None:
        """`edgewright WORDS` as a service; its log goes to NAME.log in the run folder."""
        show((*words, "&"))
        self._spawn(name, [str(EDGEWRIGHT), *words])

    def start_python(self, name: str, script: Path, *words: str) -> None:
        """A script of the demo's own as a service."""
        self._spawn(name, [sys.executable, str(script), *words])

    def stop(self, prefix: str) -> None:
        """End the services whose name starts so, and wait for them."""
        ending = [(n, p) for n, p in self._services if n.startswith(prefix)]
        for _, process in ending:
            process.terminate()
        for name, process in ending:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                print(f"  ({name} did not end in 20 s and was killed)")
                process.kill()
                process.wait()
        self._services = [s for s in self._services if s not in ending]

    def stop_all(self) -> None:
        """End everything, the last started first."""
        for name, _ in reversed(self._services.copy()):
            self.stop(name)

    def check_alive(self) -> None:
        """Raise CommandFailed when a service has ended by itself."""
        for name, process in self._services:
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text()[-2000:]
                raise CommandFailed(f"{name} ended with {process.returncode}:\n{log}")

    def wait_for(self, what: str, ready: Callable[[], bool], timeout_s: float = 60) -> None:
        """Poll until `ready()`."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise CommandFailed(f"{what} did not happen within {timeout_s:.0f} s")
            time.sleep(0.1)

    def _spawn(self, name: str, command: list[str]) -> None:
        log = (self.folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends them in order
        )
        log.close()
        self._services.append((name, process))


def show(words: Sequence[str]) -> None:
    """Print the command as a user would type it."""
    words = [word.replace(f"{ROOT}/", "") for word in words]
    line = " ".join(word if word == "&" else shlex.quote(word) for word in words)
    print(f"\n  $ edgewright {line}", flush=True)
