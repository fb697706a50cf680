"""What a request says beside its tensors, in the words of Triton's request parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewright_runtime.errors import InvalidInput

SequenceId = int | str
_LARGEST = (1 << 64) - 1
_MAX_ID_BYTES = 128
"""As in Triton."""

OPTIONS = ("timeout", "priority", "sequence_id", "sequence_start", "sequence_end", "edgewright_key")


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """Which stream a request belongs to, and whether it begins or ends it."""

    id: SequenceId
    start: bool = False
    end: bool = False


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What `OPTIONS` say."""

    timeout_s: float | None = None
    """How long it may wait for its turn; None: as long as the server says."""
    priority: int = 0
    """1 is served first; 0 and levels that the model does not have mean its usual one."""
    sequence: SequenceStep | None = None
    key: str | None = None
    """Decides between two releases where a model has them (parameter `edgewright_key`)."""


PLAIN = RequestOptions()
"""Of a request that says nothing."""


def read_options(parameters: Mapping[str, Any]) -> RequestOptions:
    """The options among a request's parameters. Raises InvalidInput."""
    if not parameters:
        return PLAIN
    return RequestOptions(
        read_timeout_s(parameters.get("timeout")),
        _priority(parameters.get("priority")),
        _sequence(parameters),
        _key(parameters.get("edgewright_key")),
    )


def read_timeout_s(timeout_us: Any) -> float | None:
    """Triton's request parameter `timeout`, in microseconds. Raises InvalidInput."""
    if timeout_us is None:
        return None
    if type(timeout_us) is not int or not 0 <= timeout_us <= _LARGEST:
        raise InvalidInput("parameter 'timeout' must be a number of microseconds")
    return timeout_us / 1e6 if timeout_us else None


def _priority(priority: Any) -> int:
    if priority is None:
        return 0
    if type(priority) is not int or priority < 0:
        raise InvalidInput("parameter 'priority' must be a number from 0")
    return priority


def _sequence(parameters: Mapping[str, Any]) -> SequenceStep | None:
    identifier = parameters.get("sequence_id")
    start = _flag(parameters, "sequence_start")
    end = _flag(parameters, "sequence_end")
    if identifier is None:
        return None
    if isinstance(identifier, str):
        fits = len(identifier.encode("utf-8", "surrogatepass")) <= _MAX_ID_BYTES
    else:
        fits = type(identifier) is int and 0 <= identifier <= _LARGEST
    if not fits:
        raise InvalidInput(
            "parameter 'sequence_id' must be a number from 0 to 2^64-1, or a string of up to "
            f"{_MAX_ID_BYTES} bytes"
        )
    return SequenceStep(identifier, start, end)


def _key(key: Any) -> str | None:
    if key is not None and not isinstance(key, str):
        raise InvalidInput("parameter 'edgewright_key' must be a string")
    return key


def _flag(parameters: Mapping[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"parameter '{name}' must be true or false")
    return value
