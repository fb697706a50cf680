"""The gRPC door: a TCP door whose connections speak HTTP/2 and gRPC."""

from edgewright_runtime.serving.grpc.application import OpenInferenceCalls
from edgewright_runtime.serving.grpc.calls import Limits
from edgewright_runtime.serving.grpc.connection import SCRATCH_BYTES, GrpcConnection
from edgewright_runtime.serving.inference.extensions import Extensions
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.tcp_door import MakeContext, TcpDoor


class GrpcDoor(TcpDoor):
    """One listening address; `address` is HOST:PORT once it is open."""

    def __init__(
        self,
        address: str,
        repository: Repository,
        extensions: Extensions,
        limits: Limits,
        *,
        timeout_s: float,
        connections: int,
        tls: MakeContext | None = None,
    ) -> None:
        application = OpenInferenceCalls(repository, extensions, timeout_s=timeout_s)
        scratch = memoryview(bytearray(SCRATCH_BYTES))
        super().__init__(
            address,
            lambda opened, closed: GrpcConnection(application, limits, scratch, opened, closed),
            connections=connections,
            option="--grpc",
            tls=tls,
        )
