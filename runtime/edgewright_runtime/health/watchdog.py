"""systemd's notification protocol, with the standard library (man 3 sd_notify)."""

import socket
from collections.abc import Mapping


class ServiceManager:
    """Tells systemd of this process's life; does nothing where systemd did not start it."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        """How long it may be silent before it is killed; None is for ever."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "ServiceManager":
        """From NOTIFY_SOCKET and WATCHDOG_USEC (man 3 sd_watchdog_enabled)."""
        limit = environment.get("WATCHDOG_USEC", "")
        return cls(
            environment.get("NOTIFY_SOCKET"),
            int(limit) / 1e6 if limit.isdecimal() and int(limit) else None,
        )

    def ready(self) -> None:
        """The service does its work."""
        self._notify("READY=1")

    def alive(self) -> None:
        """It still does: told once a second, whatever WatchdogSec is."""
        self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """It was asked to end."""
        self._notify("STOPPING=1")

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
