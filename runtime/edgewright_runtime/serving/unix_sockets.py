"""Unix sockets to listen on, in files that only this user may open (mode 0600)."""

import contextlib
import os
import socket
from pathlib import Path

from edgewright_runtime.errors import DoorUnavailable, one_line


def listen(path: Path, *, backlog: int, what: str) -> socket.socket:
    """A listening stream socket at `path`; one that a dead server left there is replaced.

    Raises DoorUnavailable, which says `what` it was for.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(backlog)
    except (OSError, ValueError) as error:
        listener.close()
        raise DoorUnavailable(f"{path}: {what} cannot be made ({one_line(error)})") from error
    except DoorUnavailable:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that died; leave one that answers."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
            probe.connect(str(path))
            raise DoorUnavailable(f"{path}: another server is running there; stop it first")
    path.unlink(missing_ok=True)
