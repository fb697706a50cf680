"""What the TCP doors ask of callers, TLS and token, and how both are renewed while they serve."""

import asyncio
import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from edgewright_runtime.errors import DoorUnavailable
from edgewright_runtime.serving.access import Access
from edgewright_runtime.serving.tcp_door import MakeContext, TcpDoor
from edgewright_runtime.serving.tls import Tls, certificate_problem, server_context

_log = logging.getLogger(__name__)


class Security:
    """One for all doors of a server."""

    def __init__(self, tls: Tls | None, token_file: str | None) -> None:
        """Read the files. Raises DoorUnavailable for those that are no good."""
        self._tls = tls
        self.access = Access(Path(token_file)) if token_file is not None else None
        """Who may ask; None lets everybody."""
        if tls is not None:
            server_context(tls, ())
        self._warn()

    def context(self, *protocols: str) -> MakeContext | None:
        """How a door that speaks these protocols gets its TLS; None for a door without."""
        if self._tls is None:
            return None
        return functools.partial(server_context, self._tls, protocols)

    async def reload(self, doors: Sequence[TcpDoor]) -> None:
        """Read tokens and certificates again; what is no good is logged, and the old stays."""
        try:
            if self.access is not None:
                self.access.reload()
            self._warn()
            for door in doors:
                await door.reload()
        except DoorUnavailable as error:
            _log.error("certificates and tokens not read again, the old ones stay: %s", error)
        else:
            _log.info("certificates and tokens read again")

    def watch(self, number: int, doors: Sequence[TcpDoor]) -> None:
        """Do `reload` at this signal."""
        loop = asyncio.get_running_loop()
        under_way: set[asyncio.Task[None]] = set()

        def start() -> None:
            task = loop.create_task(self.reload(doors))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

        loop.add_signal_handler(number, start)

    def _warn(self) -> None:
        problems = (
            self.access.problem() if self.access is not None else None,
            certificate_problem(self._tls) if self._tls is not None else None,
        )
        for problem in problems:
            if problem is not None:
                _log.warning("%s", problem)


def exposure(address: str, tls: Tls | None, token_file: str | None) -> str | None:
    """What keeps nobody out of a door that the network reaches; None when all is well.

    `address` is HOST:PORT, not of the loopback.
    """
    if tls is None and token_file is None:
        return (
            f"{address} can be reached from the network, and this server has no TLS and asks for "
            "no token: whoever reaches it can use the models. Give --tls-cert, --tls-key and "
            "--token-file, or serve on 127.0.0.1, unless you trust everyone on that network."
        )
    if tls is None:
        return (
            f"{address} can be reached from the network without TLS: tokens and tensors can be "
            "read on the way. Give --tls-cert and --tls-key."
        )
    if token_file is None and tls.client_ca is None:
        return (
            f"{address} can be reached from the network, and asks neither for a token nor for a "
            "client's certificate: whoever reaches it can use the models. Give --token-file or "
            "--tls-client-ca."
        )
    return None
