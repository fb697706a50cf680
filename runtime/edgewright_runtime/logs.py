"""How a process writes its log: lines for people, or one JSON object per line for collectors."""

import json
import logging
import re
import sys
import time
from typing import Literal

LogFormat = Literal["text", "json"]
FORMATS: tuple[LogFormat, ...] = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
TEXT_FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FIELD = re.compile(r"(\w+)=(%[-+ #0-9.]*[a-zA-Z])")


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "event", fields...}`; the fields are those of `name=%s`.

    They keep their types: a number is a number.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        event, fields = _parts(record)
        document: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            **fields,
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, default=str)


def configure(level: str, form: LogFormat) -> None:
    """Log to stderr, which the service manager or the terminal keeps."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT_FORM))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _parts(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """The event and its fields; a message that is not of our form is all event."""
    found = list(_FIELD.finditer(record.msg)) if isinstance(record.msg, str) else []
    arguments = record.args
    if (
        not found
        or not isinstance(arguments, tuple)
        or len(found) != record.msg.replace("%%", "").count("%")
        or len(found) != len(arguments)
    ):
        return record.getMessage(), {}
    event = record.msg[: found[0].start()].strip(" :")
    return event, {match[1]: value for match, value in zip(found, arguments, strict=True)}
