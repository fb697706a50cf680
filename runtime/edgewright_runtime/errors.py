"""Errors of the runtime; each is one line that says what, where and what to do.

RuntimeFault
├── BackendUnavailable     the library or device for a target is not usable here
├── ModelRejected          the artifact is damaged, or is not what its variant declares
├── InvalidInput           the caller's tensors do not fit the model's signature
├── InferenceFailed        the engine accepted the tensors and then failed
│   └── EngineDown         the model's process crashed; it is started again, or stays down
├── ModelUnknown           no model or version of that name is loaded
├── RegionUnknown          no shared memory region of that name is registered
├── NotAllowed             the server was started without leave for it
├── Overloaded             the model's queue is full; try again later
│   └── ModelLoading       the model is on its way into memory; try again later
├── MemoryShort            a model does not fit into the memory that it may have
├── DeadlineExceeded       the request waited for longer than it was given
├── Cancelled              the caller, or the server's end, took the request back in time
├── DoorUnavailable        an address or socket cannot be listened on
├── ControlFault           the serving process does not answer, or not in its protocol
├── LocalFault             one side of the local door does not keep to its protocol
└── ServerGone             the local door's server ended, or does not answer
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from edgewright_manifests.errors import EdgewrightError


class RuntimeFault(EdgewrightError):
    """Base of all errors of the runtime."""


class BackendUnavailable(RuntimeFault):
    """The library for a target is missing or broken here."""

    def __init__(self, target: str, reason: str, remedy: str) -> None:
        self.target = target
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{target}: {reason}; {remedy}")


class ModelRejected(RuntimeFault):
    """An artifact is damaged, or differs from what its variant declares."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class InvalidInput(RuntimeFault):
    """The caller's tensors do not fit the model's signature; another try needs other tensors."""


class InferenceFailed(RuntimeFault):
    """The engine accepted the tensors and then failed."""


class EngineDown(InferenceFailed):
    """The process that runs the model crashed and is not running again yet, or not any more."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class ModelUnknown(RuntimeFault):
    """No model, version or generation of that name is loaded."""


class RegionUnknown(RuntimeFault):
    """No shared memory region of that name is registered."""


class NotAllowed(RuntimeFault):
    """The server was started without leave for what is asked; no other request will do."""


class Overloaded(RuntimeFault):
    """The model's queue is full: refused at once, so that the caller may go elsewhere."""


class ModelLoading(Overloaded):
    """The model is known, but not in memory at the moment; it will be in about that time."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        self.wake: Callable[[], Awaitable[None]] | None = None
        """Loads it, on the server's event loop; None when that is under way."""
        super().__init__(message)


class MemoryShort(RuntimeFault):
    """A model does not fit beside those that must stay; unload one, or allow more memory."""


class DeadlineExceeded(RuntimeFault):
    """The request was not begun within its deadline."""


class Cancelled(RuntimeFault):
    """The request was taken back before it began; nobody waits for an answer."""


class DoorUnavailable(RuntimeFault):
    """An address or socket cannot be listened on."""


class ControlFault(RuntimeFault):
    """The serving process cannot be reached, or does not keep to the control protocol."""


class LocalFault(RuntimeFault):
    """A frame, or the memory sent with it, is not what the local door's protocol says."""


class ServerGone(RuntimeFault):
    """The server behind the local door ended or does not answer; connect again."""


def one_line(error: BaseException) -> str:
    """The message of a library's error, without line breaks and bounded, to put into ours."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else text[:397] + "..."
