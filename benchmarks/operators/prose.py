"""The hand-written text of docs/operators.md: the sections of prose.md."""

import re
from pathlib import Path

_MARK = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)


def read_prose() -> dict[str, str]:
    """Each section's text by the name in the mark above it."""
    pieces = _MARK.split(Path(__file__).with_suffix(".md").read_text())
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))
