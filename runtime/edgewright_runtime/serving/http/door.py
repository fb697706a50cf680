"""The HTTP door: a TCP door whose connections speak HTTP/1.1."""

from edgewright_runtime.serving.http.connection import HttpConnection, Limits
from edgewright_runtime.serving.http.messages import Application
from edgewright_runtime.serving.tcp_door import MakeContext, TcpDoor


class HttpDoor(TcpDoor):
    """One listening address; `address` is HOST:PORT once it is open."""

    def __init__(
        self,
        address: str,
        application: Application,
        limits: Limits,
        tls: MakeContext | None = None,
    ) -> None:
        super().__init__(
            address,
            lambda opened, closed: HttpConnection(application, limits, opened, closed),
            connections=limits.connections,
            tls=tls,
        )
