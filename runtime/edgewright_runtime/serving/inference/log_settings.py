"""Triton's logging extension over Python's logging: what is written, and how."""

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.logs import JsonFormatter

_LOGGER = "edgewright_runtime"
_FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"
_DATES = {"default": None, "ISO8601": "%Y-%m-%dT%H:%M:%SZ"}
_SWITCHES = {
    "log_info": logging.INFO,
    "log_warning": logging.WARNING,
    "log_error": logging.ERROR,
}


class LogSettings(logging.Filter):
    """Applies to the whole process; at the start it says what the process was started with."""

    def __init__(self) -> None:
        super().__init__()
        self._logger = logging.getLogger(_LOGGER)
        level = self._logger.getEffectiveLevel()
        self._settings: dict[str, Any] = {  # Any: bools, a number and words, as the protocol says
            "log_file": "",
            **{word: level <= least for word, least in _SWITCHES.items()},
            "log_verbose_level": 1 if level <= logging.DEBUG else 0,
            "log_format": "default",
        }

    def shown(self) -> dict[str, Any]:
        """GET /v2/logging."""
        return dict(self._settings)

    def update(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """POST /v2/logging: all changes or none. Raises InvalidInput."""
        for word, value in changes.items():
            _check(word, value)
        self._settings.update(changes)
        self._apply()
        return self.shown()

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter: whether the settings let a record of ours through."""
        if not record.name.startswith(_LOGGER):
            return True
        if record.levelno < logging.INFO:
            return bool(self._settings["log_verbose_level"] > 0)
        for word, level in reversed(_SWITCHES.items()):
            if record.levelno >= level:
                return bool(self._settings[word])
        return True

    def _apply(self) -> None:
        if not logging.getLogger().handlers:
            logging.basicConfig(stream=sys.stderr)
        verbose = self._settings["log_verbose_level"] > 0
        self._logger.setLevel(logging.DEBUG if verbose else logging.INFO)
        formatter = logging.Formatter(_FORM, _DATES[self._settings["log_format"]])
        if self._settings["log_format"] == "ISO8601":
            formatter.converter = time.gmtime
        for handler in logging.getLogger().handlers:
            handler.addFilter(self)  # a second time does nothing
            if not isinstance(handler.formatter, JsonFormatter):
                handler.setFormatter(formatter)


def _check(word: str, value: Any) -> None:
    if word in _SWITCHES:
        if not isinstance(value, bool):
            raise InvalidInput(f"'{word}' must be true or false")
    elif word == "log_verbose_level":
        if type(value) is not int or not 0 <= value < 1 << 31:
            raise InvalidInput("'log_verbose_level' must be a number from 0")
    elif word == "log_format":
        if not isinstance(value, str) or value not in _DATES:
            raise InvalidInput(f"'log_format' must be one of {', '.join(_DATES)}")
    elif word == "log_file":
        # A client that names files on this machine would write to any of them.
        if value != "":
            raise InvalidInput("the log goes where the server's start says; no client names files")
    else:
        known = ", ".join([*_SWITCHES, "log_verbose_level", "log_format"])
        raise InvalidInput(f"there is no log setting '{word[:100]}'; settings: {known}")
