"""systemd's notification protocol, with the standard library (man 3 sd_notify)."""

import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """Tells systemd of this process's life; does nothing where systemd did not start it."""

    def __init__(self, address: str | None, watchdog_s: float | None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        """Seconds after which systemd kills a process that did not say it is alive."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "ServiceManager":
        """From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = int(microseconds) / 1e6 if microseconds.isdigit() and mine else None
        return cls(environment.get("NOTIFY_SOCKET"), limit)

    def ready(self) -> None:
        """The service does its work."""
        self._notify("READY=1")

    def alive(self) -> None:
        """It still does."""
        self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """It was asked to end."""
        self._notify("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._notify(f"STATUS={text}")

    def _notify(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ means the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.connect(address)
                sender.sendall(message.encode())
        except OSError:
            return  # a service manager that is gone must not end the service
