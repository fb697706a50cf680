"""Refusals that differ only in names and numbers, counted together."""

import re
from collections import Counter
from collections.abc import Iterable

_PARTS = (
    (re.compile(r"^\w+: "), ""),
    (re.compile(r"; (leave the target|export the model|drop it|change it)\b.*$"), ""),
    (re.compile(r"\w+ node '[^']*': "), ""),
    (re.compile(r"'[^']*'"), "…"),
    (re.compile(r"\(shape [^)]*\)"), ""),
    (re.compile(r"\[[\d, ]*\]|\([\d, ]+\)"), "…"),
    (re.compile(r"\b\d+ axes"), "n axes"),
    (re.compile(r"opset \d+"), "opset n"),
    (re.compile(r"\|"), "/"),
)
_LENGTH = 110


def grouped(reasons: Iterable[str]) -> Counter[str]:
    """How many refusals have each reason, without what names the single case."""
    return Counter(map(_plain, reasons))


def _plain(reason: str) -> str:
    for pattern, replacement in _PARTS:
        reason = pattern.sub(replacement, reason)
    reason = " ".join(reason.split())
    return reason if len(reason) <= _LENGTH else reason[:_LENGTH].rsplit(" ", 1)[0] + " …"
