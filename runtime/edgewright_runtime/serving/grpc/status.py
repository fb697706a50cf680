"""gRPC's status codes, and which of our errors is which."""

import enum

from edgewright_runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineDown,
    InvalidInput,
    ModelLoading,
    ModelUnknown,
    NotAllowed,
    Overloaded,
    RegionUnknown,
    RuntimeFault,
)


class Code(enum.IntEnum):
    """The codes that this server sends (gRPC's statuscodes.md)."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class GrpcRefused(RuntimeFault):
    """A call that gRPC itself, not the model, has to refuse."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        super().__init__(message)


def code_of(error: RuntimeFault) -> Code:
    """The status that tells a client what it can do about the error."""
    match error:
        case GrpcRefused(code=code):
            return code
        case InvalidInput():
            return Code.INVALID_ARGUMENT
        case ModelUnknown() | RegionUnknown():
            return Code.NOT_FOUND
        case NotAllowed():
            return Code.PERMISSION_DENIED
        case ModelLoading() | EngineDown():
            return Code.UNAVAILABLE
        case Overloaded():
            return Code.RESOURCE_EXHAUSTED
        case Cancelled():
            return Code.UNAVAILABLE  # its caller has gone, or the server goes
        case DeadlineExceeded():
            return Code.DEADLINE_EXCEEDED
        case _:
            return Code.INTERNAL
