"""Keeps the server and the agent running; small, and standard library only at import.

    supervisor ── server   serves when everything else is dead
               └─ agent    link, updates; one that dies costs no request

Both children die with the supervisor, even when it is killed (lifeline.py), so that its
successor finds free ports and sockets.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright_runtime.health.watchdog import ServiceManager
from edgewright_runtime.update import boot

if TYPE_CHECKING:
    from edgewright_runtime.config import RuntimeConfig
    from edgewright_runtime.model_settings import ModelSettings

_LOG = logging.getLogger(__name__)

FIRST_WAIT_S = 0.1
SERVER_LAST_WAIT_S = 5.0
"""Every second without a server is a second without answers."""
AGENT_LAST_WAIT_S = 30.0
SETTLED_S = 30.0
"""A child that ran this long has started well; its next restart is immediate."""
QUICK_DEATHS = 3
"""Deaths in a row, each before SETTLED_S, after which the other slot is tried."""
TICK_S = 1.0
PING_LIMIT_S = 2.0
HANG_S = 60.0
"""A server that answers nothing for this long is killed; compiling a model may take long."""
STOP_LIMIT_S = 15.0
MAX_SOCKET_PATH = 107
"""Bytes in sockaddr_un.sun_path without its end (man 7 unix)."""
EXIT_CONFIG = 78  # EX_CONFIG, sysexits.h: restarting the agent would not help
_WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Child:
    """One child process, restarted with growing pauses."""

    def __init__(self, name: str, command: Callable[[], list[str]], last_wait_s: float) -> None:
        self.name = name
        self._command = command
        self._last_wait_s = last_wait_s
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.quick_deaths = 0
        self._started = 0.0
        self._wait_s = 0.0
        self._next = 0.0
        self.finished = False

    def start_if_due(self) -> None:
        """Start, when it is not running and its pause is over."""
        if self.process is None and not self.finished and time.monotonic() >= self._next:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, preexec_fn=_unblock
            )
            self._started = time.monotonic()
            _LOG.info("%s started pid=%d", self.name, self.process.pid)

    def reap(self) -> bool:
        """Notice its end; gives whether it has just ended."""
        if self.process is None or self.process.poll() is None:
            return False
        code, lived_s = self.process.returncode, time.monotonic() - self._started
        self.process = None
        self.restarts += 1
        settled = lived_s >= SETTLED_S
        self.quick_deaths = 0 if settled else self.quick_deaths + 1
        self._wait_s = FIRST_WAIT_S if settled else min(self._last_wait_s, self._wait_s * 2)
        self._wait_s = max(self._wait_s, FIRST_WAIT_S)
        self._next = time.monotonic() + self._wait_s
        self.finished = code == EXIT_CONFIG
        _LOG.warning(
            "%s ended code=%d after_s=%.1f restarts=%d", self.name, code, lived_s, self.restarts
        )
        return True

    def lived_s(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it is running."""
        if self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """The loop."""

    def __init__(self, config: RuntimeConfig, manager: ServiceManager) -> None:
        self._config = config
        self._state = Path(config.state_dir)
        self._manager = manager
        self._run = self._state / "run"
        self._control = self._run / "control.sock"
        self._server = Child("server", self._server_command, SERVER_LAST_WAIT_S)
        self._agent = Child("agent", self._agent_command, AGENT_LAST_WAIT_S)
        self._ready = False
        self._answered = 0.0
        self._noted = ""

    def run(self) -> int:
        """Until SIGTERM or SIGINT; 0 then."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            while True:
                for child in (self._server, self._agent):
                    child.start_if_due()
                self._note()
                got = signal.sigtimedwait(_WATCHED, TICK_S if self._ready else 0.05)
                if got is not None and got.si_signo == signal.SIGHUP:
                    self._server.send(signal.SIGHUP)  # certificates and tokens are new
                elif got is not None and got.si_signo != signal.SIGCHLD:
                    return self._stop()
                for child in (self._server, self._agent):
                    child.reap()
                self._watch()
        finally:
            for child in (self._server, self._agent):
                child.send(signal.SIGKILL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _watch(self) -> None:
        """Tell systemd that this loop turns; end a server that has hung."""
        self._manager.alive()
        if self._server.process is None:
            self._answered = time.monotonic()
            return
        state = ping(self._control)
        if state is not None:
            self._answered = time.monotonic()
            if not self._ready and state == "serving":
                self._ready = True
                self._manager.ready()
                _LOG.info("ready")
        elif min(time.monotonic() - self._answered, self._server.lived_s()) > HANG_S:
            _LOG.error("server does not answer for %.0f s, killing it", HANG_S)
            self._server.send(signal.SIGKILL)

    def _stop(self) -> int:
        self._manager.stopping()
        # The server goes last and answers what it was asked.
        for child in (self._agent, self._server):
            child.send(signal.SIGTERM)
            if child.process is not None:
                try:
                    child.process.wait(STOP_LIMIT_S)
                except subprocess.TimeoutExpired:
                    child.send(signal.SIGKILL)
                    child.process.wait()
        _LOG.info("stopped")
        return 0

    def _server_command(self) -> list[str]:
        import msgspec

        shun = None
        if self._server.quick_deaths >= QUICK_DEATHS:
            # It does not live with the active release: an unproven one, or a broken disk.
            shun = boot.active_slot(self._state)
        slot = boot.choose_slot(self._state, shun=shun)
        config: dict[str, object] = {
            "http": self._config.http,
            "grpc": self._config.grpc,
            "control": str(self._control),
            "socket": str(self._run / "infer.sock"),
            "threads": self._config.threads,
            "workers": self._config.workers,
            "footprints": str(self._state / "footprints.json"),
            "connections": self._config.connections,
            "token_file": self._config.token_file,
            "traces": self._config.traces.endpoint,
            "trace_rate": self._config.traces.rate,
            "models": msgspec.to_builtins(self._models()),
            "tls": msgspec.to_builtins(self._config.tls),
        }
        if slot is not None:
            config["unpacked"] = [
                {"model": slot.model, "generation": slot.generation, "folder": str(slot.folder)}
            ]
        return self._command("server", json.dumps(config))

    def _models(self) -> dict[str, ModelSettings]:
        """What providers compile is kept beside the slots: an update needs it again."""
        from edgewright_runtime.model_settings import placed

        if not any(found.providers for found in self._config.models.values()):
            return self._config.models
        return placed(self._config.models, (), str(self._state / "compiled"))

    def _agent_command(self) -> list[str]:
        import msgspec

        return self._command("agent", msgspec.json.encode(self._config).decode())

    def _command(self, module: str, config: str) -> list[str]:
        level = self._config.log.level if self._config.log.level != "error" else "warning"
        return [
            sys.executable, "-m", f"edgewright_runtime.{module}",
            "--config", config, "--parent", str(os.getpid()), "--log-level", level,
            "--log-format", self._config.log.format,
        ]  # fmt: skip  # flags beside their values

    def _note(self) -> None:
        """`run/supervisor.json`, for `edgewright runtime status`; not needed after a crash."""
        state = {
            "pid": os.getpid(),
            **{
                child.name: {
                    "pid": child.process.pid if child.process else None,
                    "restarts": child.restarts,
                }
                for child in (self._server, self._agent)
            },
        }
        text = json.dumps(state)
        if text != self._noted:
            temporary = self._run / ".supervisor.json"
            temporary.write_text(text)
            temporary.replace(self._run / "supervisor.json")
            self._noted = text


def run(config: RuntimeConfig) -> int:
    """Run server and agent until SIGTERM; 0 then, 1 when the state folder cannot be used."""
    state = Path(config.state_dir)
    if len(os.fsencode(state / "run" / "control.sock")) > MAX_SOCKET_PATH:
        sys.stderr.write(
            f"edgewright runtime: {state}: this path is too long for a socket in it; choose a "
            "state folder with a shorter path\n"
        )
        return 1
    (state / "run").mkdir(parents=True, exist_ok=True)
    from edgewright_runtime.logs import configure

    configure(config.log.level, config.log.format)
    with _locked(state / "run" / "supervisor.lock") as mine:
        if not mine:
            sys.stderr.write(
                f"edgewright runtime: {state} is in use by another daemon; stop it first\n"
            )
            return 1
        # Whoever listened there died with its supervisor.
        for stale in (state / "run").glob("*.sock"):
            stale.unlink()
        from edgewright_runtime.config import service_manager

        return Supervisor(config, service_manager()).run()


def ping(control: Path) -> str | None:
    """The state that the server tells on its control socket (control.py's frames), if it does."""
    question = b'{"request":"status"}'
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PING_LIMIT_S)
            connection.connect(str(control))
            connection.sendall(len(question).to_bytes(4, "big") + question)
            with connection.makefile("rb") as file:
                reply = json.loads(file.read(int.from_bytes(file.read(4), "big")))
            return str(reply.get("state", "serving"))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _unblock() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it may come before a child listens to it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)


def main() -> int:
    """`python -m edgewright_runtime.supervisor [--config F] [--state DIR] [--http HOST:PORT]`."""
    import argparse

    from edgewright_manifests.errors import EdgewrightError

    from edgewright_runtime.config import load_config

    parser = argparse.ArgumentParser(prog="edgewright_runtime.supervisor")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--state")
    parser.add_argument("--http")
    arguments = parser.parse_args()
    try:
        return run(load_config(arguments.config, state_dir=arguments.state, http=arguments.http))
    except EdgewrightError as error:
        sys.stderr.write(f"edgewright runtime: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
