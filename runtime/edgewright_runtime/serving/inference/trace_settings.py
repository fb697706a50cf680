"""Triton's trace extension: which requests are traced, for all models and for one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edgewright_runtime.errors import InvalidInput

_LEVELS = ("OFF", "TIMESTAMPS", "TENSORS")
_NUMBERS: Mapping[str, int] = MappingProxyType(
    {"trace_rate": 0, "trace_count": -1, "log_frequency": 0}
)
"""The settings that are numbers, which the protocol writes as text, and the lowest of each."""
_DEFAULTS: Mapping[str, Any] = MappingProxyType(  # Any: text or a list of it
    {
        "trace_level": ["OFF"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": "",
        "trace_mode": "triton",
    }
)


class TraceSettings:
    """The server's settings, and what single models have of their own.

    `trace_file` and `trace_mode` are the server's start's to say: without a file, tracing cannot
    be switched on, and says so.
    """

    def __init__(self, *, trace_file: str = "", trace_rate: int = 1000) -> None:
        """`trace_file` is the collector's URL; one of `trace_rate` requests is traced from the
        start, and none with 0.
        """
        self._start = {**_DEFAULTS, "trace_file": trace_file}
        if trace_file:
            self._start["trace_mode"] = "opentelemetry"
            self._start["trace_level"] = ["TIMESTAMPS"] if trace_rate else ["OFF"]
            self._start["trace_rate"] = str(trace_rate or 1000)
        self._server: dict[str, Any] = {}
        self._models: dict[str, dict[str, Any]] = {}

    def shown(self, model: str | None = None) -> dict[str, Any]:
        """GET /v2[/models/NAME]/trace/setting."""
        own = {} if model is None else self._models.get(model, {})
        return {**self._start, **self._server, **own}

    def update(self, changes: Mapping[str, Any], model: str | None = None) -> dict[str, Any]:
        """POST to the same: all changes or none; None takes back. Raises InvalidInput."""
        read = {word: _read(word, value) for word, value in changes.items()}
        is_off = read.get("trace_level") in (None, ["OFF"])
        if not is_off and not self._start["trace_file"]:
            raise InvalidInput("the server was started without a trace file: it cannot trace")
        own = self._server if model is None else self._models.setdefault(model, {})
        for word, value in read.items():
            if value is None:
                own.pop(word, None)
            else:
                own[word] = value
        return self.shown(model)


def _read(word: str, value: Any) -> Any:
    if word in ("trace_file", "trace_mode"):
        # A client that names files on this machine would write to any of them.
        raise InvalidInput(f"'{word}' is for the server's start to say; no client sets it")
    if word not in _DEFAULTS:
        known = ", ".join(("trace_level", *_NUMBERS))
        raise InvalidInput(f"there is no trace setting '{word[:100]}'; settings: {known}")
    if value is None:
        return None
    if word == "trace_level":
        levels = [value] if isinstance(value, str) else value
        if not isinstance(levels, list) or not levels or any(one not in _LEVELS for one in levels):
            raise InvalidInput(f"'trace_level' must be a list of {', '.join(_LEVELS)}")
        return levels
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    number = str(text) if type(text) in (int, str) else ""
    digits = number.removeprefix("-")
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= 18):
        raise InvalidInput(f"'{word}' must be a number")
    if int(number) < _NUMBERS[word]:
        raise InvalidInput(f"'{word}' must be a number from {_NUMBERS[word]}")
    return str(int(number))
