"""mosquitto as a child process: generated configuration and ACL, watched, restarted, stopped.

The settings are the ones measured safe on mosquitto 2.0.11: a queue limit in messages loses
acknowledged QoS 1 messages, and without one a publish that the ACL denies ends the
connection (a denied subscription is just never served). Revoking takes the CRL for new
connections and an ACL denial for the live one.
"""

import asyncio
import contextlib
import logging
import os
import pwd
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from edgewright_manifests.documents import write_atomically
from edgewright_manifests.topics import ROOT

from edgewright_fleet import die_with_parent
from edgewright_fleet.ca import LINK_NAME
from edgewright_fleet.errors import BrokerError

log = logging.getLogger(__name__)

_ALSO = "/usr/sbin:/usr/local/sbin"
"""Where system packages put daemons; not on every user's PATH."""
_START_LIMIT_S = 15.0
_STOP_LIMIT_S = 10.0
_FIRST_BACKOFF_S = 0.2
_LAST_BACKOFF_S = 10.0
_MAX_PACKET_BYTES = 128 * 1024 + 1024
"""The contract's 128 KiB and room for headers and properties."""
_QUEUED_BYTES = 64 * 1024 * 1024
"""Per client; a byte cap instead of a message cap (see above)."""


def find_mosquitto() -> str:
    """The path of mosquitto. Raises BrokerError that says how to install it."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path=_ALSO)
    if found is None:
        raise BrokerError(
            "mosquitto was not found on PATH or in /usr/sbin; install it "
            "(Debian, Ubuntu: apt-get install mosquitto; macOS: brew install mosquitto), "
            "or name a broker of your own under [broker] in the configuration"
        )
    return found


def access_list(tenant: str, revoked: Iterable[str]) -> str:
    """mosquitto's ACL file: each device its own branch by common name, revoked ones nothing."""
    lines = [f"user {LINK_NAME}", f"topic readwrite {ROOT}/#", ""]
    for device in sorted(revoked):
        lines += [
            f"user {device}",
            f"topic deny {ROOT}/{tenant}/d/{device}/#",
            f"topic deny {ROOT}/{tenant}/cast/#",
            "",
        ]
    lines += [
        f"pattern write {ROOT}/{tenant}/d/%u/up/#",
        f"pattern read {ROOT}/{tenant}/d/%u/down/#",
        f"pattern read {ROOT}/{tenant}/cast/#",
        "",
    ]
    return "\n".join(lines)


class Broker:
    """The child. `start` returns once the port answers; `watch` restarts it when it dies."""

    def __init__(
        self,
        folder: Path,
        certificates: Path,
        *,
        host: str,
        port: int,
        tenant: str,
    ) -> None:
        self._folder = folder
        self._certificates = certificates
        self._host = host
        self._port = port
        self._tenant = tenant
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id of the running broker."""
        return self._process.pid if self._process else None

    def write_access_list(self, revoked: Iterable[str]) -> None:
        """Replace the ACL file; takes effect at the next start or `reload`."""
        text = access_list(self._tenant, revoked)
        write_atomically(self._folder / "acl", text.encode(), mode=0o600)

    async def start(self) -> None:
        """Start mosquitto and wait until its port answers. Raises BrokerError, with its log."""
        program = find_mosquitto()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = self._folder / "mosquitto.conf"
        write_atomically(configuration, self._configuration().encode(), mode=0o600)
        # The kernel ties the death signal to the thread that forked: the loop runs in the main one.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(Path(die_with_parent.__file__)),
            str(os.getpid()),
            program,
            "-c",
            str(configuration),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        await self._wait_until_it_answers(self._process)
        log.info("broker started pid=%d port=%d", self._process.pid, self._port)

    async def watch(self) -> None:
        """Restart mosquitto whenever it ends, with growing pauses; ends when `stop` is called."""
        backoff_s = _FIRST_BACKOFF_S
        while not self._stopping:
            process = self._process
            if process is not None:
                started = asyncio.get_running_loop().time()
                code = await process.wait()
                if self._stopping:
                    return
                log.warning("broker ended, restarting it code=%s in_s=%.1f", code, backoff_s)
                if asyncio.get_running_loop().time() - started > _LAST_BACKOFF_S:
                    backoff_s = _FIRST_BACKOFF_S
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _LAST_BACKOFF_S)
            try:
                await self.start()
            except BrokerError as error:
                log.error("broker does not start again error=%s", error)

    def reload(self) -> None:
        """Have mosquitto read ACL and revocation list again, without dropping anybody."""
        if self._process and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End the child by its process id: SIGTERM, so that it saves its state, then SIGKILL."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_LIMIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _configuration(self) -> str:
        here, certificates = self._folder.resolve(), self._certificates.resolve()
        bind = f" {self._host}" if self._host not in ("", "0.0.0.0", "::") else ""  # noqa: S104 - compared, not bound
        return "\n".join(
            [
                "per_listener_settings true",
                "persistence true",
                f"persistence_location {here}/",
                "autosave_interval 60",
                "max_queued_messages 0",
                f"max_queued_bytes {_QUEUED_BYTES}",
                "max_inflight_messages 1000",
                f"max_packet_size {_MAX_PACKET_BYTES}",
                "persistent_client_expiration 7d",
                "sys_interval 0",
                "set_tcp_nodelay true",
                f"log_dest file {here}/mosquitto.log",
                "log_type error",
                "log_type warning",
                "log_type notice",
                "connection_messages false",
                # As root it would drop to a user who cannot read keys of mode 0600.
                f"user {pwd.getpwuid(os.getuid()).pw_name}",
                f"listener {self._port}{bind}",
                f"cafile {certificates}/ca.crt",
                f"certfile {certificates}/server.crt",
                f"keyfile {certificates}/server.key",
                f"crlfile {certificates}/crl.pem",
                "require_certificate true",
                "use_identity_as_username true",
                # A client id is otherwise free to choose: one device could end another's session.
                "use_username_as_clientid true",
                "allow_anonymous false",
                f"acl_file {here}/acl",
                "",
            ]
        )

    async def _wait_until_it_answers(self, process: asyncio.subprocess.Process) -> None:
        host = self._host if self._host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound
        deadline = asyncio.get_running_loop().time() + _START_LIMIT_S
        while True:
            if process.returncode is not None:
                raise BrokerError(
                    f"mosquitto ended at once (code {process.returncode}): {self._last_words()}"
                )
            try:
                _, writer = await asyncio.open_connection(host, self._port)
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    process.kill()
                    raise BrokerError(
                        f"mosquitto did not answer on port {self._port} within "
                        f"{_START_LIMIT_S:.0f} s: {self._last_words()}"
                    ) from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return

    def _last_words(self) -> str:
        try:
            lines = (self._folder / "mosquitto.log").read_text(errors="replace").splitlines()
        except OSError:
            return "it wrote no log"
        return lines[-1] if lines else "its log is empty"
