"""A real mosquitto with mutual TLS and the fleet's access rules, as a child process."""

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

from edgewright_manifests.topics import ROOT

from tests.simulators.authority import Authority
from tests.simulators.waiting import wait_until

FLEET = "fleet"


def find_mosquitto() -> str | None:
    """Its path, also where daemons lie."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Broker:
    """mosquitto on a free port that stays the same over `stop` and `start`."""

    def __init__(self, folder: Path, authority: Authority, tenant: str) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        certificate, key = authority.issue_server("broker")
        acl = folder / "acl"
        acl.write_text(
            f"user {FLEET}\ntopic readwrite {ROOT}/#\n"
            f"pattern write {ROOT}/{tenant}/d/%u/up/#\n"
            f"pattern read {ROOT}/{tenant}/d/%u/down/#\n"
        )
        acl.chmod(0o600)
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(
            "\n".join(
                [
                    "per_listener_settings true",
                    "persistence true",
                    f"persistence_location {folder}/",
                    "max_queued_messages 0",
                    f"user {pwd.getpwuid(os.getuid()).pw_name}",
                    f"log_dest file {folder}/mosquitto.log",
                    f"listener {self.port} 127.0.0.1",
                    f"cafile {authority.folder}/ca.crt",
                    f"certfile {certificate}",
                    f"keyfile {key}",
                    "require_certificate true",
                    "use_identity_as_username true",
                    "allow_anonymous false",
                    f"acl_file {acl}",
                    "",
                ]
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until the port answers."""
        program = find_mosquitto()
        assert program is not None, "mosquitto is not installed"
        self._process = subprocess.Popen([program, "-c", str(self._configuration)])
        wait_until(lambda: _answers(self.port), 10, "mosquitto answers")

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
